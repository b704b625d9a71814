//! Holds: everything waits, and goes on in order.
//!
//! Owns the row *hold* of the matrix. Never lets anything end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use virtnet_core::Cause;
use virtnet_core::pipe::PIPE_CAPACITY;

use crate::faults::net::{DIAL, Net, SECOND, cause, hangs, reads, takes, works, writes};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_new_dial_waits_and_then_has_all_its_time() {
    let net = Net::new().await;
    net.set("hold α -> β");
    let later = async {
        sleep(HOUR).await;
        assert_eq!((net.listener.pending(), net.counted("dials_held")), (0, 1));
        // The dial's own bound begins now.
        net.set("cut α -> β");
        sleep(2 * SECOND).await;
        net.heal();
    };
    let both = async { tokio::join!(net.connect(), later) };
    let (ends, ()) = takes(HOUR + 2 * SECOND, both).await;
    works(ends).await;
    net.set("hold α -> β");
    let cut = async {
        sleep(HOUR).await;
        net.set("cut α -> β");
    };
    let dial = async { tokio::join!(net.alpha.dial("β:1"), cut).0 };
    let err = takes(HOUR + DIAL, dial).await.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_given_up_while_it_is_held_leaves_nothing() {
    let net = Net::new().await;
    for plan in ["hold α -> β", "hold β -> α"] {
        net.set(plan);
        let accepted = tokio::join!(
            timeout(HOUR, net.alpha.dial("β:1")),
            timeout(HOUR, net.listener.accept()),
        )
        .1;
        assert_eq!(net.alpha.sockets().len(), 0, "{plan}");
        net.heal();
        if let Ok(accepted) = accepted {
            assert_eq!(
                plan, "hold β -> α",
                "the acceptor may have what waits to come back"
            );
            let (mut conn, _) = accepted.unwrap();
            assert_eq!(cause(conn.read_u8().await), Cause::ConnectionCut);
        }
        assert_eq!((net.listener.pending(), net.beta.sockets().len()), (0, 1));
    }
    works(net.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_dial_waits_where_the_acceptor_has_it() {
    let net = Net::new().await;
    net.set("hold β -> α");
    let later = async {
        let (mut accepted, _) = net.listener.accept().await.unwrap();
        writes(&mut accepted, "early").await;
        sleep(HOUR).await;
        net.heal();
        accepted
    };
    let both = async { tokio::join!(net.alpha.dial("β:1"), later) };
    let (dialed, accepted) = takes(HOUR, both).await;
    let mut dialed = dialed.unwrap();
    reads(&mut dialed, "early").await;
    works((dialed, accepted)).await;
    // A refusal is an answer too.
    net.set("hold β -> α");
    let heal = async {
        sleep(HOUR).await;
        net.heal();
    };
    let refused = async { tokio::join!(net.alpha.dial("β:9"), heal).0 };
    let err = takes(HOUR, refused).await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn a_dial_under_way_has_arrived_already() {
    let net = Net::new().await;
    let later = async {
        while net.listener.pending() == 0 {
            tokio::task::yield_now().await;
        }
        net.set("hold α -> β");
        net.listener.accept().await.unwrap().0
    };
    let both = async { tokio::join!(net.alpha.dial("β:1"), later) };
    let (dialed, accepted) = takes(Duration::ZERO, both).await;
    net.heal();
    works((dialed.unwrap(), accepted)).await;
}

/// Only the acceptor's member knows the rule yet.
#[tokio::test(start_paused = true)]
async fn a_dial_of_a_member_without_the_rule_waits_at_the_acceptors() {
    let net = Net::new().await;
    let set = |plan: &str| {
        virtnet_core::conformance::enforce(&net.subnets[1], &plan.parse().unwrap()).unwrap();
    };
    set("hold α -> β");
    let heal = async {
        sleep(HOUR).await;
        assert_eq!(net.listener.pending(), 0);
        set("");
    };
    let (ends, ()) = takes(HOUR, async { tokio::join!(net.connect(), heal) }).await;
    works(ends).await;
    // It does not keep the subnetwork.
    set("hold α -> β");
    let close = async {
        sleep(SECOND).await;
        net.subnets[1].close().await.unwrap();
    };
    let (dialed, ()) = tokio::join!(net.alpha.dial("β:1"), close);
    assert_eq!(dialed.unwrap_err().cause(), Cause::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_and_bytes_arrive_in_order() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "one ").await;
    net.set("hold α -> β\nhold β -> α");
    writes(&mut dialed, "two ").await;
    hangs(HOUR, tokio::io::join(&mut dialed, &mut accepted).read_u8()).await;
    hangs(HOUR, accepted.read_u8()).await;
    writes(&mut dialed, "three").await;
    net.heal();
    takes(Duration::ZERO, reads(&mut accepted, "one two three")).await;
    works((dialed, accepted)).await;
    assert_eq!(net.counted("connections_held"), 2);
    assert_eq!(net.counted("connections_cut"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_way_holds_leave_the_other_way_alone() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("hold α -> β");
    writes(&mut dialed, "held").await;
    writes(&mut accepted, "free").await;
    reads(&mut dialed, "free").await;
    hangs(SECOND, accepted.read_u8()).await;
    net.heal();
    reads(&mut accepted, "held").await;
}

#[tokio::test(start_paused = true)]
async fn writes_stop_when_the_buffers_are_full() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("hold α -> β");
    let data: Vec<u8> = (0..3 * PIPE_CAPACITY).map(|i| (i % 251) as u8).collect();
    let mut written = 0;
    while let Ok(count) = timeout(HOUR, dialed.write(&data[written..])).await {
        written += count.unwrap();
    }
    assert_eq!(written, PIPE_CAPACITY);
    net.heal();
    let mut read = vec![0; data.len()];
    let (wrote, got) = tokio::join!(
        dialed.write_all(&data[written..]),
        accepted.read_exact(&mut read)
    );
    wrote.unwrap();
    got.unwrap();
    assert!(read == data, "byte by byte");
}

#[tokio::test(start_paused = true)]
async fn ends_and_cuts_wait_too() {
    for how in ["shutdown", "close", "abort"] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        net.set("hold α -> β");
        writes(&mut dialed, "last words").await;
        match how {
            "shutdown" => dialed.shutdown().await.unwrap(),
            "close" => dialed.close(),
            _ => dialed.abort(),
        }
        hangs(HOUR, accepted.read_u8()).await;
        // What the peer did is not known to writes either.
        hangs(HOUR, accepted.write_all(&vec![7; 2 * PIPE_CAPACITY])).await;
        net.heal();
        if how == "abort" {
            assert_eq!(cause(accepted.read_u8().await), Cause::ConnectionCut);
        } else {
            reads(&mut accepted, "last words").await;
            assert_eq!(accepted.read(&mut [0]).await.unwrap(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn closing_ones_own_end_needs_no_release() {
    let net = Net::new().await;
    let (mut dialed, accepted) = net.connect().await;
    net.set("hold * -> *");
    let close = async {
        tokio::task::yield_now().await;
        net.alpha.close();
    };
    let (read, ()) = tokio::join!(dialed.read_u8(), close);
    assert_eq!(cause(read), Cause::HostDown);
    drop(accepted);
    assert_eq!(net.beta.sockets().len(), 1);
    for subnet in &net.subnets {
        subnet.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_what_is_held() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("hold α -> β\ncut α -> β");
    let (one, other) = takes(10 * SECOND, async {
        tokio::join!(dialed.read_u8(), accepted.read_u8())
    })
    .await;
    assert_eq!([cause(one), cause(other)], [Cause::TimedOut; 2]);
}
