//! Helpers that the tests of documents share: a wait for a change, and what the server was asked.
//!
//! Asserts nothing itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use virtnet_core::{Documents, Registry, RegistryError};
use virtnet_registry_redis::RedisRegistry;
use virtnet_testkit::redis::RedisServer;

use crate::calls::eventually;

pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(600));
pub(crate) const DOCUMENT: &str = "virtnet:{n}::document:t/a";

/// Less than the pause after which a number is read again whose change is pushed.
pub(crate) const BY_PUSH: Duration = Duration::from_secs(4);

pub(crate) fn documents(registry: &RedisRegistry) -> &dyn Documents {
    registry.documents().unwrap()
}

/// A task that waits for a change; returns when it has asked the server.
pub(crate) async fn wait(
    server: &RedisServer,
    registry: &Arc<RedisRegistry>,
    seen: u64,
) -> JoinHandle<Result<u64, RegistryError>> {
    let before = reads(server);
    let registry = Arc::clone(registry);
    let waiting = tokio::spawn(async move { documents(&registry).changed("t", seen).await });
    eventually("it has read the number", || reads(server) > before).await;
    waiting
}

/// How often the server has run GET.
pub(crate) fn reads(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).remove(0);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_get:calls="));
    let calls = line.and_then(|line| line.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}
