//! Invalid first frames: what the peer receives, what is counted, and that other streams of the same QUIC connection are not affected.
//!
//! Owns the check of these other streams; `first_frames.rs` owns the table
//! of frames, and `allocated.rs` the memory limits.

mod first_frames;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::raw::{self, Pki, hello};
use crate::common::{HANG, Net, eventually};
use first_frames::{attempt, expected, table};
use quinn::{Connection, RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::Conn;
use virtnet_engine_quic::{QuicConfig, dns_name};

/// A correct dial, frame by frame.
async fn dial(conn: &Connection, port: u16) -> (SendStream, RecvStream) {
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    let frame = hello("net", ("γ", port), ("α", 1));
    send.write_all(&frame).await.unwrap();
    let mut reply = [0; 3];
    recv.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[0], 1);
    (send, recv)
}

/// Sends data and reads its echo until `stop`. Returns how many bytes came back.
async fn neighbour<R, W>(mut reader: R, mut writer: W, stop: Arc<AtomicBool>) -> usize
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    let (mut sum, mut piece) = (0, vec![0; 10_007]);
    let mut received = piece.clone();
    while !stop.load(Relaxed) {
        piece
            .iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = (((sum + at) * 7) >> 3) as u8);
        let both =
            async { tokio::join!(writer.write_all(&piece), reader.read_exact(&mut received)) };
        let (wrote, read) = timeout(HANG, both).await.unwrap();
        wrote.unwrap();
        read.unwrap();
        assert!(received == piece, "it came back as it was sent");
        sum += piece.len();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(reader.read(&mut received).await.unwrap(), 0);
    sum
}

async fn echo(conn: Conn) {
    let (mut reader, mut writer) = tokio::io::split(conn);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_frames_that_are_none() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let config = QuicConfig::new(pki.identity(&pki.leaf("net", &["α", "β"])))
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .handshake_timeout(Duration::from_millis(700));
    let (subnet, counters) = net.join_with(config);
    let alpha = subnet.new_host("α").await.unwrap();
    let beta = subnet.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let accepting = tokio::spawn({
        let accepted = accepted.clone();
        async move {
            while let Ok((conn, _)) = listener.accept().await {
                accepted.fetch_add(1, Relaxed);
                tokio::spawn(echo(conn));
            }
        }
    });
    let gamma = pki.leaf("net", &["γ"]);
    let (_endpoint, conn) = raw::connect(
        &pki,
        Some(&gamma),
        net.real_addr("α"),
        &dns_name("net", "α"),
    )
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let (send, recv) = dial(&conn, 8).await;
    let beside = tokio::spawn(neighbour(recv, send, stop.clone()));
    let (reader, writer) = tokio::io::split(beta.dial("α:1").await.unwrap());
    let member = tokio::spawn(neighbour(reader, writer, stop.clone()));

    let (table, mut slowest) = (table(), Duration::ZERO);
    for (what, sent, then, expected) in &table {
        let start = Instant::now();
        let received = timeout(HANG, attempt(&conn, sent, *then)).await;
        assert_eq!(received.expect(what), *expected, "{what}");
        slowest = slowest.max(start.elapsed());
    }
    stop.store(true, Relaxed);
    let exact = [beside.await.unwrap(), member.await.unwrap()];
    assert!(exact.iter().all(|bytes| *bytes > 0), "{exact:?}");
    eventually("α's ports are free", || alpha.sockets().len() == 1).await;
    assert_eq!(accepted.load(Relaxed), 2, "the neighbours, and nobody else");
    assert_eq!(counters.stats(), expected());
    assert_eq!(conn.close_reason(), None);
    subnet.close().await.unwrap();
    accepting.await.unwrap();
    println!(
        "failures: first frame: {} kinds refused, slowest {slowest:?}; beside them {} bytes on the \
         same QUIC connection and {} of a member, all exact",
        table.len(),
        exact[0],
        exact[1]
    );
}
