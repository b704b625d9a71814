//! Tuned quinn with its own calls in place of tokio's: what is sent is not
//! copied, nor is what is received.
//!
//! Owns how bulk goes in chunks. Never differs from tuned quinn in anything else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Result, ensure};
use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::quic::{QuinnClient, QuinnServer};
use super::{CALL, Client, Contender, Server, Stream};
use crate::service::Service;
use crate::spec::Spec;

pub struct Chunks;

impl Contender for Chunks {
    type Server = ChunksServer;
    type Client = ChunksClient;
}

pub struct Chunked {
    send: SendStream,
    recv: RecvStream,
}

impl Stream for Chunked {
    async fn send(&mut self, total: u64) -> Result<()> {
        let block = Bytes::from(vec![0x5a; CALL]);
        let mut left = total;
        while left > 0 {
            let now = left.min(CALL as u64);
            self.send.write_chunk(block.slice(..now as usize)).await?;
            left -= now;
        }
        Ok(())
    }

    async fn receive(&mut self, total: u64) -> Result<u64> {
        let mut heard = 0;
        while heard < total {
            let chunk = self.recv.read_chunk(CALL, true).await?;
            ensure!(chunk.is_some(), "ended after {heard} bytes of {total}");
            heard += chunk.map_or(0, |chunk| chunk.bytes.len() as u64);
        }
        Ok(heard)
    }
}

impl AsyncRead for Chunked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.recv).poll_read(cx, buf)
    }
}

impl AsyncWrite for Chunked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(cx)
    }
}

pub struct ChunksServer(QuinnServer<true>);

impl Server for ChunksServer {
    type Conn = Chunked;

    async fn start(spec: &Spec) -> Result<(Self, String)> {
        let (server, ticket) = QuinnServer::start(spec).await?;
        Ok((ChunksServer(server), ticket))
    }

    async fn serve(self, service: Arc<Service<Chunked>>) -> Result<()> {
        let serving = self.0.each_stream(move |(send, recv)| {
            let service = Arc::clone(&service);
            async move { service.handle(Chunked { send, recv }).await }
        });
        serving.await
    }
}

pub struct ChunksClient(QuinnClient<true>);

impl Client for ChunksClient {
    type Conn = Chunked;

    async fn join(spec: &Spec, ticket: &str) -> Result<Self> {
        Ok(ChunksClient(QuinnClient::join(spec, ticket).await?))
    }

    async fn dial(&self) -> Result<Chunked> {
        let (send, recv) = self.0.open().await?;
        Ok(Chunked { send, recv })
    }

    async fn another(&self, number: usize) -> Result<Self> {
        Ok(ChunksClient(self.0.another(number).await?))
    }
}
