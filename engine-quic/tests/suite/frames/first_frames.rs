//! The first frames that a peer may send, and what it receives in return.
//!
//! Owns the table, and what the host has to count. Owns no test.

use quinn::{Connection, ReadError, VarInt};
use virtnet_engine_quic::Stats;

use crate::common::raw::hello;

/// How a peer sends its bytes, and what it does after them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    /// Then it waits.
    Waits,
    Ends,
    Resets,
    /// One byte per datagram, as far as possible.
    Dribbles,
}

/// What it receives.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    /// These bytes, the end, and STOP_SENDING.
    Refused(Vec<u8>),
    /// Both directions are reset with this code.
    Reset(u64),
}

fn refused(reply: &[u8]) -> Received {
    Received::Refused([&[2], reply].concat())
}

/// Sends all bytes on a new stream, and returns what it receives.
pub(crate) async fn attempt(conn: &Connection, sent: &[u8], then: Then) -> Received {
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    match then {
        Then::Dribbles => {
            for byte in sent {
                send.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        _ => send.write_all(sent).await.unwrap(),
    }
    match then {
        Then::Ends => send.finish().unwrap(),
        Then::Resets => send.reset(VarInt::from_u32(9)).unwrap(),
        Then::Waits | Then::Dribbles => {}
    }
    let mut received = Vec::new();
    loop {
        let mut piece = [0; 16];
        match recv.read(&mut piece).await {
            Ok(Some(length)) => received.extend(&piece[..length]),
            Ok(None) => break,
            Err(ReadError::Reset(code)) => return Received::Reset(code.into()),
            Err(err) => panic!("{err}"),
        }
    }
    // What this side ended or reset cannot be stopped.
    if matches!(then, Then::Waits | Then::Dribbles) {
        assert_eq!(send.stopped().await, Ok(Some(VarInt::from_u32(0))));
    }
    Received::Refused(received)
}

/// A valid first frame with one byte changed.
fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut frame = hello("net", ("γ", 9), ("α", 1));
    frame[at] = byte;
    frame
}

/// A frame with this length field, whatever its body.
fn sized(length: u16, body: Vec<u8>) -> Vec<u8> {
    [&[2][..], &length.to_be_bytes(), &body].concat()
}

/// Name, bytes, how they are sent, and what is received.
pub(crate) fn table() -> Vec<(&'static str, Vec<u8>, Then, Received)> {
    use Then::{Dribbles, Ends, Resets, Waits};
    let good = hello("net", ("γ", 9), ("α", 1));
    let body = good[3..].to_vec();
    let longer = [&body[..], &[0]].concat();
    let cut = good[..good.len() - 1].to_vec();
    let noise: Vec<u8> = (0..999u32).map(|n| (n * n * 31 + 7) as u8).collect();
    let (version, none) = (|| refused(&[6, 2]), || refused(&[7]));
    vec![
        ("garbage", noise, Waits, version()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Waits, version()),
        ("version 0", with(0, 0), Waits, version()),
        ("version 1", with(0, 1), Waits, version()),
        ("version 255", vec![255], Waits, version()),
        ("over-long", sized(u16::MAX, vec![]), Waits, none()),
        (
            "over-long, and sent",
            sized(u16::MAX, vec![1; 1 << 16]),
            Waits,
            none(),
        ),
        ("one too long", sized(773, vec![1; 773]), Waits, none()),
        (
            "the longest, not filled",
            sized(772, [&body[..], &[0; 800]].concat()[..772].to_vec()),
            Waits,
            none(),
        ),
        (
            "a byte more",
            sized(longer.len() as u16, longer),
            Waits,
            none(),
        ),
        (
            "a byte less",
            sized(body.len() as u16 - 1, body.clone()),
            Waits,
            none(),
        ),
        ("empty", sized(0, vec![]), Waits, none()),
        ("a name beyond the end", with(3, 255), Waits, none()),
        ("no UTF-8", with(4, 0xff), Waits, none()),
        ("a control character", with(4, 0x1b), Waits, none()),
        ("a bracket", with(4, b'['), Waits, none()),
        ("no network", hello("", ("γ", 9), ("α", 1)), Waits, none()),
        ("no source", hello("net", ("", 9), ("α", 1)), Waits, none()),
        (
            "source port 0",
            hello("net", ("γ", 0), ("α", 1)),
            Waits,
            none(),
        ),
        (
            "another host",
            hello("net", ("γ", 9), ("β", 1)),
            Waits,
            refused(&[3]),
        ),
        (
            "another network",
            hello("ten", ("γ", 9), ("α", 1)),
            Waits,
            refused(&[4]),
        ),
        (
            "nobody listens",
            hello("net", ("γ", 9), ("α", 7)),
            Waits,
            refused(&[2]),
        ),
        (
            "port 0",
            hello("net", ("γ", 9), ("α", 0)),
            Waits,
            refused(&[2]),
        ),
        (
            "a byte at a time",
            hello("net", ("γ", 9), ("α", 7)),
            Dribbles,
            refused(&[2]),
        ),
        (
            "truncated, then the end",
            cut.clone(),
            Ends,
            Received::Reset(1),
        ),
        (
            "truncated, then a reset",
            cut.clone(),
            Resets,
            Received::Reset(1),
        ),
        ("truncated, then silence", cut, Waits, Received::Reset(2)),
        ("a byte, then silence", vec![2], Waits, Received::Reset(2)),
        (
            "first bytes, where nobody listens",
            [&hello("net", ("γ", 9), ("α", 7))[..], &[9; 16384]].concat(),
            Waits,
            refused(&[2]),
        ),
    ]
}

pub(crate) fn expected() -> Stats {
    let mut stats = Stats::default();
    stats.other_version = 5;
    stats.malformed = 14;
    stats.wrong_host = 1;
    stats.wrong_network = 1;
    stats.no_first_frame = 2;
    stats
}
