//! axum 0.8: a service on a listener, with the peer's virtual address.
//!
//! Owns what becomes of an accept that fails. Never serves anything itself.

use std::future::pending;
use std::io;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;

use crate::{Addr, Cause, Conn, Listener};

/// For `axum::serve(listener, app)`, which owns the listener from then on.
///
/// axum's accepts cannot fail. So once the listener is down, by its host's or its
/// subnetwork's close, they wait for ever: the connections are down as well, and the
/// serving future does nothing until it is dropped, or its graceful shutdown ends
/// it. A dial that came when no port was free is refused, and logged.
///
/// A graceful shutdown drops the listener, answers what was asked, and ends. It waits
/// without a bound for whoever has begun a request (axum 0.8.9), and not for who has
/// said nothing. So give it a bound, and close the host after that.
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
                // It was one dial that found none: the next accept waits for the next.
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

/// The peer, by `into_make_service_with_connect_info::<Addr>()`.
impl Connected<IncomingStream<'_, Listener>> for Addr {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Addr {
        stream.remote_addr().clone()
    }
}
