//! When a rule acts: for some dials, after some bytes, for some time, at some port or connection.
//!
//! Owns the triggers and scopes. Never tests a kind of fault for itself.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use virtnet_core::Cause;

use crate::faults::net::{
    DIAL, IDLE, Net, SECOND, both_see, cause, hangs, reads, takes, works, writes,
};

#[tokio::test(start_paused = true)]
async fn the_first_two_dials_fail_and_the_third_succeeds() {
    for (kind, failed) in [
        ("refuse", Cause::ConnectionRefused),
        ("cut", Cause::TimedOut),
    ] {
        let net = Net::new().await;
        net.set(&format!("{kind} α -> β dials 1-2"));
        let ends = net.beta.listen("β:5").unwrap();
        for port in ["β:1", "β:5"] {
            let err = net.alpha.dial(port).await.unwrap_err();
            assert_eq!(err.cause(), failed, "{kind} {port}");
        }
        works(net.connect().await).await;
        drop(ends);
        // A table that keeps the rule keeps its count.
        net.set(&format!("{kind} α -> β dials 1-2\ncut γ -> δ"));
        works(net.connect().await).await;
        // Once healed and set again, it counts anew.
        net.heal();
        net.set(&format!("{kind} α -> β dials 1-2"));
        assert_eq!(net.alpha.dial("β:1").await.unwrap_err().cause(), failed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_dial_lets_the_next_one_pass_it() {
    let net = Net::new().await;
    net.set("hold α -> β dials 1");
    let first = net.alpha.clone();
    let first = tokio::spawn(async move { first.dial("β:1").await });
    tokio::task::yield_now().await;
    let (second, accepted) = net.connect().await;
    assert_eq!(second.local_addr(), "α:2");
    works((second, accepted)).await;
    net.heal();
    let (accepted, peer) = net.listener.accept().await.unwrap();
    assert_eq!(peer, "α:1");
    works((first.await.unwrap().unwrap(), accepted)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_asks_again_is_counted_once() {
    let net = Net::new().await;
    net.set("hold α -> β for 1s\nrefuse α -> β dials 2");
    works(takes(SECOND, net.connect()).await).await;
    net.alpha.dial("β:1").await.unwrap_err();
    works(net.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn dials_of_the_other_host_are_not_counted() {
    let net = Net::new().await;
    let listener = net.alpha.listen("α:9").unwrap();
    net.set("refuse α -> β dials 1");
    let (dialed, accepted) = tokio::join!(net.beta.dial("α:9"), listener.accept());
    works((dialed.unwrap(), accepted.unwrap().0)).await;
    net.alpha.dial("β:1").await.unwrap_err();
    works(net.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_after_some_bytes_lets_exactly_these_through() {
    let net = Net::new().await;
    net.set("cut α -> β after 6B");
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "abc").await;
    reads(&mut accepted, "abc").await;
    sleep(2 * IDLE).await;
    writes(&mut dialed, "defghi").await;
    reads(&mut accepted, "def").await;
    // The other direction goes on, until the silence has lasted for too long.
    writes(&mut accepted, "back").await;
    reads(&mut dialed, "back").await;
    let ends = async { tokio::join!(dialed.read_u8(), accepted.read_u8()) };
    let (one, other) = takes(IDLE, ends).await;
    assert_eq!([cause(one), cause(other)], [Cause::TimedOut; 2]);
}

/// A silence is over when its cut is, even if another cut has not begun.
#[tokio::test(start_paused = true)]
async fn a_cut_that_has_not_begun_makes_no_silence() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("cut α -> β for 2s\ncut β -> α after 1MB");
    writes(&mut dialed, "x").await;
    takes(2 * SECOND, reads(&mut accepted, "x")).await;
    hangs(2 * IDLE, accepted.read_u8()).await;
    works((dialed, accepted)).await;
}

/// The end that has written all of it ends first; the other end may not learn that from it.
#[tokio::test(start_paused = true)]
async fn an_end_that_reads_slowly_sees_silence_and_no_cut() {
    let net = Net::new().await;
    net.set("cut α -> β after 6B");
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "abcdefghi").await;
    assert_eq!(cause(takes(IDLE, dialed.read_u8()).await), Cause::TimedOut);
    drop(dialed);
    let read = takes(IDLE, accepted.read_u8()).await;
    assert_eq!(cause(read), Cause::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_hold_after_some_bytes_holds_the_rest() {
    let net = Net::new().await;
    net.set("hold α -> β after 6B");
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "abcdefghi").await;
    reads(&mut accepted, "abcdef").await;
    hangs(100 * IDLE, accepted.read_u8()).await;
    net.heal();
    reads(&mut accepted, "ghi").await;
    works((dialed, accepted)).await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_some_bytes_comes_exactly_there() {
    let net = Net::new().await;
    net.set("reset α -> β after 6B");
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "abcdefghi").await;
    reads(&mut accepted, "abcdef").await;
    both_see(Cause::ConnectionCut, &mut accepted, &mut dialed).await;
    assert_eq!(net.counted("connections_reset"), 1);
    // Bytes of before the rule count too.
    net.heal();
    let (mut dialed, mut accepted) = net.connect().await;
    writes(&mut dialed, "abcdef").await;
    reads(&mut accepted, "abcdef").await;
    net.set("reset α -> β after 6B");
    both_see(Cause::ConnectionCut, &mut accepted, &mut dialed).await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_some_time_heals_by_itself() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    for kind in ["cut", "hold"] {
        net.set(&format!("{kind} α -> β for 4s"));
        writes(&mut dialed, "x").await;
        takes(4 * SECOND, reads(&mut accepted, "x")).await;
    }
    net.heal();
    net.set("hold α -> β for 4s");
    let ends = takes(4 * SECOND, net.connect()).await;
    works(ends).await;
    net.set("cut α -> β for 2s");
    let ends = takes(2 * SECOND, net.connect()).await;
    works(ends).await;
    net.set("cut α -> β for 4s");
    let dialed_in_vain = takes(DIAL, net.alpha.dial("β:1")).await;
    assert_eq!(dialed_in_vain.unwrap_err().cause(), Cause::TimedOut);
    sleep(SECOND).await;
    net.set("refuse α -> β for 1s");
    net.alpha.dial("β:1").await.unwrap_err();
    sleep(SECOND).await;
    works(net.connect().await).await;
    // Nobody looked in between: it was silent for long enough all the same.
    net.set("cut α -> β for 11s");
    sleep(2 * IDLE).await;
    both_see(Cause::TimedOut, &mut dialed, &mut accepted).await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_a_port_is_for_what_was_dialed_there() {
    let net = Net::new().await;
    let other = net.beta.listen("β:5").unwrap();
    let (mut dialed, mut accepted) = net.connect().await;
    let (free, free_accepted) = tokio::join!(net.alpha.dial("β:5"), other.accept());
    let (mut free, mut free_accepted) = (free.unwrap(), free_accepted.unwrap().0);
    net.set("cut α -> β port 1\nhold β -> α port 1");
    writes(&mut dialed, "x").await;
    writes(&mut free, "y").await;
    reads(&mut free_accepted, "y").await;
    hangs(SECOND, accepted.read_u8()).await;
    let err = takes(DIAL, net.alpha.dial("β:1")).await.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut);
    let (second, second_accepted) = tokio::join!(net.alpha.dial("β:5"), other.accept());
    works((second.unwrap(), second_accepted.unwrap().0)).await;
    net.set("refuse α -> β port 5\nreset α -> β port 5");
    net.alpha.dial("β:5").await.unwrap_err();
    both_see(Cause::ConnectionCut, &mut free, &mut free_accepted).await;
    reads(&mut accepted, "x").await;
    works((dialed, accepted)).await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_one_connection_leaves_its_neighbours_alone() {
    let net = Net::new().await;
    let (mut first, mut accepted) = net.connect().await;
    let (second, second_accepted) = net.connect().await;
    let (mut third, mut third_accepted) = net.connect().await;
    assert_eq!(
        (accepted.local_addr(), first.local_addr()),
        (&"β:2".into_addr(), &"α:1".into_addr())
    );
    net.set("hold β:2 -> α:1\nreset α:3 -> β:4");
    writes(&mut accepted, "held").await;
    hangs(SECOND, first.read_u8()).await;
    works((second, second_accepted)).await;
    both_see(Cause::ConnectionCut, &mut third, &mut third_accepted).await;
    works(net.connect().await).await;
    net.heal();
    reads(&mut first, "held").await;
    first.shutdown().await.unwrap();
    assert_eq!(accepted.read(&mut [0]).await.unwrap(), 0);
}

trait IntoAddr {
    fn into_addr(self) -> virtnet_core::Addr;
}

impl IntoAddr for &str {
    fn into_addr(self) -> virtnet_core::Addr {
        virtnet_core::Addr::parse("pipet", self).unwrap()
    }
}
