//! axum 0.8: serving on a listener, with the peer's virtual address.
//!
//! Owns the handling of failed accepts. Never serves anything itself.

use std::future::pending;
use std::io;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;

use crate::{Addr, Cause, Conn, Listener};

/// For `axum::serve(listener, app)`, which takes ownership of the listener.
///
/// An accept of axum cannot return an error. So when the host or its subnetwork is
/// closed, the accept waits without end: all connections are closed too, and the
/// serving future does nothing until it is dropped or shut down gracefully. A dial
/// that arrives while no port is free is refused and logged.
///
/// A graceful shutdown drops the listener, answers pending requests, and ends. It waits
/// without a time limit for clients that have begun a request (axum 0.8.9), but not for
/// clients that have sent nothing. Set a limit, and close the host when it expires.
///
/// ```
/// # use virtnet_core::{Addr, Host};
/// use axum::Router;
/// use axum::extract::ConnectInfo;
/// use axum::routing::get;
///
/// async fn whoami(ConnectInfo(peer): ConnectInfo<Addr>) -> String {
///     format!("you are {}", peer.host())
/// }
///
/// # async fn example(host: Host) -> Result<(), Box<dyn std::error::Error>> {
/// let app = Router::new().route("/", get(whoami));
/// let listener = host.listen(":80")?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<Addr>()).await?;
/// # Ok(()) }
/// ```
impl axum::serve::Listener for Listener {
    type Io = Conn;
    type Addr = Addr;

    async fn accept(&mut self) -> (Conn, Addr) {
        loop {
            match Listener::accept(self).await {
                Ok(accepted) => return accepted,
                // Only this dial failed: accept the next one.
                Err(err) if err.cause() == Cause::NoFreePort => tracing::error!("{err}"),
                Err(err) => {
                    tracing::debug!("{err}");
                    return pending().await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Addr> {
        Ok(Listener::local_addr(self).clone())
    }
}

/// The peer's address, with `into_make_service_with_connect_info::<Addr>()`.
impl Connected<IncomingStream<'_, Listener>> for Addr {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Addr {
        stream.remote_addr().clone()
    }
}
