//! The handshake over in-memory pipes, with buffers down to one byte.
//!
//! Owns no production code.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use tokio::io::{DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex, split};
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

/// An accepted dial, in place of core's `Accept`.
struct Fake(Arc<AtomicBool>);

impl Drop for Fake {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

/// Whether a [`Fake`] was dropped.
type Dropped = Arc<AtomicBool>;

/// A reading direction that is read ahead, to find its end.
struct Ahead {
    inner: ReadHalf<DuplexStream>,
    bytes: Vec<u8>,
}

impl AsyncRead for Ahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let some = buf.remaining().min(self.bytes.len());
        buf.put_slice(&self.bytes.drain(..some).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl DialReader for Ahead {
    async fn given_up(&mut self) {
        while self.inner.read_buf(&mut self.bytes).await.unwrap() > 0 {}
    }
}

type Halves = (Ahead, WriteHalf<DuplexStream>);

fn pipe(capacity: usize) -> (Halves, Halves) {
    let (one, other) = duplex(capacity);
    let halves = |stream| {
        let (inner, writer) = split(stream);
        let bytes = Vec::new();
        (Ahead { inner, bytes }, writer)
    };
    (halves(one), halves(other))
}

/// An acceptor that accepts the dial after `delay`.
async fn accept_after(
    (reader, writer): &mut Halves,
    delay: Duration,
    dropped: Dropped,
) -> AcceptOutcome<Fake> {
    let decide = |received: Hello| async move {
        assert_eq!(received, hello());
        sleep(delay).await;
        Ok((PORT, Fake(dropped)))
    };
    accept(reader, writer, BOUND, &[], |_| Ok(()), decide).await
}

async fn dial_in(halves: &mut Halves, within: Duration) -> Result<u16, HandshakeError> {
    dial_with(halves, b"", within).await
}

async fn dial_with(
    halves: &mut Halves,
    first: &[u8],
    within: Duration,
) -> Result<u16, HandshakeError> {
    let deadline = Instant::now() + within;
    dial(&mut halves.0, &mut halves.1, &hello(), first, deadline).await
}

#[tokio::test(start_paused = true)]
async fn accepted() {
    for capacity in [1, 8, 1024] {
        let (mut here, mut there) = pipe(capacity);
        let accepting = accept_after(&mut there, Duration::ZERO, Dropped::default());
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
            let decide = |_| async { Err::<(u16, Fake), _>(refusal) };
            let accepting = accept(&mut reader, &mut writer, BOUND, &[], check, decide);
            // First bytes that nobody reads do not hide the refusal.
            let dialing = dial_with(&mut here, b"lost", BOUND);
            let (dialed, met) = tokio::join!(dialing, accepting);
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
        let (mut here, mut there) = pipe(capacity);
        let accepting = accept_after(&mut there, 100 * BOUND, Dropped::default());
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

#[tokio::test(start_paused = true)]
async fn first_bytes_are_the_first_that_the_acceptor_reads() {
    for capacity in [1, 8, 1024] {
        for delay in [Duration::ZERO, 2 * WAITING_AFTER] {
            let (mut here, mut there) = pipe(capacity);
            let accepting = async {
                let met = accept_after(&mut there, delay, Dropped::default()).await;
                let mut received = [0; 12];
                there.0.read_exact(&mut received).await.unwrap();
                (met, received)
            };
            let dialing = async {
                let dialed = dial_with(&mut here, b"first ", BOUND).await;
                here.1.write_all(b"second").await.unwrap();
                dialed
            };
            let (dialed, (met, received)) = tokio::join!(dialing, accepting);
            assert_eq!(dialed.unwrap(), PORT);
            assert!(matches!(met, AcceptOutcome::Connected(_)), "{met:?}");
            assert_eq!(&received, b"first second");
        }
    }
}

/// The reply waits for nothing: an acceptor whose dialer says nothing more is done.
#[tokio::test(start_paused = true)]
async fn a_dialer_that_stops_holds_up_nothing() {
    let (mut here, mut there) = pipe(1024);
    here.1.write_all(&hello().encode(b"")).await.unwrap();
    let start = Instant::now();
    let met = accept_after(&mut there, Duration::ZERO, Dropped::default()).await;
    assert!(matches!(met, AcceptOutcome::Connected(_)), "{met:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Polls a dial `polls` times, the acceptor after each, and then drops the dial.
/// Returns whether the dial had succeeded, how the acceptor ended, and whether that was
/// before the drop.
async fn abandon_after(
    polls: usize,
    capacity: usize,
    dropped: &Dropped,
) -> (bool, AcceptOutcome<Fake>, bool) {
    let (mut here, mut there) = pipe(capacity);
    let mut cx = Context::from_waker(Waker::noop());
    // The decision takes a while, so that a dial can be given up before it.
    let wait = Duration::from_millis(1);
    let mut accepting = Box::pin(accept_after(&mut there, wait, Arc::clone(dropped)));
    let mut early = None;
    let mut succeeded = false;
    {
        let mut dialing = Box::pin(dial_in(&mut here, BOUND));
        for poll in 0..polls {
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
            // After the Hello has passed at one byte a poll.
            if poll == 40 {
                tokio::time::advance(wait).await;
            }
        }
    }
    drop(here);
    match early {
        Some(met) => (succeeded, met, true),
        None => (succeeded, accepting.await, false),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_given_up_before_it_is_taken_is_abandoned() {
    for capacity in [1, 8, 1024] {
        let (mut polls, mut abandoned, mut late) = (0, 0, 0);
        loop {
            let dropped = Dropped::default();
            let (succeeded, met, early) = abandon_after(polls, capacity, &dropped).await;
            match &met {
                // Given up when the reply was on its way: the transport cuts that end.
                AcceptOutcome::Connected(_) if !succeeded => {
                    assert!(early, "after {polls} polls");
                    late += 1;
                }
                AcceptOutcome::Connected(_) => {}
                AcceptOutcome::Abandoned => {
                    assert!(!succeeded, "after {polls} polls");
                    abandoned += 1;
                }
                met => panic!("after {polls} polls: {met:?}"),
            }
            if succeeded {
                break;
            }
            polls += 1;
            assert!(polls < 1000, "the dial never succeeds");
        }
        assert!(abandoned > 1 && late > 0, "{capacity}: {abandoned}, {late}");
    }
}

/// A dialer whose buffers are full does not hold up the acceptor without a limit.
#[tokio::test(start_paused = true)]
async fn a_reply_that_cannot_be_written_is_bounded() {
    let (mut here, mut there) = pipe(64);
    here.1.write_all(&hello().encode(b"")).await.unwrap();
    there.1.write_all(&[0; 64]).await.unwrap();
    let (start, dropped) = (Instant::now(), Dropped::default());
    let met = accept_after(&mut there, Duration::ZERO, Arc::clone(&dropped)).await;
    assert!(matches!(met, AcceptOutcome::NotTold), "{met:?}");
    assert!(dropped.load(Relaxed), "the port is free");
    assert_eq!(start.elapsed(), BOUND);
}

#[path = "tests/abuse.rs"]
mod abuse;
