//! The handshake against peers that send frames in any order, in any pieces, at any
//! time: each side ends within its timeouts, with the outcome that its bytes
//! require.
//!
//! Owns no production code. Never judges the outcome: the oracle does, by the bytes
//! that a side read and wrote, in order. Never makes choices: they come from
//! numbers, here from a seed, and in `fuzz/` from the fuzzer's bytes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, sink, split};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::wire::frame::Refusal;
use crate::wire::handshake::{AcceptOutcome, HandshakeError, WAITING_AFTER, accept, dial};
pub(super) use oracle::read;
use oracle::{READ, Tap, of_acceptor, of_dialer};

const BOUND: Duration = Duration::from_secs(3);
/// Longer than every timeout.
const LONG: Duration = Duration::from_secs(1000);
const PORT: u16 = 258;

/// An accepted dial.
#[derive(Debug)]
pub(super) struct Decided;

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

async fn accept_at(tap: Tap, decision: Duration) -> AcceptOutcome<Decided> {
    let (mut reader, mut writer) = tap.halves();
    let decide = |hello: Hello| async move {
        sleep(decision).await;
        match hello.dst.host() {
            "β" => Ok((PORT, Decided)),
            _ => Err(Refusal::NoSuchHost),
        }
    };
    accept(&mut reader, &mut writer, BOUND, &[], checked, decide).await
}

async fn dial_at(
    tap: Tap,
    (hello, first): (&Hello, &[u8]),
    within: Duration,
) -> Result<u16, HandshakeError> {
    let (mut reader, mut writer) = tap.halves();
    dial(
        &mut reader,
        &mut writer,
        hello,
        first,
        Instant::now() + within,
    )
    .await
}

/// The first bytes of a connection: often none.
fn first_bytes(rng: &mut Rng) -> Vec<u8> {
    let count = rng.one_of(&[0, 0, 1, 5, 300]);
    rng.bytes(count)
}

fn moment(rng: &mut Rng) -> Duration {
    let any = Duration::from_millis(rng.below(4000) as u64);
    rng.one_of(&[Duration::ZERO, Duration::ZERO, any, WAITING_AFTER, BOUND])
}

/// One frame of any type, sometimes an invalid one.
fn frame(rng: &mut Rng) -> Vec<u8> {
    let code = rng.below(9) as u8;
    let mut frame = match rng.below(9) {
        0 | 1 => dialed(rng).encode(b""),
        2 | 3 => first_bytes(rng),
        4 => Reply::Waiting.encode().to_vec(),
        5 | 6 => Reply::Accepted(rng.port()).encode().to_vec(),
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
    let decision = moment(rng);
    let (tap, seen) = Tap::new(there, rng);
    let mut pace = rng.fork();
    let mut frames: Vec<_> = (0..rng.below(5)).map(|_| frame(rng)).collect();
    // So that some dials get past the first frame.
    if rng.below(4) > 0 {
        frames.insert(0, dialed(rng).encode(b""));
    }
    let start = Instant::now();
    let accepting = async {
        let met = accept_at(tap, decision).await;
        (met, start.elapsed())
    };
    let ((met, took), ()) = tokio::join!(accepting, send_any(here, frames, &mut pace));
    let seen = seen.lock().unwrap();
    let holds = of_acceptor(&met, &seen, took, decision);
    assert!(holds, "{met:?} after {took:?} and {:?}", seen.events);
    met
}

/// A dialer ends in time, and has a connection only if it was accepted.
pub(super) async fn dials(rng: &mut Rng) -> Result<u16, HandshakeError> {
    let (here, there) = duplex(rng.one_of(&[1, 8, 4096]));
    let (hello, within) = (dialed(rng), moment(rng) + BOUND / 2);
    let first = first_bytes(rng);
    let (tap, seen) = Tap::new(here, rng);
    let mut pace = rng.fork();
    let frames: Vec<_> = (0..rng.below(4)).map(|_| frame(rng)).collect();
    let start = Instant::now();
    let dialing = async {
        let dialed = dial_at(tap, (&hello, &first), within).await;
        (dialed, start.elapsed())
    };
    let ((dialed, took), ()) = tokio::join!(dialing, send_any(there, frames, &mut pace));
    let seen = seen.lock().unwrap();
    // It waits without a limit only after Waiting.
    let waited = seen.events.contains(&(READ, 0));
    let holds =
        of_dialer(&dialed, (&hello, &first), &seen) && (took <= within || waited || dialed.is_ok());
    assert!(holds, "{dialed:?} after {took:?} and {:?}", seen.events);
    dialed
}

/// A dialer that has its end has one at the acceptor, whatever the times and pieces. The
/// acceptor is alone only where the dial was given up. Returns whether both have one.
pub(super) async fn agree(rng: &mut Rng) -> bool {
    let (here, there) = duplex(rng.one_of(&[1, 8, 4096]));
    let (dialer, dialer_saw) = Tap::new(here, rng);
    let (acceptor, acceptor_saw) = Tap::new(there, rng);
    let decision = moment(rng);
    let (hello, within, first) = (dialed(rng), moment(rng), first_bytes(rng));
    // The caller may also cancel the dial.
    let patience = rng.one_of(&[LONG, LONG, decision]);
    let dialing = timeout(patience, dial_at(dialer, (&hello, &first), within));
    let start = Instant::now();
    let accepting = async {
        let (rest, met) = (acceptor.clone(), accept_at(acceptor, decision).await);
        let took = start.elapsed();
        // The bytes of the connection, to their end or to where it was given up.
        let mut received = Vec::new();
        if let AcceptOutcome::Connected(_) = met {
            let _ = rest.unseen().read_to_end(&mut received).await;
        }
        (met, took, received)
    };
    let (dialed, (met, took, received)) = tokio::join!(dialing, accepting);
    let (dialer_saw, acceptor_saw) = (dialer_saw.lock().unwrap(), acceptor_saw.lock().unwrap());
    let has = matches!(met, AcceptOutcome::Connected(_));
    let is_held = matches!(dialed, Ok(Ok(PORT)));
    let given_up = matches!(dialed, Err(_) | Ok(Err(HandshakeError::TimedOut)));
    let agreed = has == is_held || has && given_up;
    assert!(agreed, "{dialed:?} {met:?}");
    assert!(!is_held || received == first, "{received:?} {first:?}");
    assert!(first.starts_with(&received), "{received:?} {first:?}");
    let as_said = |dialed| of_dialer(&dialed, (&hello, &first), &dialer_saw);
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
async fn a_dialer_ends_in_time_and_has_only_what_was_accepted() {
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
