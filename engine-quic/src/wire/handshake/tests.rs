//! The handshake over in-memory pipes, with buffers down to one byte.
//!
//! Owns no production code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio_util::sync::CancellationToken;
use virtnet_core::Addr;

use super::*;

const BOUND: Duration = Duration::from_secs(3);
const PORT: u16 = 258;

fn hello() -> Hello {
    Hello {
        src: Addr::new("net", "α", 1).unwrap(),
        dst: Addr::new("net", "β", 2).unwrap(),
    }
}

/// A substitute for the core's `Accept`.
struct Fake {
    cancel: CancellationToken,
    dropped: Arc<AtomicBool>,
}

impl AcceptHandle for Fake {
    fn port(&self) -> u16 {
        PORT
    }

    async fn cancelled(&mut self) {
        self.cancel.cancelled().await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.dropped.store(true, Relaxed);
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

/// What tests observe and control of a [`Fake`].
#[derive(Clone, Default)]
struct Watch {
    cancel: CancellationToken,
    dropped: Arc<AtomicBool>,
}

impl Watch {
    fn fake(&self) -> Fake {
        Fake {
            cancel: self.cancel.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

type Halves = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);

fn pipe(capacity: usize) -> (Halves, Halves) {
    let (one, other) = duplex(capacity);
    (split(one), split(other))
}

/// An acceptor that accepts the dial after `delay`.
async fn accept_after(
    (mut reader, mut writer): Halves,
    delay: Duration,
    watch: Watch,
) -> AcceptOutcome<Fake> {
    let decide = |received: Hello| async move {
        assert_eq!(received, hello());
        sleep(delay).await;
        Ok(watch.fake())
    };
    accept(&mut reader, &mut writer, BOUND, |_| Ok(()), decide).await
}

async fn dial_in(halves: &mut Halves, within: Duration) -> Result<u16, HandshakeError> {
    let deadline = Instant::now() + within;
    dial(&mut halves.0, &mut halves.1, &hello(), deadline).await
}

#[tokio::test(start_paused = true)]
async fn accepted() {
    for capacity in [1, 8, 1024] {
        let (mut here, there) = pipe(capacity);
        let accepting = accept_after(there, Duration::ZERO, Watch::default());
        let (dialed, met) = tokio::join!(dial_in(&mut here, BOUND), accepting);
        assert_eq!(dialed.unwrap(), PORT);
        assert!(matches!(met, AcceptOutcome::Connected(_)), "{met:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused() {
    for refusal in [
        Refusal::NoSuchHost,
        Refusal::ConnectionRefused,
        Refusal::WrongHost,
    ] {
        for checked in [true, false] {
            let (mut here, (mut reader, mut writer)) = pipe(1);
            let check = |_: &Hello| if checked { Err(refusal) } else { Ok(()) };
            let decide = |_| async { Err::<Fake, _>(refusal) };
            let accepting = accept(&mut reader, &mut writer, BOUND, check, decide);
            let (dialed, met) = tokio::join!(dial_in(&mut here, BOUND), accepting);
            assert!(
                matches!(dialed, Err(HandshakeError::Refused(r)) if r == refusal),
                "{dialed:?}"
            );
            assert!(
                matches!(met, AcceptOutcome::Refused(r, true) if r == refusal),
                "{met:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_decision_is_waited_for_past_the_deadline() {
    for capacity in [1, 8] {
        let (mut here, there) = pipe(capacity);
        let accepting = accept_after(there, 100 * BOUND, Watch::default());
        let (dialed, met) = tokio::join!(dial_in(&mut here, BOUND), accepting);
        assert_eq!(dialed.unwrap(), PORT);
        assert!(matches!(met, AcceptOutcome::Connected(_)), "{met:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_first_reply_the_dial_times_out() {
    let (mut here, _there) = pipe(1024);
    let start = Instant::now();
    let dialed = dial_in(&mut here, BOUND).await;
    assert!(
        matches!(dialed, Err(HandshakeError::TimedOut)),
        "{dialed:?}"
    );
    assert_eq!(start.elapsed(), BOUND);
}

/// Polls a dial `polls` times, the acceptor after each, and then drops the dial.
/// Returns whether the dial had succeeded, and how the acceptor ended.
async fn abandon_after(
    polls: usize,
    capacity: usize,
    watch: &Watch,
) -> (bool, AcceptOutcome<Fake>) {
    let (mut here, there) = pipe(capacity);
    let mut cx = Context::from_waker(Waker::noop());
    let mut accepting = Box::pin(accept_after(there, Duration::ZERO, watch.clone()));
    let mut early = None;
    let mut succeeded = false;
    {
        let mut dialing = Box::pin(dial_in(&mut here, BOUND));
        for _ in 0..polls {
            if let Poll::Ready(dialed) = dialing.as_mut().poll(&mut cx) {
                dialed.unwrap();
                succeeded = true;
                break;
            }
            if early.is_none()
                && let Poll::Ready(met) = accepting.as_mut().poll(&mut cx)
            {
                early = Some(met);
            }
        }
    }
    if succeeded {
        // The dialer has its end; how the stream ends then does not matter here.
        let met = accepting.await;
        return (true, met);
    }
    drop(here);
    match early {
        Some(met) => (false, met),
        None => (false, accepting.await),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_given_up_at_any_poll_leaves_no_connection() {
    for capacity in [1, 8, 1024] {
        let mut polls = 0;
        loop {
            let watch = Watch::default();
            let (succeeded, met) = abandon_after(polls, capacity, &watch).await;
            if succeeded {
                assert!(matches!(met, AcceptOutcome::Connected(_)), "{met:?}");
                break;
            }
            assert!(
                matches!(met, AcceptOutcome::Abandoned),
                "after {polls} polls: {met:?}"
            );
            polls += 1;
            assert!(polls < 1000, "the dial never succeeds");
        }
        assert!(
            polls > 1,
            "with {capacity} bytes there was nothing to cancel"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_accept_cancelled_late_frees_its_port_and_closes() {
    let (mut here, there) = pipe(1024);
    let watch = Watch::default();
    let accepting = accept_after(there, Duration::ZERO, watch.clone());
    let dialing = async {
        here.1.write_all(&hello().encode()).await.unwrap();
        here.0.read_exact(&mut [0; 3]).await.unwrap();
        watch.cancel.cancel();
        // Time is paused until all tasks wait, so the cancel has been processed.
        sleep(Duration::from_millis(1)).await;
        assert!(watch.dropped.load(Relaxed));
        here.1.write_all(&[CONFIRM]).await.unwrap();
    };
    let (met, ()) = tokio::join!(accepting, dialing);
    assert!(matches!(met, AcceptOutcome::Orphaned), "{met:?}");
}

#[path = "tests/abuse.rs"]
mod abuse;
