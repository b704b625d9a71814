//! A tower connector that makes a client's connections from a host.
//!
//! Owns the conversion of a URI to a dial. Never pools connections, and never sees a
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

/// Makes connections from a host to the virtual addresses in URIs, for hyper-util's
/// client, tonic's channels, and other users of a tower connector.
///
/// The scheme of a URI does not affect [the host it names](crate::adapt#hosts-in-uris)
/// or its security: over an engine with TLS, such as QUIC, the connection is encrypted
/// and the host's name verified, also with `http`. To add your own TLS, wrap the
/// connector.
///
/// An [`OpError`] is among the sources of the client's error, and the peer's [`Addr`]
/// among the extensions of hyper-util's responses.
///
/// A client that keeps a connection for its next request also keeps its port in use.
/// With `pool_max_idle_per_host(0)`, hyper-util's client dials for every request.
///
/// The connector keeps its host open.
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
    /// Creates a connector that dials from `host`.
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
    /// Dropping the future cancels the dial, like that of [`Host::dial`].
    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = self.host.clone();
        Box::pin(async move { host.dial(UriAddr(uri)).await.map(TokioIo::new) })
    }
}

/// For `TokioIo<Conn>`, through which hyper-util's client gets the peer's address.
impl Connection for Conn {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.peer_addr().clone())
    }
}

/// A URI as the argument of a dial.
struct UriAddr(Uri);

impl Sealed for UriAddr {}

impl ToAddr for UriAddr {
    fn to_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        let UriAddr(uri) = self;
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
