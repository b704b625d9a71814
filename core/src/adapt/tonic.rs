//! tonic 0.14: gRPC on a listener, with the peer's virtual address.
//!
//! Owns the connection information of a request. Never serves anything itself. The
//! client's side is the connector.

use tonic::transport::server::Connected;

use crate::{Addr, Conn};

/// For `serve_with_incoming(listener.into_incoming())`: the extension [`Addr`] of each
/// request is the peer's address.
///
/// The serving future ends when the listener, its host or the subnetwork is closed.
///
/// A graceful shutdown (`serve_with_incoming_shutdown`) waits without a time limit for
/// connections that have sent nothing, or only HTTP/2's preface (tonic 0.14.9; its
/// keep-alive covers neither). Set a limit, and close the host when it expires: this
/// ends the connections, and with them the serving future.
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
