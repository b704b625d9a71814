//! Checks of the byte stream: order, ends of file, backpressure, delivery.
//! Never closes a host; `closing` does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, Pair, connected, drop_after};
use crate::{Cause, OpError};

/// A recognisable sequence of bytes: any loss, repeat or swap shows.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Bytes arrive in order, both ways at once, whatever the sizes.
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
    let mut heard = String::new();
    accepted.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "question");
    accepted.write_all(b"answer").await.unwrap();
    accepted.shutdown().await.unwrap();
    heard.clear();
    dialed.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "answer");
    pair.close().await;
}

/// The halves of a split work alone; dropping the write half half-closes.
pub async fn split_halves(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (dialed, accepted, _listener) = connected(&pair).await;
    let (mut read_b, mut write_b) = dialed.into_split();
    let (mut read_a, mut write_a) = accepted.into_split();
    assert_eq!(read_b.local_addr(), write_a.peer_addr());
    write_b.write_all(b"over").await.unwrap();
    drop(write_b);
    let mut heard = String::new();
    read_a.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "over");
    write_a.write_all(b"and out").await.unwrap();
    drop(write_a);
    heard.clear();
    read_b.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "and out");
    pair.close().await;
}

/// A writer whose peer does not read waits, and goes on when it does; its
/// neighbours are not held up.
pub async fn backpressure(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, mut accepted, listener) = connected(&pair).await;
    let chunk = pattern(64 * 1024);
    let mut written = 0;
    // Ends at the first write that has to wait: without a limit none ever does.
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

/// What was written before a connection is dropped or closed arrives.
pub async fn dropping_delivers(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    for close in [false, true] {
        let (mut dialed, mut accepted, _listener) = connected(&pair).await;
        let sent = pattern(2 << 20);
        let expected = sent.clone();
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            accepted.read_to_end(&mut got).await.unwrap();
            assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
        });
        dialed.write_all(&sent).await.unwrap();
        if close {
            dialed.close();
        }
        drop(dialed);
        reader.await.unwrap();
    }
    pair.close().await;
}

/// The same when the whole subnetwork closes.
pub async fn closing_the_subnetwork_delivers(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, mut accepted, _listener) = connected(&pair).await;
    let sent = pattern(2 << 20);
    let expected = sent.clone();
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        accepted.read_to_end(&mut got).await.unwrap();
        assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
    });
    dialed.write_all(&sent).await.unwrap();
    pair.subnet_b.close().await.unwrap();
    reader.await.unwrap();
    pair.close().await;
}

/// After the own shutdown writing reports a broken pipe, as TCP does.
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
