//! An endpoint: one host's UDP socket, and the connections and tasks that use it.
//!
//! Owns the order in which these start and close. Never uses the registry.
//!
//! All locks in this folder are parking_lot's, which a panic does not poison: each change
//! under a lock is complete before anything can panic.

pub(crate) mod accept;
pub(crate) mod admission;
pub(crate) mod dial;
pub(crate) mod flush;
pub(crate) mod linger;
pub(crate) mod pool;
pub(crate) mod reply;
pub(crate) mod stream;
pub(crate) mod stream_limits;
pub(crate) mod tasks;

use std::sync::Arc;
use std::time::Duration;

use quinn::ServerConfig;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::time::timeout;
use virtnet_core::{Cause, Failure, Notifier};

use crate::config::transport::{self, CLOSE_TIMEOUT, CloseCode};
use crate::endpoint::accept::accept_loop;
use crate::endpoint::flush::Unflushed;
use crate::endpoint::linger::Lingerers;
use crate::endpoint::pool::Pool;
use crate::endpoint::tasks::{Tasks, TrackedRuntime};
use crate::hostdata::Advertised;
use crate::identity::reset;
use crate::identity::tls::Trust;
use crate::udp::faults::EngineFaults;
use crate::udp::faults::host::HostFaults;
use crate::udp::kept::KeptSockets;
use crate::udp::send_errors::SendErrors;
use crate::udp::socket::AddressFamilies;
use crate::{Counters, QuicConfig};

/// The checked configuration of one network, which all endpoints of an engine share.
pub(crate) struct EndpointContext {
    pub(crate) network: Arc<str>,
    pub(crate) config: QuicConfig,
    pub(crate) advertised: Advertised,
    pub(crate) trust: Trust,
    pub(crate) counters: Counters,
    pub(crate) faults: EngineFaults,
}

/// A host's endpoint. Dropping it without [`close`](Endpoint::close) closes it, too, but
/// does not wait for the delivery of written data.
pub(crate) struct Endpoint(Arc<EndpointInner>);

/// The state that the tasks of an endpoint share. Closing ends the tasks, so their
/// references do not keep it open.
pub(crate) struct EndpointInner {
    pub(crate) network: Arc<str>,
    pub(crate) hostname: Arc<str>,
    pub(crate) config: QuicConfig,
    pub(crate) notifier: Notifier,
    pub(crate) counters: Counters,
    pub(crate) quinn: quinn::Endpoint,
    pub(crate) client: Arc<QuicClientConfig>,
    pub(crate) server: ServerConfig,
    pub(crate) families: AddressFamilies,
    /// Errors of sending on its socket.
    pub(crate) send_errors: Arc<SendErrors>,
    /// The faults of its socket.
    pub(crate) faults: Arc<HostFaults>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) unflushed: Unflushed,
    pub(crate) lingerers: Arc<Lingerers>,
    pub(crate) tasks: Tasks,
}

impl Endpoint {
    /// Binds the endpoint of a host and starts to accept. Returns it with the hostdata to
    /// announce.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn start(
        context: &EndpointContext,
        notifier: &Notifier,
        kept: &KeptSockets,
        hostname: &str,
    ) -> Result<(Endpoint, String), Failure> {
        let config = &context.config;
        let tls = context.trust.host(hostname)?;
        let (socket, families) = config
            .bind
            .socket(config.tuning.socket_buffer, &context.counters)?;
        let failed = |err| Failure::other(format!("cannot start an endpoint: {err}"));
        let port = socket.local_addr().map_err(failed)?.port();
        if let Some(ip) = context.advertised.ip() {
            kept.loopback_is_up(config.bind.first.ip(), (ip, port).into())?;
        }
        let (tasks, unflushed) = (Tasks::new(), Unflushed::default());
        let send_errors = Arc::new(SendErrors::default());
        let hostname: Arc<str> = hostname.into();
        let faults = context.faults.host(&hostname, &context.counters);
        let server = transport::server(tls.server);
        let quinn = quinn::Endpoint::new(
            reset::endpoint_config(tls.reset_key, tls.random),
            Some(server.clone()),
            socket,
            TrackedRuntime::shared(&tasks, &send_errors, &faults),
        )
        .map_err(failed)?;
        let inner = Arc::new(EndpointInner {
            network: context.network.clone(),
            hostname,
            config: config.clone(),
            notifier: notifier.clone(),
            counters: context.counters.clone(),
            client: tls.client,
            server,
            pool: Pool::new(tasks.clone(), unflushed.clone(), config.pool_idle),
            quinn,
            families,
            send_errors,
            faults,
            lingerers: Lingerers::new(tasks.clone(), unflushed.clone()),
            unflushed,
            tasks,
        });
        inner.tasks.spawn(Arc::clone(&inner.lingerers).run());
        let (minted, host) = (tls.minted, Arc::clone(&inner));
        inner.tasks.spawn(async move {
            // While the registry is asked; here it delays no handshake either, as that needs it.
            let _ = minted.map(|minted| minted.get());
            accept_loop(host).await;
        });
        Ok((Endpoint(inner), context.advertised.hostdata(port)))
    }

    pub(crate) fn inner(&self) -> &Arc<EndpointInner> {
        &self.0
    }

    /// Refuses new dials, delivers written data, then closes all connections, ends all
    /// tasks and closes the socket.
    ///
    /// # Errors
    ///
    /// When written data could not be delivered within the drain timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes everything without waiting.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let EndpointInner {
            quinn,
            tasks,
            unflushed,
            lingerers,
            ..
        } = &*self.0;
        tasks.closing().cancel();
        lingerers.close();
        let bound = self.0.config.drain_timeout;
        let late = timeout(bound, tasks.delivered()).await.is_err();
        let undelivered = tasks.undelivered();
        // Streams that have only their end to deliver get less time: if the peer is gone,
        // nothing is lost.
        let _ = timeout(CLOSE_TIMEOUT, tasks.ended()).await;
        tasks.cut().cancel();
        let flushed = async {
            tasks.ended().await;
            unflushed.flush().await;
        };
        let _ = timeout(CLOSE_TIMEOUT, flushed).await;
        quinn.close(CloseCode::Bye.into(), b"bye");
        // Sends CONNECTION_CLOSE frames, but does not wait for slow peers.
        let _ = timeout(CLOSE_TIMEOUT, quinn.wait_idle()).await;
        tasks.end().await;
        match undelivered {
            0 => Ok(()),
            count => Err(undelivered_error(
                &self.0.hostname,
                count,
                late.then_some(bound),
            )),
        }
    }

    /// Ends all tasks at once, and closes the socket, which is silent. Delivers nothing.
    pub(crate) async fn crash(self) {
        let inner = Arc::clone(&self.0);
        drop(self);
        inner.tasks.end().await;
    }
}

/// The error of a close. `bound` is how long it waited; `None` where the peers were lost
/// earlier.
fn undelivered_error(hostname: &str, count: usize, bound: Option<Duration>) -> Failure {
    let connections = match count {
        1 => "1 connection".to_owned(),
        more => format!("{more} connections"),
    };
    let why = match bound {
        Some(bound) => format!("what was written could not be delivered within {bound:?}"),
        None => "the peer was lost before all that was written was delivered".to_owned(),
    };
    let text = format!("host {hostname:?} cut {connections}: {why}");
    Failure::wrap(Cause::ConnectionCut, text)
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let EndpointInner {
            quinn,
            tasks,
            lingerers,
            ..
        } = &*self.0;
        tasks.closing().cancel();
        lingerers.close();
        tasks.cut().cancel();
        quinn.close(CloseCode::Bye.into(), b"bye");
    }
}
