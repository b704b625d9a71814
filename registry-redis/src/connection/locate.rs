//! Locating: from the addresses in a URL to a connection with the server that has the
//! network's keys.
//!
//! Owns how sentinels and cluster nodes are asked for that server. Never keeps a
//! connection, and has no deadline: the caller drops it when its own deadline has passed.
//!
//! All keys of a network are in one slot, so a cluster too keeps them on one server, and one
//! connection is enough. A sentinel or node may be wrong or down. So all addresses are
//! asked, one shortly after the other, until one leads to a server that confirms that it is
//! the right one. The connection on which it confirmed is then used.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use virtnet_core::{Cause, Failure};

use crate::connection::current::OpenConnection;
use crate::connection::error::ServerErrors;
use crate::connection::tracking::Tracking;
use crate::connection::url::{Kind, Node, RedisUrl};

/// How long an address may take before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(50);

/// How long a server may take to say why it refuses connections, and how many bytes of
/// that are read.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(300);
const MAX_REFUSAL: u64 = 1_024;

/// Makes the number and settings of a connection. Each attempt has its own, so that a push on
/// a connection that is not used is not taken for another's.
pub(crate) type NewConnection<'a> = dyn Fn() -> (u64, AsyncConnectionConfig) + Sync + 'a;

pub(crate) struct Locator {
    pub(crate) target: RedisUrl,
    pub(crate) errors: ServerErrors,
    pub(crate) certificates: Option<TlsCertificates>,
    pub(crate) tcp: TcpSettings,
    /// Whether servers are asked to push changes.
    pub(crate) tracking: Tracking,
    /// A key of the network, from which a cluster's nodes derive the slot.
    pub(crate) key: String,
}

impl Locator {
    /// Checks that the settings fit together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.target.tls && CryptoProvider::get_default().is_none() {
            // Without one, the client library panics. If another thread installed one
            // first, that does as well.
            let _ = default_provider().install_default();
        }
        if self.certificates.is_some() && !self.target.tls {
            let text = "certificates are set, but the URL does not use TLS: use rediss:// instead of redis://";
            return Err(Failure::wrap(Cause::InvalidAddr, text));
        }
        Ok(())
    }

    /// Connects to the server that has the network's keys.
    pub(crate) async fn connect(
        &self,
        new_connection: &NewConnection<'_>,
    ) -> Result<OpenConnection, Failure> {
        self.first_success(|node| self.connect_through(node, new_connection))
            .await
    }

    async fn connect_through(
        &self,
        node: &Node,
        new_connection: &NewConnection<'_>,
    ) -> Result<OpenConnection, Failure> {
        match &self.target.kind {
            Kind::Server => self.open(node, new_connection).await,
            Kind::Sentinel(name) => self.by_sentinel(node, name, new_connection).await,
            Kind::Cluster => self.by_cluster(node, new_connection).await,
        }
    }

    /// The first success among all addresses, which are tried one shortly after the other.
    pub(crate) async fn first_success<'a, T, W>(
        &'a self,
        ask: impl Fn(&'a Node) -> W,
    ) -> Result<T, Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let ask_later = |(at, node): (usize, &'a Node)| {
            let wait = HEAD_START * u32::try_from(at).unwrap_or(u32::MAX);
            let asking = ask(node);
            Box::pin(async move {
                if !wait.is_zero() {
                    sleep(wait).await;
                }
                asking.await
            })
        };
        let nodes = self.target.nodes.iter().enumerate();
        let mut attempts: Vec<_> = nodes.map(ask_later).collect();
        let mut failures = Vec::new();
        poll_fn(|cx| {
            for at in (0..attempts.len()).rev() {
                match attempts[at].as_mut().poll(cx) {
                    Poll::Ready(Ok(found)) => return Poll::Ready(Ok(found)),
                    Poll::Ready(Err(failure)) => {
                        failures.push(failure);
                        drop(attempts.remove(at));
                    }
                    Poll::Pending => {}
                }
            }
            match attempts.is_empty() {
                true => Poll::Ready(Err(most_telling(&mut failures))),
                false => Poll::Pending,
            }
        })
        .await
    }

    pub(crate) async fn open(
        &self,
        node: &Node,
        new_connection: &NewConnection<'_>,
    ) -> Result<OpenConnection, Failure> {
        let login = self.target.login.clone();
        let login = login.set_protocol(self.tracking.protocol());
        let client = self.checked(self.client(node, login))?;
        let (number, config) = new_connection();
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(err) => return Err(self.why_dropped(node, &err).await),
        };
        Ok(OpenConnection {
            number,
            node: node.clone(),
            connection,
        })
    }

    /// Why a server dropped a connection. A server that is full says so and closes before it
    /// reads anything; that message is lost if something was sent meanwhile. So this opens
    /// another connection that sends nothing, and reads the message there.
    pub(crate) async fn why_dropped(&self, node: &Node, err: &RedisError) -> Failure {
        let was_let_in = !err.is_connection_dropped() || err.is_connection_refusal();
        // Over TLS it says nothing.
        if !was_let_in && !self.target.tls {
            let said = timeout(REFUSAL_TIMEOUT, refusal(node)).await;
            if let Ok(Some(said)) = said {
                return self.errors.failure(&said);
            }
        }
        self.errors.failure(err)
    }

    pub(crate) fn client(
        &self,
        (host, port): &Node,
        login: RedisConnectionInfo,
    ) -> RedisResult<Client> {
        let (host, port) = (host.clone(), *port);
        let addr = match self.target.tls {
            false => ConnectionAddr::Tcp(host, port),
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        // Sending the library's name would need a right; without it, the server would
        // log a refusal.
        let info: ConnectionInfo = addr.into_connection_info()?;
        let info = info
            .set_redis_settings(login.set_skip_set_lib_name())
            .set_tcp_settings(self.tcp.clone());
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    pub(crate) fn checked<T>(&self, result: RedisResult<T>) -> Result<T, Failure> {
        result.map_err(|err| self.errors.failure(&err))
    }
}

/// The error that a server sends to a client that sends nothing, if any.
async fn refusal((host, port): &Node) -> Option<RedisError> {
    let mut stream = TcpStream::connect((&**host, *port)).await.ok()?;
    let mut said = Vec::new();
    let mut most = (&mut stream).take(MAX_REFUSAL);
    // Bytes that arrived before a failure count.
    let _ = most.read_to_end(&mut said).await;
    let said = redis::parse_redis_value(&said).ok()?;
    said.extract_error().err()
}

/// No timeouts of its own: the callers' deadlines span everything.
pub(crate) fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

pub(crate) fn tcp_settings(deadline: Duration) -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        // A connection that is given up is reset: its unsent commands must not reach
        // the server after those of its successor.
        .set_linger_time(Duration::ZERO);
    // A dead path is noticed even if no call waits for a reply.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let settings = settings.set_user_timeout(deadline);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = deadline;
    settings
}

/// The failure to report when all attempts failed: a refusal or a wrong name says more than
/// *registry is down*.
fn most_telling(failures: &mut Vec<Failure>) -> Failure {
    let telling = failures
        .iter()
        .position(|failure| failure.cause() != Cause::RegistryDown);
    match failures.is_empty() {
        true => Failure::because(Cause::RegistryDown, "the URL names no server"),
        false => failures.swap_remove(telling.unwrap_or(0)),
    }
}

pub(crate) fn shown((host, port): &Node) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
