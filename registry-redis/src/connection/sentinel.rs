//! Sentinels: from a sentinel to the primary that it names.
//!
//! Owns how sentinels are asked, and how long their answer counts. Never subscribes to their
//! announcements: they are asked when it matters.
//!
//! A primary that was replaced does not know it at first: until a sentinel tells it, for some
//! ten seconds, it takes writes that will be lost, so a lease renewed there is worth nothing.
//! So a connection counts as confirmed for a short time only; then the sentinels are asked
//! whether it still leads to the primary.

use std::collections::HashMap;
use std::time::Duration;

use redis::{ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisResult, ServerErrorKind, Value};
use tokio::time::timeout;
use virtnet_core::{Cause, Failure};

use crate::connection::current::OpenConnection;
use crate::connection::locate::{Locator, NewConnection, config, shown};
use crate::connection::url::{Kind, Node};

/// How long a sentinel's answer counts: less than the usual pause between two renewals,
/// which it protects.
const CONFIRMED_FOR: Duration = Duration::from_secs(1);

impl Locator {
    /// How long a connection counts as leading to the right server after that was confirmed;
    /// `None` if the server itself reports that it is no longer the right one.
    pub(crate) fn confirmed_for(&self) -> Option<Duration> {
        match self.target.kind {
            Kind::Sentinel(_) => Some(CONFIRMED_FOR),
            Kind::Server | Kind::Cluster => None,
        }
    }

    /// Whether a connection to this server is no longer the one to use.
    ///
    /// If no sentinel answers within the time, the connection is kept: without sentinels, the
    /// registry still works.
    pub(crate) async fn is_replaced(&self, node: &Node, within: Duration) -> bool {
        let Kind::Sentinel(name) = &self.target.kind else {
            return false;
        };
        let asking = self.first_success(|sentinel| self.ask_sentinel(sentinel, name));
        matches!(timeout(within, asking).await, Ok(Ok(Some(named))) if named != *node)
    }

    /// Follows a sentinel to the server that it names.
    pub(crate) async fn by_sentinel(
        &self,
        sentinel: &Node,
        name: &str,
        new_connection: &NewConnection<'_>,
    ) -> Result<OpenConnection, Failure> {
        let Some(node) = self.ask_sentinel(sentinel, name).await? else {
            let text = format!(
                "the sentinel {} does not know a server named {name:?}",
                shown(sentinel)
            );
            return Err(Failure::wrap(Cause::InvalidAddr, text));
        };
        let mut found = self.open(&node, new_connection).await?;
        // A sentinel that was cut off may name a server that was demoted meanwhile.
        // `HELLO` needs no rights.
        let mut hello = redis::cmd("HELLO");
        hello.arg(match self.tracking.protocol() {
            ProtocolVersion::RESP3 => 3,
            _ => 2,
        });
        let hello = hello.query_async(&mut found.connection).await;
        let hello: HashMap<String, Value> = self.checked(hello)?;
        match hello.get("role") {
            Some(Value::BulkString(role)) if role == b"master" => Ok(found),
            _ => {
                let text = format!(
                    "expected a primary at {}, to which the sentinel {} refers, but it is a replica",
                    shown(&node),
                    shown(sentinel)
                );
                Err(Failure::because(Cause::RegistryDown, text))
            }
        }
    }

    async fn ask_sentinel(&self, sentinel: &Node, name: &str) -> Result<Option<Node>, Failure> {
        // User and password are for the servers; sentinels get them only if they ask.
        let nobody = RedisConnectionInfo::default();
        let answer = match self.ask_sentinel_as(nobody, sentinel, name).await {
            Err(err) if err.code() == Some("NOAUTH") => {
                let login = self.target.login.clone().set_db(0);
                self.ask_sentinel_as(login, sentinel, name).await
            }
            answer => answer,
        };
        answer.map_err(|err| match err.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => {
                let said = self.errors.shown(&err.to_string());
                let text = format!(
                    "expected a sentinel at {}, got the reply: {said}",
                    shown(sentinel)
                );
                Failure::wrap(Cause::Protocol, text)
            }
            _ => self.errors.failure(&err),
        })
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
}
