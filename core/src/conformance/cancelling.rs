//! Checks of dropped futures. Whichever future is dropped, and at whichever poll,
//! nothing is left.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::bed::{Bed, Pair, assert_cut, connect, drop_after, eventually, poll_times};
use crate::{Cause, Conn, Listener, OpError, SocketInfo, SocketState};

/// The last poll at which a future is dropped: more polls than any engine needs.
const POLLS: usize = 12;

/// First bytes of a dial, none of which is a number of polls.
const FIRST: &[u8] = b"first bytes";

/// What the acceptor of a dial reads.
#[derive(Debug)]
enum Heard {
    Tag(u8),
    /// A clean end-of-file.
    Ended,
    Cut,
}

/// Reads a tag, after first bytes that may have come before.
async fn hear(conn: &mut Conn) -> Heard {
    loop {
        return match conn.read_u8().await {
            Ok(first) if FIRST.contains(&first) => continue,
            Ok(tag) => Heard::Tag(tag),
            Err(err) => match OpError::of(&err).map(OpError::cause) {
                None => Heard::Ended,
                Some(Cause::ConnectionCut) => Heard::Cut,
                Some(cause) => panic!("expected a tag, an end or a cut, got {cause}: {err}"),
            },
        };
    }
}

/// A dial that is dropped frees its port. No accept returns it, or, if one had taken it
/// already, the connection is cut.
pub async fn dial_dropped_at_every_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let (heard, mut tags) = mpsc::unbounded_channel();
    let accepting = tokio::spawn(async move {
        while let Ok((mut conn, peer)) = listener.accept().await {
            let tag = hear(&mut conn).await;
            drop(heard.send((peer, tag)));
        }
    });
    for polls in (1..=POLLS).chain(2..=POLLS + 1) {
        // With first bytes, and without.
        let first = &FIRST[..FIRST.len() * (polls % 2)];
        let dialed = drop_after(polls, pair.beta.dial_with("α:1", first)).await;
        // A dial that completed before the drop is accepted, and sends no tag. One that did
        // not is not accepted, or cut.
        let (mut ended, mut cut) = (0, 0);
        let may_end = usize::from(dialed.is_some());
        let may_cut = usize::from(dialed.is_none() && !bed.is_exact());
        drop(dialed.map(Result::unwrap));
        assert_eq!(pair.beta.sockets(), [], "dropped at poll {polls}");

        let mut conn = pair.beta.dial("α:1").await.unwrap();
        assert_eq!(conn.local_addr(), "β:1");
        conn.write_u8(polls as u8).await.unwrap();
        loop {
            let (peer, heard) = tags.recv().await.unwrap();
            assert_eq!(peer, "β:1");
            match heard {
                Heard::Tag(tag) => {
                    assert_eq!(usize::from(tag), polls);
                    break;
                }
                Heard::Ended => ended += 1,
                Heard::Cut => cut += 1,
            }
            assert!(
                ended <= may_end && cut <= may_cut,
                "dropped at poll {polls}: {heard:?}"
            );
        }
    }
    eventually("α's ports are free", || pair.alpha.sockets().len() == 1).await;
    pair.alpha.close();
    accepting.await.unwrap();
    pair.close().await;
}

/// An accept that is dropped leaves the dial to the next accept, or closes it, and
/// frees its port.
pub async fn accept_dropped_at_every_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    for polls in (1..=POLLS).chain(1..=POLLS) {
        let beta = pair.beta.clone();
        let dial = tokio::spawn(async move { beta.dial("α:1").await });
        eventually("the dial waits", || listener.pending() == 1).await;
        let dropped = drop_after(polls, listener.accept()).await.is_none();
        eventually("α's port is free", || pair.alpha.sockets().len() == 1).await;
        let returned = !dropped || listener.pending() == 1;
        if dropped && returned {
            listener.accept().await.unwrap();
        }
        // Refused, or connected to an end that was closed or never returned by an accept.
        match dial.await.unwrap() {
            Ok(mut conn) if returned => assert_eq!(conn.read(&mut [0]).await.unwrap(), 0),
            Ok(mut conn) => assert_cut(&mut conn).await,
            Err(err) => assert_eq!(err.cause(), Cause::ConnectionRefused),
        }
        eventually("β's port is free", || pair.beta.sockets().is_empty()).await;
        let (_dialed, accepted) = connect(&pair.beta, &listener).await;
        assert_eq!(accepted.local_addr(), "α:2", "no port was lost");
    }
    pair.close().await;
}

/// A connection that was accepted but never returned to a caller is cut, so the dialer
/// cannot mistake it for one that was read to its end and closed.
pub async fn what_nobody_got_is_cut(bed: &dyn Bed) {
    for gone in [
        Gone::Accept,
        Gone::Incoming,
        Gone::Listener,
        Gone::Host,
        Gone::SubNetwork,
    ] {
        // After the connection has arrived at the accept, and before.
        for arrived in [true, false] {
            while !check_unreturned(bed, gone, arrived).await {}
        }
    }
}

/// Runs one case; returns false if the accept was too fast, so that it must be repeated.
async fn check_unreturned(bed: &dyn Bed, gone: Gone, arrived: bool) -> bool {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let beta = pair.beta.clone();
    let dial = tokio::spawn(async move {
        let mut conn = beta.dial("α:1").await?;
        // No one reads this.
        drop(conn.write_all(b"unread").await);
        Ok::<_, OpError>(conn)
    });
    eventually("the dial waits", || listener.pending() == 1).await;
    let (mut accept, listener) = accepting(listener, gone);
    if poll_times(1, &mut accept).await.is_some() {
        // Another thread completed the dial during that poll.
        pair.close().await;
        return false;
    }
    let is_connected = |socket: &SocketInfo| matches!(socket.state, SocketState::Connected(_));
    if arrived {
        let has_arrived = || pair.alpha.sockets().iter().any(is_connected);
        eventually("the connection has arrived", has_arrived).await;
    }
    match gone {
        Gone::Accept | Gone::Incoming => {}
        Gone::Listener => listener.iter().for_each(|listener| listener.close()),
        Gone::Host => pair.alpha.close(),
        Gone::SubNetwork => pair.subnet_a.close().await.unwrap(),
    }
    match gone {
        Gone::Accept | Gone::Incoming => drop(accept),
        _ => drop(accept.await.expect_err("nothing is handed out any more")),
    }
    match dial.await.unwrap() {
        Ok(mut conn) => assert_cut(&mut conn).await,
        // Elsewhere the cut may arrive before the reply.
        Err(err) if arrived && bed.is_exact() => {
            panic!("{gone:?}: the dial had succeeded: {err}")
        }
        // A subnetwork that was closed has freed the name.
        Err(err) if err.cause() == Cause::NoSuchHost && matches!(gone, Gone::SubNetwork) => {}
        Err(err) => assert_eq!(err.cause(), Cause::ConnectionRefused, "{gone:?}"),
    }
    eventually("β's port is free", || pair.beta.sockets().is_empty()).await;
    pair.close().await;
    true
}

type Accepting = Pin<Box<dyn Future<Output = Result<Conn, OpError>> + Send>>;

/// An accept, and its listener, unless a stream of connections owns that.
fn accepting(listener: Listener, gone: Gone) -> (Accepting, Option<Arc<Listener>>) {
    if let Gone::Incoming = gone {
        let mut incoming = listener.into_incoming();
        let next = async move { incoming.next().await.expect("one comes") };
        return (Box::pin(next), None);
    }
    let listener = Arc::new(listener);
    let accepts = Arc::clone(&listener);
    let accept = async move { accepts.accept().await.map(|(conn, _)| conn) };
    (Box::pin(accept), Some(listener))
}

/// What is dropped or closed before an accept returns the dial that it has taken.
#[derive(Debug, Clone, Copy)]
enum Gone {
    Accept,
    Incoming,
    Listener,
    Host,
    SubNetwork,
}

/// A dropped `new_host` leaves no name, in the subnetwork or in the registry.
pub async fn new_host_dropped_at_every_poll(bed: &dyn Bed) {
    for polls in 1..=POLLS {
        let (a, b) = (bed.subnetwork().await, bed.subnetwork().await);
        let Some(host) = drop_after(polls, a.new_host("γ")).await else {
            // The registry may need some time to free the name.
            let freed = async {
                loop {
                    match b.new_host("γ").await {
                        Ok(host) => break host,
                        Err(err) => assert_eq!(err.cause(), Cause::HostAlreadyRegistered),
                    }
                    tokio::task::yield_now().await;
                }
            };
            assert_eq!(freed.await.name(), "γ");
            a.close().await.unwrap();
            b.close().await.unwrap();
            continue;
        };
        assert_eq!(host.unwrap().name(), "γ");
        a.close().await.unwrap();
        b.close().await.unwrap();
    }
}

/// A close continues after its future was dropped.
pub async fn close_dropped_at_first_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    drop_after(1, pair.subnet_a.close()).await;
    let err = pair.alpha.listen("").unwrap_err();
    assert_eq!(err.cause(), Cause::NetworkDown);
    pair.subnet_a.close().await.unwrap();
    let again = bed.subnetwork().await;
    again.new_host("α").await.expect("the close freed the name");
    again.close().await.unwrap();
    pair.close().await;
}

/// A close does not wait for callers: it ends calls that were started and are no longer
/// polled.
pub async fn close_with_calls_nobody_polls(bed: &dyn Bed) {
    for polls in 1..=POLLS {
        let pair = Pair::new(bed).await;
        let listener = pair.alpha.listen(":1").unwrap();
        let (mut dial, mut host, mut accept) = (
            Box::pin(pair.beta.dial("α:1")),
            Box::pin(pair.subnet_b.new_host("γ")),
            Box::pin(listener.accept()),
        );
        assert!(
            poll_times(polls, &mut dial).await.is_none(),
            "nobody accepts yet"
        );
        let made = poll_times(polls, &mut host).await.is_some();
        let taken = poll_times(1, &mut accept).await.map(Result::unwrap);
        // Over a network the dial may have arrived by now.
        assert!(
            taken.is_none() || !bed.is_exact(),
            "the dial goes no further"
        );
        pair.subnet_b.close().await.unwrap();
        pair.subnet_a.close().await.unwrap();
        if !made {
            assert_eq!(host.await.unwrap_err().cause(), Cause::NetworkDown);
        }
        if taken.is_none() {
            assert_eq!(accept.await.unwrap_err().cause(), Cause::NetworkDown);
        }
        assert_eq!(dial.await.unwrap_err().cause(), Cause::NetworkDown);
    }
}
