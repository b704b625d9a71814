//! The handshake against peers that send frames in any order, in any pieces, at any
//! time: each side ends within its timeouts, with the outcome that its bytes
//! require.
//!
//! Owns no production code. Never judges the outcome: the oracle does, by the bytes
//! that a side read and wrote, in order. Never makes choices: they come from
//! numbers, here from a seed, and in `fuzz/` from the fuzzer's bytes.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, DuplexStream, copy, duplex, sink, split};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::wire::frame::{CONFIRM, Refusal};
use crate::wire::handshake::{
    AcceptHandle, AcceptOutcome, HandshakeError, WAITING_AFTER, accept, dial,
};
pub(super) use oracle::read;
use oracle::{READ, Tap, of_acceptor, of_dialer};

const BOUND: Duration = Duration::from_secs(3);
/// Longer than every timeout.
const LONG: Duration = Duration::from_secs(1000);
const PORT: u16 = 258;

/// An accepted dial, whose accept is cancelled after a while.
#[derive(Debug)]
pub(super) struct Decided(Duration);

impl AcceptHandle for Decided {
    fn port(&self) -> u16 {
        PORT
    }

    async fn cancelled(&mut self) {
        sleep(self.0).await;
    }
}

/// The hosts of the acceptor; the first one listens.
fn dialed(rng: &mut Rng) -> Hello {
    let src = Addr::new("net", "α", 1).unwrap();
    let host = rng.one_of(&["β", "β", "β", "γ", "δ"]);
    Hello {
        src,
        dst: Addr::new("net", host, 2).unwrap(),
    }
}

fn checked(hello: &Hello) -> Result<(), Refusal> {
    if hello.dst.host() == "γ" {
        Err(Refusal::WrongHost)
    } else {
        Ok(())
    }
}

async fn accept_at(mut tap: Tap, decision: Duration, cancel: Duration) -> AcceptOutcome<Decided> {
    let (mut reader, mut writer) = split(&mut tap);
    let decide = |hello: Hello| async move {
        sleep(decision).await;
        match hello.dst.host() {
            "β" => Ok(Decided(cancel)),
            _ => Err(Refusal::NoSuchHost),
        }
    };
    accept(&mut reader, &mut writer, BOUND, checked, decide).await
}

async fn dial_at(mut tap: Tap, hello: &Hello, within: Duration) -> Result<u16, HandshakeError> {
    let (mut reader, mut writer) = split(&mut tap);
    dial(&mut reader, &mut writer, hello, Instant::now() + within).await
}

fn moment(rng: &mut Rng) -> Duration {
    let any = Duration::from_millis(rng.below(4000) as u64);
    rng.one_of(&[Duration::ZERO, Duration::ZERO, any, WAITING_AFTER, BOUND])
}

/// One frame of any type, sometimes an invalid one.
fn frame(rng: &mut Rng) -> Vec<u8> {
    let code = rng.below(9) as u8;
    let mut frame = match rng.below(9) {
        0 | 1 => dialed(rng).encode(),
        2 | 3 => vec![CONFIRM],
        4 => Reply::Waiting.encode(),
        5 | 6 => Reply::Accepted(rng.port()).encode(),
        7 => vec![2, code],
        _ => {
            let count = rng.below(5);
            rng.bytes(count)
        }
    };
    if !frame.is_empty() {
        let at = rng.below(frame.len());
        match rng.below(16) {
            0 => frame[at] ^= 1 << rng.below(8),
            1 => frame.truncate(at),
            2 => frame.insert(at, rng.next() as u8),
            _ => {}
        }
    }
    frame
}

/// Sends frames, in pieces and with pauses; then waits, or not, and ends.
async fn send_any(stream: DuplexStream, frames: Vec<Vec<u8>>, rng: &mut Rng) {
    let (mut reader, mut writer) = split(stream);
    let hears = rng.below(8) > 0;
    let sending = async {
        for frame in frames {
            sleep(moment(rng)).await;
            let most = rng.one_of(&[1, 3, 1000]);
            for piece in frame.chunks(most) {
                if !matches!(timeout(LONG, writer.write_all(piece)).await, Ok(Ok(()))) {
                    return;
                }
                if rng.below(20) == 0 {
                    sleep(moment(rng)).await;
                }
            }
        }
        sleep(rng.one_of(&[Duration::ZERO, LONG, LONG])).await;
    };
    let hearing = async {
        if hears {
            let _ = copy(&mut reader, &mut sink()).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! { () = sending => {}, () = hearing => {} }
}

/// An acceptor ends in time, and connects only after the right frames.
pub(super) async fn accepts(rng: &mut Rng) -> AcceptOutcome<Decided> {
    let (here, there) = duplex(rng.one_of(&[1, 8, 4096]));
    let (decision, cancel) = (moment(rng), rng.one_of(&[LONG, LONG, BOUND / 2]));
    let (tap, seen) = Tap::new(there, rng);
    let mut pace = rng.fork();
    let mut frames: Vec<_> = (0..rng.below(5)).map(|_| frame(rng)).collect();
    // So that some dials get past the first frame.
    if rng.below(4) > 0 {
        frames.insert(0, dialed(rng).encode());
    }
    let start = Instant::now();
    let accepting = async {
        let met = accept_at(tap, decision, cancel).await;
        (met, start.elapsed())
    };
    let ((met, took), ()) = tokio::join!(accepting, send_any(here, frames, &mut pace));
    let seen = seen.lock().unwrap();
    let holds = of_acceptor(&met, &seen, took, decision);
    assert!(holds, "{met:?} after {took:?} and {:?}", seen.events);
    met
}

/// A dialer ends in time, and confirms only what was accepted.
pub(super) async fn dials(rng: &mut Rng) -> Result<u16, HandshakeError> {
    let (here, there) = duplex(rng.one_of(&[1, 8, 4096]));
    let (hello, within) = (dialed(rng), moment(rng) + BOUND / 2);
    let (tap, seen) = Tap::new(here, rng);
    let mut pace = rng.fork();
    let frames: Vec<_> = (0..rng.below(4)).map(|_| frame(rng)).collect();
    let start = Instant::now();
    let dialing = async {
        let dialed = dial_at(tap, &hello, within).await;
        (dialed, start.elapsed())
    };
    let ((dialed, took), ()) = tokio::join!(dialing, send_any(there, frames, &mut pace));
    let seen = seen.lock().unwrap();
    // It waits without a limit only after Waiting.
    let waited = seen.events.contains(&(READ, 0));
    let holds = of_dialer(&dialed, &hello, &seen) && (took <= within || waited);
    assert!(holds, "{dialed:?} after {took:?} and {:?}", seen.events);
    dialed
}

/// Both sides agree, whatever the times and pieces. Returns the outcome.
pub(super) async fn agree(rng: &mut Rng) -> bool {
    let (here, there) = duplex(rng.one_of(&[1, 8, 4096]));
    let (dialer, dialer_saw) = Tap::new(here, rng);
    let (acceptor, acceptor_saw) = Tap::new(there, rng);
    let (decision, cancel) = (moment(rng), rng.one_of(&[LONG, Duration::ZERO]));
    let (hello, within) = (dialed(rng), moment(rng));
    // The caller may also cancel the dial.
    let patience = rng.one_of(&[LONG, LONG, decision]);
    let dialing = timeout(patience, dial_at(dialer, &hello, within));
    let start = Instant::now();
    let accepting = async {
        let met = accept_at(acceptor, decision, cancel).await;
        (met, start.elapsed())
    };
    let (dialed, (met, took)) = tokio::join!(dialing, accepting);
    let (dialer_saw, acceptor_saw) = (dialer_saw.lock().unwrap(), acceptor_saw.lock().unwrap());
    let has = matches!(met, AcceptOutcome::Connected(_) | AcceptOutcome::Orphaned);
    let is_held = matches!(dialed, Ok(Ok(PORT)));
    assert_eq!(has, is_held, "{dialed:?} {met:?}");
    let as_said = |dialed| of_dialer(&dialed, &hello, &dialer_saw);
    assert!(of_acceptor(&met, &acceptor_saw, took, decision), "{met:?}");
    assert!(dialed.map_or(true, as_said), "{:?}", dialer_saw.events);
    is_held
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_ends_in_time_and_connects_only_in_order() {
    let (mut connected, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let met = accepts(&mut Rng::new(seed)).await;
        connected += usize::from(matches!(met, AcceptOutcome::Connected(_)));
        refused += usize::from(matches!(met, AcceptOutcome::Refused(..)));
    }
    assert!(connected > 200 && refused > 200, "{connected}, {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_ends_in_time_and_confirms_only_what_was_accepted() {
    let (mut succeeded, mut timed_out) = (0, 0);
    for seed in 0..20_000 {
        let dialed = dials(&mut Rng::new(seed)).await;
        succeeded += usize::from(dialed.is_ok());
        timed_out += usize::from(matches!(dialed, Err(HandshakeError::TimedOut)));
    }
    assert!(
        succeeded > 200 && timed_out > 200,
        "{succeeded}, {timed_out}"
    );
}

#[tokio::test(start_paused = true)]
async fn both_sides_agree_whatever_the_times_and_pieces() {
    let mut agreed = 0;
    for seed in 0..10_000 {
        agreed += usize::from(agree(&mut Rng::new(seed)).await);
    }
    assert!((200..9_800).contains(&agreed), "{agreed}");
}

// The fuzzer uses it, too: it includes this file by its path.
#[path = "oracle.rs"]
mod oracle;
