//! TCP with TLS 1.3 by rustls.
//!
//! Owns how the two are put together. Never resumes a session: every dial is a
//! whole handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::tcp::listen;
use super::{Client, Contender, Server, Stream};
use crate::certs::{self, NAME, Ticket};
use crate::service::Service;
use crate::spec::Spec;

pub struct TcpTls;

impl Contender for TcpTls {
    type Server = TlsServer;
    type Client = TlsClient;
}

impl Stream for TlsStream<TcpStream> {}

pub struct TlsServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server for TlsServer {
    type Conn = TlsStream<TcpStream>;

    async fn start(spec: &Spec) -> Result<(TlsServer, String)> {
        let listener = listen(spec)?;
        let (mut config, cert) = certs::server(true)?;
        config.send_tls13_tickets = 0;
        let addr = listener.local_addr()?;
        let ticket = Ticket { addr, cert }.text()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok((TlsServer { listener, acceptor }, ticket))
    }

    async fn serve(self, service: Arc<Service<Self::Conn>>) -> Result<()> {
        loop {
            let (conn, _) = self.listener.accept().await?;
            conn.set_nodelay(true)?;
            let (service, acceptor) = (Arc::clone(&service), self.acceptor.clone());
            tokio::spawn(async move {
                if let Ok(conn) = acceptor.accept(conn).await {
                    service.handle(conn.into()).await;
                }
            });
        }
    }
}

#[derive(Clone)]
pub struct TlsClient {
    addr: SocketAddr,
    connector: TlsConnector,
}

impl Client for TlsClient {
    type Conn = TlsStream<TcpStream>;

    async fn join(_: &Spec, ticket: &str) -> Result<TlsClient> {
        let Ticket { addr, cert } = Ticket::parse(ticket)?;
        let config = certs::client(&cert, true)?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(TlsClient { addr, connector })
    }

    async fn dial(&self) -> Result<Self::Conn> {
        let conn = TcpStream::connect(self.addr).await?;
        conn.set_nodelay(true)?;
        let name = ServerName::try_from(NAME)?;
        Ok(self.connector.connect(name, conn).await?.into())
    }

    async fn another(&self, _: usize) -> Result<TlsClient> {
        Ok(self.clone())
    }
}
