//! TCP, without encryption.
//!
//! Owns its settings: no delay, defaults else. Never uses TLS: `tls.rs` does.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Client, Contender, Server, Stream};
use crate::service::Service;
use crate::spec::Spec;

pub struct Tcp;

impl Contender for Tcp {
    type Server = TcpServer;
    type Client = TcpClient;
}

impl Stream for TcpStream {}

pub struct TcpServer(TcpListener);

/// Listens with a queue that takes what 64 clients dial at once.
pub fn listen(spec: &Spec) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(spec.ip, 0))?;
    Ok(socket.listen(4096)?)
}

impl Server for TcpServer {
    type Conn = TcpStream;

    async fn start(spec: &Spec) -> Result<(TcpServer, String)> {
        let listener = listen(spec)?;
        let addr = listener.local_addr()?.to_string();
        Ok((TcpServer(listener), addr))
    }

    async fn serve(self, service: Arc<Service<TcpStream>>) -> Result<()> {
        loop {
            let (conn, _) = self.0.accept().await?;
            conn.set_nodelay(true)?;
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.handle(conn).await });
        }
    }
}

pub struct TcpClient(SocketAddr);

impl Client for TcpClient {
    type Conn = TcpStream;

    async fn join(_: &Spec, ticket: &str) -> Result<TcpClient> {
        Ok(TcpClient(ticket.parse()?))
    }

    async fn dial(&self) -> Result<TcpStream> {
        let conn = TcpStream::connect(self.0).await?;
        conn.set_nodelay(true)?;
        Ok(conn)
    }

    async fn another(&self, _: usize) -> Result<TcpClient> {
        Ok(TcpClient(self.0))
    }
}
