//! Checks of the byte stream: order, end-of-file, backpressure, delivery.
//! Never closes a host: `closing` does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::bed::{
    Bed, Pair, assert_cut, assert_error, connected, drop_after, eventually, read_text,
};
use crate::error::Op;
use crate::{Cause, Conn, MAX_FIRST_BYTES, OpError};

/// A sequence of bytes in which any loss, repetition or reordering is visible.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Bytes of any length arrive in order, in both directions at once.
pub async fn bytes_both_ways(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    for len in [0, 1, 1000, 3 << 20] {
        let (dialed, accepted, _listener) = connected(&pair).await;
        let (mut read_a, mut write_a) = accepted.into_split();
        let (mut read_b, mut write_b) = dialed.into_split();
        let sent = pattern(len);
        let (mut got_a, mut got_b) = (Vec::new(), Vec::new());
        let done = tokio::try_join!(
            async {
                write_a.write_all(&sent).await?;
                write_a.shutdown().await
            },
            async {
                write_b.write_all(&sent).await?;
                write_b.shutdown().await
            },
            read_a.read_to_end(&mut got_a),
            read_b.read_to_end(&mut got_b),
        );
        done.unwrap();
        assert!(
            got_a == sent && got_b == sent,
            "{len} bytes arrive as they were"
        );
    }
    pair.close().await;
}

/// After one side shut down writing, the other reads to the end and can still
/// write back.
pub async fn half_close(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, mut accepted, _listener) = connected(&pair).await;
    dialed.write_all(b"question").await.unwrap();
    dialed.shutdown().await.unwrap();
    assert_eq!(read_text(&mut accepted).await, "question");
    accepted.write_all(b"answer").await.unwrap();
    accepted.shutdown().await.unwrap();
    assert_eq!(read_text(&mut dialed).await, "answer");
    pair.close().await;
}

/// The halves of a split connection work independently; dropping the write half shuts
/// down writing.
pub async fn split_halves(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (dialed, accepted, _listener) = connected(&pair).await;
    let (mut read_b, mut write_b) = dialed.into_split();
    let (mut read_a, mut write_a) = accepted.into_split();
    assert_eq!(read_b.local_addr(), write_a.peer_addr());
    write_b.write_all(b"over").await.unwrap();
    drop(write_b);
    assert_eq!(read_text(&mut read_a).await, "over");
    write_a.write_all(b"and out").await.unwrap();
    drop(write_a);
    assert_eq!(read_text(&mut read_b).await, "and out");
    pair.close().await;
}

/// A writer waits while its peer does not read, and continues when it does. Other
/// connections are not blocked.
pub async fn backpressure(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, mut accepted, listener) = connected(&pair).await;
    let chunk = pattern(64 * 1024);
    let mut written = 0;
    // Ends at the first write that has to wait; without backpressure none does.
    while let Some(n) = drop_after(1, dialed.write(&chunk)).await {
        written += n.unwrap();
        assert!(written < 1 << 30, "an unread connection takes everything");
        tokio::task::yield_now().await;
    }
    let (mut neighbour, mut other) = super::bed::connect(&pair.beta, &listener).await;
    neighbour.write_all(b"past").await.unwrap();
    let mut heard = [0; 4];
    other.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"past");

    let mut sink = tokio::io::sink();
    let (read, wrote) = tokio::join!(tokio::io::copy(&mut accepted, &mut sink), async {
        dialed.write_all(&chunk).await?;
        dialed.shutdown().await
    });
    wrote.unwrap();
    assert_eq!(read.unwrap(), (written + chunk.len()) as u64);
    pair.close().await;
}

/// Reads `conn` to its end in a task, and asserts that it gets exactly `expected`.
fn spawn_reader(mut conn: Conn, expected: Vec<u8>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut got = Vec::new();
        conn.read_to_end(&mut got).await.unwrap();
        assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
    })
}

/// Data written before a connection is dropped or closed is delivered.
pub async fn dropping_delivers(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    for close in [false, true] {
        let (mut dialed, accepted, _listener) = connected(&pair).await;
        let sent = pattern(2 << 20);
        let reader = spawn_reader(accepted, sent.clone());
        dialed.write_all(&sent).await.unwrap();
        if close {
            dialed.close();
        }
        drop(dialed);
        reader.await.unwrap();
    }
    pair.close().await;
}

/// Data written before the subnetwork is closed is delivered.
pub async fn closing_the_subnetwork_delivers(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, accepted, _listener) = connected(&pair).await;
    let sent = pattern(2 << 20);
    let reader = spawn_reader(accepted, sent.clone());
    dialed.write_all(&sent).await.unwrap();
    pair.subnet_b.close().await.unwrap();
    reader.await.unwrap();
    pair.close().await;
}

/// Writing after a shutdown reports a broken pipe, as TCP does.
pub async fn after_shutdown(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, _accepted, _listener) = connected(&pair).await;
    dialed.shutdown().await.unwrap();
    dialed.shutdown().await.unwrap();
    let err = dialed.write_all(b"x").await.unwrap_err();
    assert_eq!(err.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(OpError::of(&err).unwrap().cause(), Cause::BrokenPipe);
    pair.close().await;
}

/// An aborted connection is cut and never ends cleanly, whatever was written and
/// whichever side aborted. The local end is down, and its port free, at once.
pub async fn aborting_cuts(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    // More than all buffers hold, so most of it is never sent.
    let data = pattern(8 << 20);
    for (written, halves) in [(0, false), (4, false), (4, true), (data.len(), false)] {
        for dialer_aborts in [true, false] {
            let (dialed, accepted, listener) = connected(&pair).await;
            let ours = if dialer_aborts {
                &pair.beta
            } else {
                &pair.alpha
            };
            let (mut own, mut other) = match dialer_aborts {
                true => (dialed, accepted),
                false => (accepted, dialed),
            };
            let port = own.local_addr().clone();
            // Does not wait for data that does not fit.
            let mut rest = &data[..written];
            while !rest.is_empty()
                && let Some(some) = drop_after(1, own.write(rest)).await
            {
                rest = &rest[some.unwrap()..];
            }
            // The other end is waiting to write when the connection is cut.
            while let Some(some) = drop_after(1, other.write(&data)).await {
                some.unwrap();
            }
            match halves {
                true => {
                    let (mut reader, mut writer) = own.into_split();
                    reader.abort();
                    for err in [
                        writer.write_all(b"x").await.unwrap_err(),
                        reader.read_u8().await.unwrap_err(),
                    ] {
                        assert_eq!(OpError::of(&err).unwrap().cause(), Cause::SocketDown);
                    }
                }
                false => {
                    own.abort();
                    own.abort();
                    let err = own.read_u8().await.unwrap_err();
                    assert_eq!(OpError::of(&err).unwrap().cause(), Cause::SocketDown);
                }
            }
            let open = ours.sockets();
            assert!(open.iter().all(|socket| socket.local != port), "{open:?}");
            let err = other.write_all(&data).await.unwrap_err();
            assert_eq!(OpError::of(&err).unwrap().cause(), Cause::ConnectionCut);
            assert_cut(&mut other).await;
            drop((other, listener));
            eventually("all ports are free", || {
                pair.alpha.sockets().is_empty() && pair.beta.sockets().is_empty()
            })
            .await;
        }
    }
    pair.close().await;
}

/// Aborting also cuts a write half that was dropped and has not delivered its data yet.
pub async fn aborting_cuts_what_was_dropped(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (dialed, mut accepted, _listener) = connected(&pair).await;
    let (reader, mut writer) = dialed.into_split();
    let data = pattern(64 << 10);
    while let Some(some) = drop_after(1, writer.write(&data)).await {
        some.unwrap();
        tokio::task::yield_now().await;
    }
    drop(writer);
    reader.abort();
    // Some data may be read before the cut arrives, but never all data and end-of-file.
    assert_cut(&mut accepted).await;
    pair.close().await;
}

/// The acceptor reads the first bytes of a dial before all others. A refused dial loses them.
pub async fn first_bytes(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let most: Vec<u8> = (0..MAX_FIRST_BYTES).map(|at| (at / 7) as u8).collect();
    let err = pair.beta.dial_with("α:1", &most).await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    let listener = pair.alpha.listen(":1").unwrap();
    for first in [&b"first"[..], b"", &most] {
        let dialing = async {
            let mut dialed = pair.beta.dial_with("α:1", first).await.unwrap();
            dialed.write_all(b" and more").await.unwrap();
            dialed.shutdown().await.unwrap();
            read_text(&mut dialed).await
        };
        let accepting = async {
            let (mut accepted, _) = listener.accept().await.unwrap();
            accepted.write_all(b"a reply").await.unwrap();
            let mut received = Vec::new();
            accepted.read_to_end(&mut received).await.unwrap();
            received
        };
        let (reply, received) = tokio::join!(dialing, accepting);
        assert_eq!(reply, "a reply");
        assert!(received == [first, b" and more"].concat());
    }
    // They arrive although the connection is closed at once.
    let (dialed, accepted) = tokio::join!(pair.beta.dial_with("α:1", b"once"), listener.accept());
    drop(dialed.unwrap());
    assert_eq!(read_text(&mut accepted.unwrap().0).await, "once");

    let more = vec![0; MAX_FIRST_BYTES + 1];
    let err = pair.beta.dial_with("α:1", &more).await.unwrap_err();
    let line = "dial NET β:1->α:1: expected at most 16384 first bytes, got 16385";
    assert_error(&err, Op::Dial, Some("β:1"), Some("α:1"), Cause::Other, line);
    assert_eq!(pair.beta.sockets(), []);
    pair.close().await;
}
