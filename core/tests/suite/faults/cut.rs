//! Cuts: silence, until it is healed or the bounds are over.
//!
//! Owns the row *cut* of the matrix. Never cuts what a program itself would have to notice.
//! The clock is paused: a `sleep` here waits for nobody, it is the silence that is tested.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use virtnet_core::Cause;
use virtnet_core::pipe::{PIPE_CAPACITY, PipeNetwork};

use crate::faults::net::{
    DIAL, IDLE, Net, SECOND, both_see, cause, hangs, reads, takes, works, writes,
};

const BOTH: &str = "cut α -> β\ncut β -> α";
const EITHER: [&str; 3] = ["cut α -> β", "cut β -> α", BOTH];

#[tokio::test(start_paused = true)]
async fn a_new_dial_times_out_and_the_listener_sees_nothing() {
    for plan in EITHER {
        let net = Net::new().await;
        net.set(plan);
        let dialed = takes(DIAL, net.alpha.dial("β:1")).await;
        let err = dialed.unwrap_err();
        let rule = plan.lines().next().unwrap();
        assert_eq!(
            err.to_string(),
            format!(
                "dial pipet α:1->β:1: no answer from host \"β\" within 3s: fault rule {rule:?}"
            )
        );
        assert_eq!(err.cause(), Cause::TimedOut);
        assert_eq!((net.listener.pending(), net.alpha.sockets().len()), (0, 0));
        assert_eq!(net.counted("dials_cut"), 1);
        net.heal();
        works(net.connect().await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_dial_goes_on_when_it_is_healed_in_time() {
    let net = Net::new().await;
    net.set(BOTH);
    let heal = async {
        sleep(2 * SECOND).await;
        net.heal();
    };
    let (ends, ()) = takes(2 * SECOND, async { tokio::join!(net.connect(), heal) }).await;
    works(ends).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_under_way_goes_on_after_healing() {
    let net = Net::new().await;
    let later = async {
        while net.listener.pending() == 0 {
            tokio::task::yield_now().await;
        }
        net.set(BOTH);
        let (accepted, _) = net.listener.accept().await.unwrap();
        sleep(9 * SECOND).await;
        net.heal();
        accepted
    };
    let dial = async { tokio::join!(net.alpha.dial("β:1"), later) };
    let (dialed, accepted) = takes(9 * SECOND, dial).await;
    works((dialed.unwrap(), accepted)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_under_way_ends_after_the_idle_time() {
    for plan in EITHER {
        for accepts in [true, false] {
            if accepts && plan == "cut α -> β" {
                // The answer comes back.
                continue;
            }
            let net = Net::new().await;
            let later = async {
                while net.listener.pending() == 0 {
                    tokio::task::yield_now().await;
                }
                net.set(plan);
                if accepts {
                    let (mut conn, _) = net.listener.accept().await.unwrap();
                    assert_eq!(cause(conn.read_u8().await), Cause::TimedOut);
                }
            };
            let dial = async { tokio::join!(net.alpha.dial("β:1"), later) };
            let (dialed, ()) = takes(IDLE, dial).await;
            assert_eq!(dialed.unwrap_err().cause(), Cause::TimedOut, "{plan}");
            assert_eq!(net.listener.pending(), 0);
            net.heal();
            works(net.connect().await).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_times_out_at_both_ends() {
    for plan in EITHER {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        // One task waits already, the other one looks later.
        let cut = async {
            tokio::task::yield_now().await;
            net.set(plan);
            sleep(SECOND).await;
            accepted.read_u8().await
        };
        let (at_alpha, at_beta) = takes(IDLE, async { tokio::join!(dialed.read_u8(), cut) }).await;
        let err = at_alpha.unwrap_err();
        assert_eq!(err.to_string(), "read pipet β:2->α:1: timed out");
        let why = std::error::Error::source(virtnet_core::OpError::of(&err).unwrap()).unwrap();
        let rule = plan.lines().next().unwrap();
        assert!(why.to_string().contains("nothing arrived for 10s"), "{why}");
        assert!(why.to_string().contains(rule) || plan == BOTH, "{why}");
        assert_eq!(cause(at_beta), Cause::TimedOut);
        both_see(Cause::TimedOut, &mut dialed, &mut accepted).await;
        assert_eq!(
            net.alpha.sockets().len(),
            1,
            "the port is taken until it is dropped"
        );
        net.heal();
        both_see(Cause::TimedOut, &mut dialed, &mut accepted).await;
        drop((dialed, accepted));
        works(net.connect().await).await;
        assert_eq!(net.counted("connections_cut"), 2);
    }
}

/// Nobody looked while it was cut: it has timed out all the same, at both ends.
#[tokio::test(start_paused = true)]
async fn a_connection_at_which_nobody_waits_times_out_too() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "lost").await;
    net.set(BOTH);
    sleep(IDLE + SECOND).await;
    net.heal();
    both_see(Cause::TimedOut, &mut dialed, &mut accepted).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_in_flight_wait_and_arrive_at_once_after_healing() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "before ").await;
    net.set("cut α -> β");
    writes(&mut dialed, "during").await;
    hangs(5 * SECOND, accepted.read_u8()).await;
    // The other direction is not cut.
    writes(&mut accepted, "back").await;
    reads(&mut dialed, "back").await;
    net.heal();
    takes(Duration::ZERO, reads(&mut accepted, "before during")).await;
    // The silence was broken: another one takes its own time.
    net.set(BOTH);
    hangs(IDLE - SECOND, accepted.read_u8()).await;
    net.heal();
    works((dialed, accepted)).await;
}

/// A task that waits when it is healed is woken.
#[tokio::test(start_paused = true)]
async fn a_read_that_waits_goes_on_at_once() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set(BOTH);
    writes(&mut dialed, "x").await;
    let heal = async {
        sleep(4 * SECOND).await;
        net.heal();
    };
    let read = async { tokio::join!(reads(&mut accepted, "x"), heal) };
    takes(4 * SECOND, read).await;
    works((dialed, accepted)).await;
}

#[tokio::test(start_paused = true)]
async fn writes_succeed_until_the_buffers_are_full_and_then_time_out() {
    let net = Net::new().await;
    let (mut dialed, _accepted) = net.connect().await;
    net.set("cut α -> β");
    dialed.write_all(&vec![7; PIPE_CAPACITY]).await.unwrap();
    let full = takes(IDLE, dialed.write_all(b"x")).await;
    assert_eq!(cause(full), Cause::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_keeps_its_end_for_later() {
    for heals in [true, false] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        writes(&mut dialed, "all").await;
        dialed.shutdown().await.unwrap();
        net.set(BOTH);
        hangs(5 * SECOND, accepted.read_u8()).await;
        if heals {
            net.heal();
            reads(&mut accepted, "all").await;
            assert_eq!(accepted.read(&mut [0]).await.unwrap(), 0);
            writes(&mut accepted, "answer").await;
            reads(&mut dialed, "answer").await;
        } else {
            takes(5 * SECOND, async {
                assert_eq!(cause(accepted.read_u8().await), Cause::TimedOut);
            })
            .await;
            both_see(Cause::TimedOut, &mut dialed, &mut accepted).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_is_not_seen() {
    for (aborts, heals) in [(false, true), (false, false), (true, true), (true, false)] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        net.set(BOTH);
        writes(&mut dialed, "last words").await;
        match aborts {
            true => dialed.abort(),
            false => dialed.close(),
        }
        assert!(net.alpha.sockets().is_empty(), "its own end is closed");
        hangs(5 * SECOND, accepted.read_u8()).await;
        hangs(SECOND, accepted.write_all(&vec![7; 2 * PIPE_CAPACITY])).await;
        if heals {
            net.heal();
        }
        match (aborts, heals) {
            (_, false) => {
                let read = takes(4 * SECOND, accepted.read_u8()).await;
                assert_eq!(cause(read), Cause::TimedOut);
            }
            (true, true) => assert_eq!(cause(accepted.read_u8().await), Cause::ConnectionCut),
            (false, true) => {
                reads(&mut accepted, "last words").await;
                assert_eq!(accepted.read(&mut [0]).await.unwrap(), 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_pairs_and_the_hosts_themselves_notice_nothing() {
    let net = Net::new().await;
    let gamma = net.subnets[0].new_host("γ").await.unwrap();
    let before = net.connect().await;
    net.set(BOTH);
    for host in [&gamma, &net.beta] {
        let (dialed, accepted) = tokio::join!(host.dial("β:1"), net.listener.accept());
        works((dialed.unwrap(), accepted.unwrap().0)).await;
    }
    assert_eq!(net.counted("dials_cut"), 0);
    net.heal();
    works(before).await;
}

#[tokio::test(start_paused = true)]
async fn a_pattern_means_others_and_no_host_itself() {
    let net = Net::new().await;
    let itself = async || tokio::join!(net.beta.dial("β:1"), net.listener.accept());
    for plan in ["cut * -> *", "cut β -> *", "cut * -> β", "refuse * -> *"] {
        net.set(plan);
        let (dialed, accepted) = itself().await;
        works((dialed.unwrap(), accepted.unwrap().0)).await;
    }
    net.alpha.dial("β:1").await.unwrap_err();
    net.set("refuse β -> β");
    let err = net.beta.dial("β:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn silences_of_rules_that_follow_each_other_add_up() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("cut α -> β");
    sleep(6 * SECOND).await;
    net.set("cut β -> α");
    let read = takes(4 * SECOND, dialed.read_u8()).await;
    assert_eq!(cause(read), Cause::TimedOut);
    both_see(Cause::TimedOut, &mut dialed, &mut accepted).await;
}

#[tokio::test(start_paused = true)]
async fn a_network_with_its_own_bounds_ends_sooner() {
    let bounds = [300, 700].map(Duration::from_millis);
    let network = PipeNetwork::new("pipet").unwrap();
    let net = Net::of(network.with_bounds(bounds[0], bounds[1])).await;
    let (mut dialed, _accepted) = net.connect().await;
    net.set(BOTH);
    let (read, dial) = tokio::join!(
        takes(bounds[1], dialed.read_u8()),
        takes(bounds[0], net.alpha.dial("β:1")),
    );
    assert_eq!(cause(read), Cause::TimedOut);
    assert_eq!(dial.unwrap_err().cause(), Cause::TimedOut);
}
