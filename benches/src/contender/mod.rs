//! The contenders, and what each must offer to be measured.
//!
//! Owns the traits. Never measures, and never treats one better than another.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::service::{Mode, Service, request};
use crate::spec::Spec;

pub mod chunks;
pub mod first_bytes;
#[cfg(feature = "iroh")]
pub mod irohs;
pub mod pipe;
pub mod quic;
pub mod relay;
pub mod ruled;
pub mod split_socket;
pub mod tcp;
pub mod tls;
pub mod traced;
pub mod virt;

/// How much is written, and read, in one call.
pub const CALL: usize = 64 << 10;

/// A connection of any contender.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether a dial returns only when the other side's application takes the
    /// connection. Where it doesn't, a request and its reply are needed to know.
    const CONFIRMS: bool = false;

    /// Writes `total` bytes and ends its direction.
    fn send(&mut self, total: u64) -> impl Future<Output = Result<()>> + Send {
        async move {
            let block = vec![0x5a; CALL];
            let mut left = total;
            while left > 0 {
                let now = left.min(CALL as u64);
                self.write_all(&block[..now as usize]).await?;
                left -= now;
            }
            self.flush().await?;
            Ok(())
        }
    }

    /// Reads `total` bytes; returns how many there were.
    fn receive(&mut self, total: u64) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut block = vec![0; CALL];
            let mut heard = 0;
            while heard < total {
                let now = self.read(&mut block).await?;
                ensure!(now > 0, "ended after {heard} bytes of {total}");
                ensure!(block[0] == 0x5a && block[now - 1] == 0x5a, "other bytes");
                heard += now as u64;
            }
            Ok(heard)
        }
    }
}

/// The side that is dialed.
pub trait Server: Sized + Send + Sync + 'static {
    type Conn: Stream;

    /// Starts to listen; also returns what a client needs to know.
    fn start(spec: &Spec) -> impl Future<Output = Result<(Self, String)>> + Send;

    /// Accepts for ever, and has each connection handled by a task of its own.
    fn serve(
        self,
        service: Arc<Service<Self::Conn>>,
    ) -> impl Future<Output = Result<()>> + Send + 'static;
}

/// The side that dials.
pub trait Client: Sized + Send + Sync + 'static {
    type Conn: Stream;

    fn join(spec: &Spec, ticket: &str) -> impl Future<Output = Result<Self>> + Send;

    /// The cheapest new connection that the contender has: a stream of an open
    /// QUIC connection, a new connection of TCP.
    fn dial(&self) -> impl Future<Output = Result<Self::Conn>> + Send;

    /// A new connection, with a request and its reply.
    fn exchange(&self, seed: usize) -> impl Future<Output = Result<Self::Conn>> + Send {
        async move {
            let mut conn = self.dial().await?;
            request(&mut conn, seed).await?;
            Ok(conn)
        }
    }

    /// One more client, which has nothing open.
    fn another(&self, number: usize) -> impl Future<Output = Result<Self>> + Send;
}

/// Hosts of one process, each of which both dials and is dialed.
pub trait Peers: Sized + Send + Sync + 'static {
    type Conn: Stream;

    /// Starts `count` of them; what they accept goes to `service`.
    fn start(
        spec: &Spec,
        count: usize,
        service: Arc<Service<Self::Conn>>,
    ) -> impl Future<Output = Result<Self>> + Send;

    /// A first connection from one to another: a QUIC connection of its own.
    fn dial(&self, from: usize, to: usize) -> impl Future<Output = Result<Self::Conn>> + Send;
}

pub trait Contender: 'static {
    type Server: Server;
    type Client: Client;
}

/// A contender's two sides as tasks of this process, or the client alone where
/// the server is another one.
pub async fn pair<C: Contender>(spec: &Spec) -> Result<C::Client> {
    match &spec.ticket {
        Some(ticket) => C::Client::join(spec, ticket).await,
        None => Ok(with_service::<C>(spec).await?.0),
    }
}

/// What the server of a contender does with its connections.
pub type ServiceOf<C> = Service<<<C as Contender>::Server as Server>::Conn>;

/// Both sides as tasks of this process, and what the server has.
pub async fn with_service<C: Contender>(spec: &Spec) -> Result<(C::Client, Arc<ServiceOf<C>>)> {
    let (server, ticket) = C::Server::start(spec).await?;
    let service = serve::<C>(spec, server);
    Ok((C::Client::join(spec, &ticket).await?, service))
}

/// Starts to serve what the work is about.
pub fn serve<C: Contender>(spec: &Spec, server: C::Server) -> Arc<ServiceOf<C>> {
    let service = Arc::new(Service::new(Mode::of(spec.base())));
    let serving = server.serve(Arc::clone(&service));
    tokio::spawn(async move {
        if let Err(err) = serving.await {
            eprintln!("the server ended: {err:#}");
        }
    });
    service
}
