//! Checks of addresses, ports, dial and accept. Never checks the content of a stream.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, Pair, assert_error, connect, drop_after, eventually};
use crate::error::Op;
use crate::{Cause, Conn, Host};

/// The contract's example of predictable addresses, on two subnetworks.
pub async fn the_example(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    example(&pair.alpha, &pair.beta).await;
    pair.close().await;
}

/// The same example with both hosts on one subnetwork.
pub async fn the_example_within_one_subnetwork(bed: &dyn Bed) {
    let subnet = bed.subnetwork().await;
    let alpha = subnet.new_host("α").await.unwrap();
    let beta = subnet.new_host("β").await.unwrap();
    example(&alpha, &beta).await;
    subnet.close().await.unwrap();
}

async fn example(alpha: &Host, beta: &Host) {
    let err = alpha.dial(":0").await.unwrap_err();
    let line = "dial NET α:1->α:0: connection refused";
    let refused = Cause::ConnectionRefused;
    assert_error(&err, Op::Dial, Some("α:1"), Some("α:0"), refused, line);
    assert!(alpha.sockets().is_empty(), "the port is free again");

    let listener = alpha.listen("").unwrap();
    assert_eq!(listener.local_addr(), "α:1");
    let err = alpha.dial(":0").await.unwrap_err();
    assert_eq!(err.src().unwrap(), "α:2");

    let first = connect(beta, &listener).await;
    assert_ends(&first, ["β:1", "α:2"]);
    let second = connect(beta, &listener).await;
    assert_ends(&second, ["β:2", "α:3"]);
    assert_eq!(alpha.listen(":0").unwrap().local_addr(), "α:4");
}

fn assert_ends((dialed, accepted): &(Conn, Conn), [from, to]: [&str; 2]) {
    assert_eq!(dialed.local_addr(), &from);
    assert_eq!(dialed.peer_addr(), &to);
    assert_eq!(accepted.local_addr(), &to);
    assert_eq!(accepted.peer_addr(), &from);
}

/// Closing or dropping an object frees its port, and the lowest free port is always
/// allocated next.
pub async fn lowest_free_ports(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (alpha, beta) = (&pair.alpha, &pair.beta);
    let first = alpha.listen(":1").unwrap();
    let second = alpha.listen(":0").unwrap();
    let third = alpha.listen(":0").unwrap();
    assert_eq!(third.local_addr(), "α:3");

    second.close();
    let (dialed, accepted) = connect(beta, &first).await;
    assert_eq!(accepted.local_addr(), "α:2");
    let (dialed2, accepted2) = connect(beta, &first).await;
    assert_eq!(accepted2.local_addr(), "α:4");
    assert_eq!(dialed2.local_addr(), "β:2");

    accepted.close();
    drop(dialed);
    assert_eq!(alpha.listen("").unwrap().local_addr(), "α:2");
    assert_eq!(beta.listen("").unwrap().local_addr(), "β:1");

    let (reader, writer) = accepted2.into_split();
    drop(writer);
    assert_eq!(alpha.sockets().last().unwrap().local, "α:4");
    drop(reader);
    drop((first, third));
    assert_eq!(alpha.sockets(), []);
    drop(dialed2);
    assert_eq!(beta.sockets(), []);
    pair.close().await;
}

/// The errors of `listen`.
pub async fn listen_errors(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let alpha = &pair.alpha;
    let _taken = alpha.listen("α:7").unwrap();
    for (addr, at, cause, line) in [
        (
            "α:7",
            "α:7",
            Cause::AddrInUse,
            "listen NET α:7: address already in use",
        ),
        (
            ":7",
            "α:7",
            Cause::AddrInUse,
            "listen NET α:7: address already in use",
        ),
        (
            "β:1",
            "β:1",
            Cause::AddrNotLocal,
            "listen NET β:1: cannot listen on requested address",
        ),
        (
            "β:0",
            "β:0",
            Cause::AddrNotLocal,
            "listen NET β:0: cannot listen on requested address",
        ),
    ] {
        let err = alpha.listen(addr).unwrap_err();
        assert_error(&err, Op::Listen, None, Some(at), cause, line);
    }
    for addr in ["α", "α:65536", "α:-1", "[α:1", "α:one"] {
        let err = alpha.listen(addr).unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr);
        assert!(
            err.to_string()
                .contains(&format!("invalid address {addr:?}")),
            "{err}"
        );
    }
    assert_eq!(alpha.listen(":65535").unwrap().local_addr(), "α:65535");
    pair.close().await;
}

/// The errors of `dial`. Each has its source address, and frees the port.
pub async fn dial_errors(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let alpha = &pair.alpha;
    let _one = alpha.listen(":1").unwrap();
    for dst in ["β:1", "β:0", "α:2", "β:65535"] {
        let err = alpha.dial(dst).await.unwrap_err();
        let line = format!("dial NET α:2->{dst}: connection refused");
        let refused = Cause::ConnectionRefused;
        assert_error(&err, Op::Dial, Some("α:2"), Some(dst), refused, &line);
    }
    let err = alpha.dial("nobody:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NoSuchHost);
    assert_eq!(err.src().unwrap(), "α:2");
    assert_eq!(err.addr().unwrap(), "nobody:1");
    let line = err.to_string();
    assert!(
        line.starts_with(&format!("dial {} α:2->nobody:1: ", alpha.network())),
        "{line}"
    );
    assert!(line.ends_with("no such host"), "{line}");
    for dst in ["", "β", "β:65536", "β:-1", "[β:1", "a\u{7}:1"] {
        let err = alpha.dial(dst).await.unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
        assert_eq!(err.src().unwrap(), "α:2");
    }
    assert_eq!(alpha.sockets().len(), 1);
    pair.close().await;
}

/// A host can dial itself.
pub async fn a_host_dials_itself(bed: &dyn Bed) {
    let subnet = bed.subnetwork().await;
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let ends = connect(&alpha, &listener).await;
    assert_ends(&ends, ["α:2", "α:3"]);
    subnet.close().await.unwrap();
}

/// Concurrent dials are all accepted, each with its own ports.
pub async fn concurrent_dials(bed: &dyn Bed) {
    const DIALS: usize = 64;
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let dials: Vec<_> = (0..DIALS)
        .map(|_| {
            let beta = pair.beta.clone();
            tokio::spawn(async move { beta.dial("α:1").await })
        })
        .collect();
    let mut accepted = Vec::new();
    for port in 2..DIALS as u16 + 2 {
        let (conn, peer) = listener.accept().await.unwrap();
        assert_eq!(conn.local_addr(), &format!("α:{port}").as_str());
        accepted.push((peer.port(), port, conn));
    }
    let mut dialed = Vec::new();
    for dial in dials {
        let conn = dial.await.unwrap().unwrap();
        dialed.push((conn.local_addr().port(), conn.peer_addr().port(), conn));
    }
    accepted.sort_by_key(|end| end.0);
    dialed.sort_by_key(|end| end.0);
    let ports = |ends: &[(u16, u16, Conn)]| ends.iter().map(|e| (e.0, e.1)).collect::<Vec<_>>();
    assert_eq!(
        ports(&accepted),
        ports(&dialed),
        "both ends agree on who is whose peer"
    );
    assert!(dialed.iter().map(|end| usize::from(end.0)).eq(1..=DIALS));
    drop((dialed, accepted));
    pair.close().await;
}

/// Many connections between two hosts can be open at once.
pub async fn many_connections_at_once(bed: &dyn Bed) {
    const CONNS: u16 = 2000;
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let mut open = Vec::new();
    for port in 1..=CONNS {
        let ends = connect(&pair.beta, &listener).await;
        assert_eq!(ends.0.local_addr().port(), port);
        assert_eq!(ends.0.peer_addr().port(), port + 1);
        open.push(ends);
    }
    assert_eq!(pair.beta.sockets().len(), usize::from(CONNS));
    drop(open);
    pair.close().await;
}

/// When a peer sees the end of a connection, or is refused, the port is already free.
pub async fn ports_are_free_when_the_peer_knows(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut conn, _)) = listener.accept().await {
            // Drop it in another task, as servers do.
            tokio::spawn(async move { conn.read_u8().await.map(drop) });
        }
    });
    for _ in 0..500 {
        let mut conn = pair.beta.dial("α:1").await.unwrap();
        assert_eq!(conn.local_addr(), "β:1");
        assert_eq!(
            conn.peer_addr(),
            &"α:2",
            "the port of the one before is free"
        );
        conn.write_u8(0).await.unwrap();
        assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
    }
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    for _ in 0..200 {
        let listener = pair.alpha.listen(":1").unwrap();
        let (alpha, beta) = (pair.alpha.clone(), pair.beta.clone());
        let refused = tokio::spawn(async move {
            beta.dial("α:1").await.unwrap_err();
            alpha.listen(":1").map(drop)
        });
        eventually("the dial waits", || listener.pending() == 1).await;
        listener.close();
        refused
            .await
            .unwrap()
            .expect("who was refused may listen there");
    }
    pair.close().await;
}

/// Once hosts are idle, new connections get the same addresses as the first ones. Waiting
/// ends when the host is closed; after its time limit, the error names the open sockets.
pub async fn addresses_repeat_once_hosts_are_idle(bed: &dyn Bed) {
    let within = Duration::from_secs(20);
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    for _ in 0..3 {
        let dials = (pair.beta.dial("α:1"), pair.beta.dial("α:1"));
        let accepts = async { [listener.accept().await, listener.accept().await] };
        let (one, other, accepted) = tokio::join!(dials.0, dials.1, accepts);
        let (one, other) = (one.unwrap(), other.unwrap());
        let mut ends = [one.local_addr(), other.local_addr()].map(ToString::to_string);
        ends.sort_unstable();
        assert_eq!(ends, ["β:1", "β:2"]);
        let mut ends = [one.peer_addr(), other.peer_addr()].map(ToString::to_string);
        ends.sort_unstable();
        assert_eq!(ends, ["α:2", "α:3"]);
        let dropping = tokio::spawn(async move {
            for accepted in accepted {
                // Reads until the peer drops its end.
                let (mut conn, _) = accepted.unwrap();
                drop(conn.read(&mut [0]).await);
            }
        });
        let busy = pair.alpha.idle(Duration::ZERO).await.unwrap_err();
        assert_eq!(busy.cause(), Cause::TimedOut);
        assert!(busy.to_string().contains("α:2 connected β:"), "{busy}");
        drop((one, other));
        pair.beta.idle(Duration::ZERO).await.unwrap();
        pair.alpha.idle(within).await.unwrap();
        dropping.await.unwrap();
    }
    let (_dialed, accepted) = connect(&pair.beta, &listener).await;
    let (waits, idle) = (pair.alpha.clone(), pair.beta.idle(within));
    let waiting = tokio::spawn(async move { waits.idle(within).await });
    assert!(drop_after(1, idle).await.is_none());
    pair.alpha.close();
    let gone = waiting.await.unwrap().unwrap_err();
    assert_eq!(gone.cause(), Cause::HostDown);
    assert_eq!(
        gone.to_string(),
        format!(
            "virtnet {:?}: wait until idle \"α\": host is down",
            gone.network()
        )
    );
    drop(accepted);
    pair.close().await;
}
