//! Bare quinn: as it comes, and tuned.
//!
//! Owns what tuned means. Never authenticates the client, which virtnet does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Join;
use tokio::sync::OnceCell;

use super::split_socket::{LARGEST, SplitSocket};
use super::{Client, Contender, Peers, Server, Stream};
use crate::certs::{self, NAME, Ticket};
use crate::service::Service;
use crate::spec::Spec;

/// quinn's defaults, or tuned by the measures that pay on this kind of machine.
pub struct Quinn<const TUNED: bool>;

impl<const TUNED: bool> Contender for Quinn<TUNED> {
    type Server = QuinnServer<TUNED>;
    type Client = QuinnClient<TUNED>;
}

/// A stream with both directions.
pub type Both = Join<RecvStream, SendStream>;

impl Stream for Both {}

/// What the kernel is asked for, for each direction of a tuned socket.
const SOCKET_BUFFER: usize = 4 << 20;

/// Streams that a peer may have open, where 10,000 are to be: new credit comes
/// only after an eighth of the limit was freed.
const MANY_STREAMS: u32 = 12_000;

fn transport(spec: &Spec, tuned: bool) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    if matches!(spec.base(), "conns" | "conns-at-once" | "curve-conns") {
        transport.max_concurrent_bidi_streams(VarInt::from_u32(MANY_STREAMS));
    }
    if tuned {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(LARGEST as u16);
        transport
            .mtu_discovery_config(Some(discovery))
            .send_window(2 << 20)
            .stream_receive_window(VarInt::from_u32(8 << 20))
            .receive_window(VarInt::MAX);
    }
    Arc::new(transport)
}

fn endpoint(spec: &Spec, server: Option<ServerConfig>, tuned: bool) -> Result<Endpoint> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(spec.ip, 0).into())?;
    let mut config = EndpointConfig::default();
    if !tuned {
        let runtime = Arc::new(TokioRuntime);
        return Ok(Endpoint::new(config, server, socket.into(), runtime)?);
    }
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    config.max_udp_payload_size(LARGEST as u16)?;
    let socket = SplitSocket::new(socket.into())?;
    let runtime = Arc::new(TokioRuntime);
    Ok(Endpoint::new_with_abstract_socket(
        config, server, socket, runtime,
    )?)
}

/// How the server of a ticket is dialed, and where it is.
fn target(spec: &Spec, ticket: &str, tuned: bool) -> Result<(ClientConfig, SocketAddr)> {
    let Ticket { addr, cert } = Ticket::parse(ticket)?;
    let tls = QuicClientConfig::try_from(certs::client(&cert, tuned)?)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport(spec, tuned));
    Ok((config, addr))
}

pub struct QuinnServer<const TUNED: bool>(Endpoint);

impl<const TUNED: bool> QuinnServer<TUNED> {
    /// Hands every stream of every connection to `handle`, in a task of its own.
    pub async fn each_stream<H, F>(self, handle: H) -> Result<()>
    where
        H: Fn((SendStream, RecvStream)) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(incoming) = self.0.accept().await {
            let handle = handle.clone();
            tokio::spawn(async move {
                let Ok(conn) = incoming.await else { return };
                while let Ok(stream) = conn.accept_bi().await {
                    tokio::spawn(handle(stream));
                }
            });
        }
        Ok(())
    }
}

impl<const TUNED: bool> Server for QuinnServer<TUNED> {
    type Conn = Both;

    async fn start(spec: &Spec) -> Result<(Self, String)> {
        let (tls, cert) = certs::server(TUNED)?;
        let tls = QuicServerConfig::try_from(tls)?;
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(transport(spec, TUNED));
        let endpoint = endpoint(spec, Some(config), TUNED)?;
        let addr = endpoint.local_addr()?;
        let ticket = Ticket { addr, cert }.text()?;
        Ok((QuinnServer(endpoint), ticket))
    }

    async fn serve(self, service: Arc<Service<Both>>) -> Result<()> {
        self.each_stream(move |(send, recv)| {
            let service = Arc::clone(&service);
            async move { service.handle(tokio::io::join(recv, send)).await }
        })
        .await
    }
}

/// An endpoint, and its connection to the server once there was a dial.
pub struct QuinnClient<const TUNED: bool> {
    spec: Spec,
    endpoint: Endpoint,
    config: ClientConfig,
    addr: SocketAddr,
    conn: OnceCell<Connection>,
}

impl<const TUNED: bool> QuinnClient<TUNED> {
    pub async fn open(&self) -> Result<(SendStream, RecvStream)> {
        let connect = || async {
            let config = self.config.clone();
            let connecting = self.endpoint.connect_with(config, self.addr, NAME)?;
            Ok::<_, anyhow::Error>(connecting.await?)
        };
        Ok(self.conn.get_or_try_init(connect).await?.open_bi().await?)
    }
}

impl<const TUNED: bool> Client for QuinnClient<TUNED> {
    type Conn = Both;

    async fn join(spec: &Spec, ticket: &str) -> Result<Self> {
        let (config, addr) = target(spec, ticket, TUNED)?;
        Ok(QuinnClient {
            spec: spec.clone(),
            endpoint: endpoint(spec, None, TUNED)?,
            config,
            addr,
            conn: OnceCell::new(),
        })
    }

    async fn dial(&self) -> Result<Both> {
        let (send, recv) = self.open().await?;
        Ok(tokio::io::join(recv, send))
    }

    async fn another(&self, _: usize) -> Result<Self> {
        Ok(QuinnClient {
            spec: self.spec.clone(),
            endpoint: endpoint(&self.spec, None, TUNED)?,
            config: self.config.clone(),
            addr: self.addr,
            conn: OnceCell::new(),
        })
    }
}

/// Endpoints that dial and accept. They keep their connections.
pub struct QuinnPeers {
    endpoints: Vec<Endpoint>,
    targets: Vec<(ClientConfig, SocketAddr)>,
    conns: Mutex<Vec<Connection>>,
}

impl Peers for QuinnPeers {
    type Conn = Both;

    async fn start(spec: &Spec, count: usize, service: Arc<Service<Both>>) -> Result<Self> {
        let (mut endpoints, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (server, ticket) = QuinnServer::<false>::start(spec).await?;
            targets.push(target(spec, &ticket, false)?);
            endpoints.push(server.0.clone());
            tokio::spawn(server.serve(Arc::clone(&service)));
        }
        Ok(QuinnPeers {
            endpoints,
            targets,
            conns: Mutex::default(),
        })
    }

    async fn dial(&self, from: usize, to: usize) -> Result<Both> {
        let (config, addr) = self.targets[to].clone();
        let conn = self.endpoints[from]
            .connect_with(config, addr, NAME)?
            .await?;
        let (send, recv) = conn.open_bi().await?;
        let mut conns = self.conns.lock().unwrap_or_else(PoisonError::into_inner);
        conns.push(conn);
        Ok(tokio::io::join(recv, send))
    }
}
