//! Actions: reading, writing and ending.
//!
//! Owns the actions. Never knows the network.

use std::io::{self, IoSlice};

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
    copy_bidirectional,
};

use super::net::{Bytes, Net};
use super::seen::{Seen, glance, only_kind};

/// Reads to the end, as text.
async fn rest(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut text = String::new();
    reader.read_to_string(&mut text).await?;
    Ok(text)
}

/// Writes until there is an error: the end of a peer is noticed after a moment.
async fn write_until_error(writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        writer.write_all(b"more").await?;
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn reading<N: Net>(net: &N, seen: &mut Seen) {
    let (mut here, mut there) = net.pair().await;
    let mut buf = [0; 8];
    let early = glance(here.read(&mut buf)).await;
    seen.see("read with nothing there", early);
    there.write_all(b"hello").await.unwrap();
    let read = here.read_exact(&mut buf[..2]).await;
    seen.see("read_exact after a read that was dropped", read);
    seen.see("read into an empty buffer", here.read(&mut []).await);
    let read = here.read(&mut buf).await;
    let text = read.map(|len| String::from_utf8_lossy(&buf[..len]).into_owned());
    seen.see("read what is left", text);

    there.write_all(b"last").await.unwrap();
    drop(there);
    let exact = here.read_exact(&mut buf).await;
    seen.see("read_exact of more than comes", exact);
    seen.see("read at the end", here.read(&mut buf).await);
    seen.see("read at the end again", here.read(&mut buf).await);
    let empty = here.read(&mut []).await;
    seen.see("read into an empty buffer at the end", empty);
}

pub(crate) async fn writing<N: Net>(net: &N, seen: &mut Seen) {
    let (mut here, mut there) = net.pair().await;
    seen.see("write nothing", here.write(b"").await);
    seen.see("flush", here.flush().await);
    seen.see("is_write_vectored", here.is_write_vectored());
    let bufs = [b"one, ", &b""[..], b"two"].map(IoSlice::new);
    seen.see(
        "write_vectored of three, one empty",
        here.write_vectored(&bufs).await,
    );
    let empty = here.write_vectored(&[IoSlice::new(b"")]).await;
    seen.see("write_vectored of nothing", empty);
    here.shutdown().await.unwrap();
    seen.see("what came of it", rest(&mut there).await);

    // Without a limit no write would ever wait.
    let chunk = vec![7; 1 << 16];
    let mut written = 0;
    while written < 1 << 30
        && let Some(wrote) = glance(there.write(&chunk)).await
    {
        written += wrote.unwrap();
        tokio::task::yield_now().await;
    }
    seen.see("write and write, unread: it waits", written < 1 << 30);
    let last = async {
        there.write_all(b"end").await?;
        there.shutdown().await
    };
    let mut sink = tokio::io::sink();
    let (copied, ended) = tokio::join!(tokio::io::copy(&mut here, &mut sink), last);
    ended.unwrap();
    let all = copied.unwrap() == written as u64 + 3;
    seen.see("… and goes on when it is read: all arrived", all);
}

pub(crate) async fn ending<N: Net>(net: &N, seen: &mut Seen) {
    let (mut here, mut there) = net.pair().await;
    here.write_all(b"question").await.unwrap();
    seen.see("shutdown", here.shutdown().await);
    seen.see("shutdown twice", here.shutdown().await);
    seen.see("flush after shutdown", here.flush().await);
    seen.see("write after shutdown", here.write(b"x").await);
    seen.see("write nothing after shutdown", here.write(b"").await);
    let vectored = here.write_vectored(&[IoSlice::new(b"x")]).await;
    seen.see("write_vectored after shutdown", vectored);
    seen.see("the peer reads to the end", rest(&mut there).await);
    let early = glance(here.read_u8()).await;
    seen.see("read after the own shutdown, nothing there", early);
    there.write_all(b"answer").await.unwrap();
    there.shutdown().await.unwrap();
    let answer = rest(&mut here).await;
    seen.see("the peer answers after that end, and is read", answer);
    drop(there);
    let late = here.shutdown().await;
    seen.see("shutdown after both ends were shut down", late);

    let (mut here, mut there) = net.pair().await;
    there.write_all(b"left behind").await.unwrap();
    drop(there);
    seen.see("the peer wrote and dropped: read", rest(&mut here).await);
    let broken = write_until_error(&mut here).await;
    seen.see("… write, until there is an error", broken);
    seen.see("… write again", only_kind(here.write(b"x").await));
    seen.see("… read after that", rest(&mut here).await);
    seen.see("… shutdown after that", here.shutdown().await);

    // Who has read the end knows that nobody reads any more.
    let (mut here, there) = net.pair().await;
    drop(there);
    seen.see("the peer dropped: read to the end", rest(&mut here).await);
    let first = only_kind(here.write(b"x").await);
    seen.see("… the first write after that", first);

    unread(net, seen).await;
}

/// The peer drops its end before reading the written data.
async fn unread<N: Net>(net: &N, seen: &mut Seen) {
    let (mut here, mut there) = net.pair().await;
    here.write_all(b"ab").await.unwrap();
    there.read_u8().await.unwrap();
    there.write_all(b"left").await.unwrap();
    drop(there);
    let mut buf = [0; 4];
    let read = here.read_exact(&mut buf).await;
    seen.see(
        "the peer left something unread, wrote and dropped: read",
        read,
    );
    seen.see("… read on", here.read(&mut buf).await);
    let broken = write_until_error(&mut here).await;
    seen.see("… write to that peer, until there is an error", broken);
}

/// What programs are made of, on both.
pub(crate) async fn helpers<N: Net>(net: &N, seen: &mut Seen) {
    let (mut here, there) = net.pair().await;
    here.write_all(b"GET /\nHost: a\n\nrest").await.unwrap();
    here.shutdown().await.unwrap();
    let mut there = BufReader::new(there);
    let mut lines = (&mut there).lines();
    let mut head = Vec::new();
    while let Some(line) = lines
        .next_line()
        .await
        .unwrap()
        .filter(|line| !line.is_empty())
    {
        head.push(line);
    }
    seen.see("BufReader::lines", &*head.join(", "));
    let mut text = String::new();
    there.read_to_string(&mut text).await.unwrap();
    seen.see("… and what is behind them", &*text);

    let (front, mut back) = (net.pair().await, net.pair().await);
    let (mut client, mut proxy_front) = front;
    let talk = async {
        client.write_all(b"ping").await?;
        client.shutdown().await?;
        rest(&mut client).await
    };
    let serve = async {
        let asked = rest(&mut back.1).await?;
        back.1.write_all(asked.replace('i', "o").as_bytes()).await?;
        back.1.shutdown().await
    };
    let proxy = copy_bidirectional(&mut proxy_front, &mut back.0);
    let (talk, served, copied) = tokio::join!(talk, serve, proxy);
    served.unwrap();
    seen.see("a proxy of copy_bidirectional: what the client reads", talk);
    seen.see("… what it copied", copied);

    let (here, there) = net.pair().await;
    let mut boxed: [Box<dyn Bytes>; 2] = [Box::new(here), Box::new(there)];
    let [here, there] = &mut boxed;
    here.write_all(b"x").await.unwrap();
    let read = there.read_u8().await;
    seen.see("boxed, as Send + Sync + Unpin", only_kind(read));
}
