//! Locating: from the places that a URL names to a connection with the server
//! that has the network's keys.
//!
//! Owns how sentinels and the nodes of a cluster are asked for the way. Never
//! keeps a connection, and has no deadline: its caller has, and ends it by
//! dropping it.
//!
//! All keys of a network are in one slot, so on a cluster too they are on one
//! server, and one connection is all that is needed. Whoever is asked for the
//! way may be wrong, or dead: so all places are asked, one shortly after the
//! other, and who first leads to a server that says itself that it is the one,
//! has found it. That server is then used over the connection on which it said so.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use tokio::time::sleep;
use virtnet_core::{Cause, Failure};

use crate::fault::Faults;
use crate::link::Numbered;
use crate::target::{Kind, Node, Target};

/// How long a place may take before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(50);
/// How often a cluster may point elsewhere in a row. More than one move at a
/// time is rare; a circle is a cluster that has not made up its mind.
const MOST_MOVES: usize = 5;

/// Makes number and settings for a connection. Each has its own, as what is
/// pushed on one that is not taken must not be heard as another's.
type Fresh<'a> = dyn Fn() -> (u64, AsyncConnectionConfig) + Sync + 'a;

pub(crate) struct Locator {
    pub(crate) target: Target,
    pub(crate) faults: Faults,
    pub(crate) certificates: Option<TlsCertificates>,
    pub(crate) tcp: TcpSettings,
    pub(crate) protocol: ProtocolVersion,
    /// A key of the network, by which a cluster's nodes know its slot.
    pub(crate) key: String,
}

impl Locator {
    /// Whether the settings fit together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.target.tls && CryptoProvider::get_default().is_none() {
            // Without one, the client library panics. That another thread was
            // faster is as good.
            let _ = default_provider().install_default();
        }
        if self.certificates.is_some() && !self.target.tls {
            let text = "there are certificates, but the URL is none for TLS: rediss:// is";
            return Err(Failure::wrap(Cause::InvalidAddr, text));
        }
        Ok(())
    }

    /// Connects to the server that has the network's keys.
    pub(crate) async fn connect(&self, fresh: &Fresh<'_>) -> Result<Numbered, Failure> {
        let nodes = self.target.nodes.iter().enumerate();
        let mut ways: Vec<_> = nodes
            .map(|(at, node)| Box::pin(self.ask_later(at, node, fresh)))
            .collect();
        let mut failures = Vec::new();
        poll_fn(move |cx| {
            for at in (0..ways.len()).rev() {
                match Pin::new(&mut ways[at]).poll(cx) {
                    Poll::Ready(Ok(connection)) => return Poll::Ready(Ok(connection)),
                    Poll::Ready(Err(failure)) => {
                        failures.push(failure);
                        drop(ways.remove(at));
                    }
                    Poll::Pending => {}
                }
            }
            match ways.is_empty() {
                true => Poll::Ready(Err(worst(&mut failures))),
                false => Poll::Pending,
            }
        })
        .await
    }

    async fn ask_later(
        &self,
        at: usize,
        node: &Node,
        fresh: &Fresh<'_>,
    ) -> Result<Numbered, Failure> {
        if at > 0 {
            sleep(HEAD_START * u32::try_from(at).unwrap_or(u32::MAX)).await;
        }
        match &self.target.kind {
            Kind::Server => self.open(node, fresh).await,
            Kind::Sentinel(name) => self.by_sentinel(node, name, fresh).await,
            Kind::Cluster => self.by_cluster(node, fresh).await,
        }
    }

    /// Follows a sentinel to the server that it names.
    async fn by_sentinel(
        &self,
        sentinel: &Node,
        name: &str,
        fresh: &Fresh<'_>,
    ) -> Result<Numbered, Failure> {
        let Some(node) = self.ask_sentinel(sentinel, name).await? else {
            let text = format!("the sentinel {} knows no server {name:?}", shown(sentinel));
            return Err(Failure::wrap(Cause::InvalidAddr, text));
        };
        let mut found = self.open(&node, fresh).await?;
        // A sentinel that was cut off names one that was demoted meanwhile.
        // Asked in this way as it needs no rights.
        let hello = redis::cmd("HELLO").query_async(&mut found.connection).await;
        let hello: HashMap<String, Value> = self.checked(hello)?;
        match hello.get("role") {
            Some(Value::BulkString(role)) if role == b"master" => Ok(found),
            _ => {
                let text = format!(
                    "{} is a replica, though the sentinel {} sends us there",
                    shown(&node),
                    shown(sentinel)
                );
                Err(Failure::because(Cause::RegistryDown, text))
            }
        }
    }

    async fn ask_sentinel(&self, sentinel: &Node, name: &str) -> Result<Option<Node>, Failure> {
        // User and password are the servers'; only sentinels that want to know
        // them are told them.
        let nobody = RedisConnectionInfo::default();
        let answer = match self.ask_sentinel_as(nobody, sentinel, name).await {
            Err(err) if err.code() == Some("NOAUTH") => {
                let login = self.target.login.clone().set_db(0);
                self.ask_sentinel_as(login, sentinel, name).await
            }
            answer => answer,
        };
        self.checked(answer)
    }

    async fn ask_sentinel_as(
        &self,
        login: RedisConnectionInfo,
        sentinel: &Node,
        name: &str,
    ) -> RedisResult<Option<Node>> {
        let client = self.client(sentinel, login)?;
        let config = config();
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        ask.query_async(&mut connecting.await?).await
    }

    /// Asks a node, and follows where it and those after it point to.
    async fn by_cluster(&self, node: &Node, fresh: &Fresh<'_>) -> Result<Numbered, Failure> {
        let mut node = node.clone();
        for _ in 0..MOST_MOVES {
            let mut found = self.open(&node, fresh).await?;
            let mut get = redis::cmd("GET");
            get.arg(&self.key);
            let answer: RedisResult<Value> = get.query_async(&mut found.connection).await;
            match answer {
                Ok(_) => return Ok(found),
                Err(err) => node = moved(&err, &node).ok_or_else(|| self.faults.failure(&err))?,
            }
        }
        let text = format!("the nodes of the cluster have sent us on {MOST_MOVES} times");
        Err(Failure::because(Cause::RegistryDown, text))
    }

    async fn open(&self, node: &Node, fresh: &Fresh<'_>) -> Result<Numbered, Failure> {
        let login = self.target.login.clone().set_protocol(self.protocol);
        let client = self.checked(self.client(node, login))?;
        let (number, config) = fresh();
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = self.checked(connecting.await)?;
        Ok(Numbered { number, connection })
    }

    fn client(&self, (host, port): &Node, login: RedisConnectionInfo) -> RedisResult<Client> {
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
        // The library's name would need rights, and a refusal be written to the
        // server's log.
        let info: ConnectionInfo = addr.into_connection_info()?;
        let info = info
            .set_redis_settings(login.set_skip_set_lib_name())
            .set_tcp_settings(self.tcp.clone());
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    fn checked<T>(&self, result: RedisResult<T>) -> Result<T, Failure> {
        result.map_err(|err| self.faults.failure(&err))
    }
}

/// No timeouts but our callers', which span everything.
pub(crate) fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

/// Where a node of a cluster points to.
fn moved(err: &RedisError, from: &Node) -> Option<Node> {
    let (place, _slot) = err.redirect_node()?;
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    // A node that does not know its own name leaves it out.
    let host = if host.is_empty() { &from.0 } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}

/// Of the ways that failed, the one to report: to be refused, or to have been
/// given a wrong name, says more than that somebody was down.
fn worst(failures: &mut Vec<Failure>) -> Failure {
    let telling = failures
        .iter()
        .position(|failure| failure.cause() != Cause::RegistryDown);
    match failures.is_empty() {
        true => Failure::because(Cause::RegistryDown, "there is no place to ask"),
        false => failures.swap_remove(telling.unwrap_or(0)),
    }
}

fn shown((host, port): &Node) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
