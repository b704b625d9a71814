//! iroh: QUIC between endpoints that are known by their public keys.
//!
//! Owns its set-up without relays and without discovery: both sides are here, and
//! know each other's address. Never leaves the machine.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use iroh::endpoint::{Connection, QuicTransportConfig, RecvStream, SendStream, VarInt, presets};
use iroh::{Endpoint, EndpointAddr};
use tokio::io::Join;
use tokio::sync::OnceCell;

use super::{Client, Contender, Server, Stream};
use crate::service::Service;
use crate::spec::Spec;

pub struct Iroh;

impl Contender for Iroh {
    type Server = IrohServer;
    type Client = IrohClient;
}

type Both = Join<RecvStream, SendStream>;

impl Stream for Both {}

const ALPN: &[u8] = b"bench";

/// As for bare QUIC: where 10,000 streams are to be open.
const MANY_STREAMS: u32 = 12_000;

/// The minimal preset has no relays and looks up no addresses.
async fn endpoint(spec: &Spec) -> Result<Endpoint> {
    let mut transport = QuicTransportConfig::builder();
    if matches!(spec.base(), "conns" | "conns-at-once") {
        transport = transport.max_concurrent_bidi_streams(VarInt::from_u32(MANY_STREAMS));
    }
    let builder = Endpoint::builder(presets::Minimal)
        .transport_config(transport.build())
        .alpns(vec![ALPN.to_vec()])
        .bind_addr(SocketAddr::new(spec.ip, 0))?;
    Ok(builder.bind().await?)
}

pub struct IrohServer(Endpoint);

impl Server for IrohServer {
    type Conn = Both;

    async fn start(spec: &Spec) -> Result<(IrohServer, String)> {
        let endpoint = endpoint(spec).await?;
        let bound = endpoint.bound_sockets();
        let here = bound.into_iter().filter(|addr| addr.ip() == spec.ip);
        let addr = here.fold(EndpointAddr::new(endpoint.id()), EndpointAddr::with_ip_addr);
        let ticket = serde_json::to_string(&addr)?;
        Ok((IrohServer(endpoint), ticket))
    }

    async fn serve(self, service: Arc<Service<Both>>) -> Result<()> {
        while let Some(incoming) = self.0.accept().await {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let Ok(conn) = incoming.await else { return };
                while let Ok((send, recv)) = conn.accept_bi().await {
                    let service = Arc::clone(&service);
                    tokio::spawn(async move {
                        service.handle(tokio::io::join(recv, send)).await;
                    });
                }
            });
        }
        Ok(())
    }
}

/// An endpoint, and its connection to the server once there was a dial.
pub struct IrohClient {
    spec: Spec,
    endpoint: Endpoint,
    server: EndpointAddr,
    conn: OnceCell<Connection>,
}

impl IrohClient {
    async fn new(spec: &Spec, server: EndpointAddr) -> Result<IrohClient> {
        Ok(IrohClient {
            spec: spec.clone(),
            endpoint: endpoint(spec).await?,
            server,
            conn: OnceCell::new(),
        })
    }
}

impl Client for IrohClient {
    type Conn = Both;

    async fn join(spec: &Spec, ticket: &str) -> Result<IrohClient> {
        IrohClient::new(spec, serde_json::from_str(ticket)?).await
    }

    async fn dial(&self) -> Result<Both> {
        let connect = || async {
            let connecting = self.endpoint.connect(self.server.clone(), ALPN);
            anyhow::Ok(connecting.await?)
        };
        let conn = self.conn.get_or_try_init(connect).await?;
        let (send, recv) = conn.open_bi().await?;
        Ok(tokio::io::join(recv, send))
    }

    async fn another(&self, _: usize) -> Result<IrohClient> {
        IrohClient::new(&self.spec, self.server.clone()).await
    }
}
