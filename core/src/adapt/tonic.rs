//! tonic 0.14: gRPC on a listener, with the peer's virtual address.
//!
//! Owns what a request says of its connection. Never serves anything itself; the
//! client's side is the connector.

use tonic::transport::server::Connected;

use crate::{Addr, Conn};

/// For `serve_with_incoming(listener.into_incoming())`: the peer is the extension
/// [`Addr`] of each request.
///
/// The serving future ends when the listener, its host or the network goes down.
///
/// A graceful shutdown (`serve_with_incoming_shutdown`) waits without a bound for a
/// connection that has said nothing yet, or no more than HTTP/2's preface (tonic
/// 0.14.9; its keep-alive reaches neither). So give it a bound, and close the host
/// after that: it ends the connections, and with them the serving future.
///
/// ```
/// # use virtnet_core::Host;
/// use tonic::{Request, Response, Status, transport::Server};
/// use virtnet_core::Addr;
///
/// async fn whoami(request: Request<()>) -> Result<Response<String>, Status> {
///     let peer: &Addr = request.extensions().get().expect("it came over virtnet");
///     Ok(Response::new(format!("you are {}", peer.host())))
/// }
/// # async fn example<S>(host: Host, service: S) -> Result<(), Box<dyn std::error::Error>>
/// # where
/// #     S: tower_service::Service<http::Request<tonic::body::Body>,
/// #         Response = http::Response<tonic::body::Body>, Error = std::convert::Infallible>
/// #         + Clone + Send + 'static,
/// #     S::Future: Send,
/// # {
///
/// let incoming = host.listen(":50051")?.into_incoming();
/// Server::builder().serve_with_incoming(service, incoming).await?;
/// # Ok(()) }
/// ```
impl Connected for Conn {
    type ConnectInfo = Addr;

    fn connect_info(&self) -> Addr {
        self.peer_addr().clone()
    }
}
