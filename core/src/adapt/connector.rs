//! A tower connector: who makes a client's connections from a host.
//!
//! Owns the way from a URI to a dial. Never pools connections, and never sees a
//! request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::uri;
use crate::addr::name::{Noun, Problem};
use crate::addr::to_addr::{ToAddr, sealed::Sealed};
use crate::{Addr, AddrError, Conn, Host, OpError};

/// Makes connections from a host to the virtual addresses in URIs: for hyper-util's
/// client, tonic's channels, and whatever else takes a tower connector.
///
/// [Which host](crate::adapt#hosts-in-uris) a URI means does not depend on its
/// scheme: the connection is encrypted, and the host has proved its name, also with
/// `http`. For TLS of your own on top, wrap the connector.
///
/// An [`OpError`] is among the sources of the client's error; the peer's [`Addr`]
/// among the extensions of hyper-util's responses.
///
/// A client that keeps a connection for its next request keeps its port taken, too.
/// `pool_max_idle_per_host(0)` has hyper-util's dial for every request.
///
/// The connector keeps its host open as long as it lives.
///
/// ```
/// # use virtnet_core::Host;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use virtnet_core::adapt::{Connector, uri_host};
///
/// # async fn example(host: Host) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder(TokioExecutor::new()).build(Connector::new(host));
/// # let client: Client<_, String> = client;
/// let answer = client.get(format!("http://{}/", uri_host("α")).parse()?).await?;
/// # drop(answer);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Connector {
    host: Host,
}

impl Connector {
    /// A connector that dials from `host`.
    pub fn new(host: Host) -> Connector {
        Connector { host }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Conn>;
    type Error = OpError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Conn>, OpError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpError>> {
        Poll::Ready(Ok(()))
    }

    /// # Cancel safety
    ///
    /// Dropping the future cancels the dial, as with [`Host::dial`].
    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = self.host.clone();
        Box::pin(async move { host.dial(Place(uri)).await.map(TokioIo::new) })
    }
}

/// For `TokioIo<Conn>`, by way of which hyper-util's client learns of the peer.
impl Connection for Conn {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.peer_addr().clone())
    }
}

/// Where a URI leads.
struct Place(Uri);

impl Sealed for Place {}

impl ToAddr for Place {
    fn to_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        let Place(uri) = self;
        let Some(authority) = uri.authority() else {
            let uri = uri.to_string();
            return Err(AddrError::new(Noun::Address, &uri, Problem::NoHost));
        };
        let default = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            _ => uri::HTTP,
        };
        let (name, port) = uri::read(authority.as_str(), default)?;
        Addr::new(home.network_arc(), name, port)
    }
}
