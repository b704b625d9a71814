//! Checks of a registry on its own. Never runs an engine: hostdata here is
//! arbitrary text.

use std::sync::Arc;

use async_trait::async_trait;

use super::bed::drop_after;
use crate::{Cause, Registry, RegistryError};

/// The registry of a new network to run one check on.
#[async_trait]
pub trait RegistryBed: Send + Sync {
    /// Creates another registry value of this bed's network, independent of the others
    /// as in another process.
    async fn registry(&self) -> Arc<dyn Registry>;

    /// Creates a registry value of another network on the same server or folder.
    ///
    /// The default returns `None`: this bed has one network only.
    async fn registry_of_another_network(&self) -> Option<Arc<dyn Registry>> {
        None
    }
}

/// Asserts that `err` shows its registry, operation, arguments and cause.
fn assert_error(err: &RegistryError, op: &str, args: &[&str], cause: Cause) {
    assert_eq!(err.cause(), cause, "{err}");
    assert_eq!(err.op(), op);
    assert_eq!(err.args(), args);
    let line = err.to_string();
    assert!(line.contains(err.registry()) && line.contains(op), "{line}");
    assert!(args.iter().all(|arg| line.contains(arg)), "{line}");
    assert!(line.ends_with(&cause.to_string()), "{line}");
}

/// Every registry value finds the names that any of them announced.
pub async fn announce_and_query(bed: &dyn RegistryBed) {
    let (one, other) = (bed.registry().await, bed.registry().await);
    one.announce("α", "10.0.0.1:4433").await.unwrap();
    other.announce("β", "[::1]:1").await.unwrap();
    for registry in [&one, &other] {
        assert_eq!(registry.query("α").await.unwrap(), "10.0.0.1:4433");
        assert_eq!(registry.query("β").await.unwrap(), "[::1]:1");
    }
    one.close().await.unwrap();
    other.close().await.unwrap();
}

/// A query for a name that was not announced is an error that shows the name.
pub async fn no_such_host(bed: &dyn RegistryBed) {
    let registry = bed.registry().await;
    let err = registry.query("γ").await.unwrap_err();
    assert_error(&err, "query", &["γ"], Cause::NoSuchHost);
    registry.close().await.unwrap();
}

/// A name has one holder; a second announcement fails and changes nothing.
pub async fn taken_names(bed: &dyn RegistryBed) {
    let (one, other) = (bed.registry().await, bed.registry().await);
    one.announce("α", "first").await.unwrap();
    for registry in [&one, &other] {
        let err = registry.announce("α", "second").await.unwrap_err();
        let taken = Cause::HostAlreadyRegistered;
        assert_error(&err, "announce", &["α", "second"], taken);
    }
    assert_eq!(other.query("α").await.unwrap(), "first");
    one.close().await.unwrap();
    other.close().await.unwrap();
}

/// Names are compared byte by byte; no characters are special.
pub async fn names_are_bytes(bed: &dyn RegistryBed) {
    let registry = bed.registry().await;
    let long = "x".repeat(crate::MAX_NAME);
    let names = [
        "a", "A", "é", "e\u{301}", "a b", "a:b", "{a}", "a}", "%61", "*", "?", "[a]", "a/b", "\\",
        "'", "\"", &long,
    ];
    for name in names {
        registry
            .announce(name, &format!("data of {name}"))
            .await
            .unwrap();
    }
    for name in names {
        let found = registry.query(name).await.unwrap();
        assert_eq!(found, format!("data of {name}"));
    }
    registry.close().await.unwrap();
}

/// Closing frees the registry value's own names at once, and no others.
pub async fn close_frees_exactly_the_own_names(bed: &dyn RegistryBed) {
    let (one, other) = (bed.registry().await, bed.registry().await);
    one.announce("α", "1").await.unwrap();
    one.announce("γ", "1").await.unwrap();
    other.announce("β", "2").await.unwrap();
    drop(other.announce("α", "2").await.unwrap_err());
    one.close().await.unwrap();
    for name in ["α", "γ"] {
        assert_eq!(
            other.query(name).await.unwrap_err().cause(),
            Cause::NoSuchHost
        );
        other.announce(name, "2").await.unwrap();
    }
    one.close().await.unwrap();
    let third = bed.registry().await;
    for name in ["α", "β", "γ"] {
        assert_eq!(third.query(name).await.unwrap(), "2");
    }
    other.close().await.unwrap();
    third.close().await.unwrap();
}

/// After a close, all calls report that the registry is down.
pub async fn closed_means_down(bed: &dyn RegistryBed) {
    let registry = bed.registry().await;
    registry.announce("α", "1").await.unwrap();
    registry.close().await.unwrap();
    registry.close().await.unwrap();
    let err = registry.announce("β", "1").await.unwrap_err();
    assert_error(&err, "announce", &["β", "1"], Cause::RegistryDown);
    let err = registry.query("α").await.unwrap_err();
    assert_error(&err, "query", &["α"], Cause::RegistryDown);
}

/// If many announce a name at the same time, exactly one succeeds.
pub async fn contenders(bed: &dyn RegistryBed) {
    let mut registries = Vec::new();
    for _ in 0..16 {
        registries.push(bed.registry().await);
    }
    for round in 0..8 {
        let name = format!("prize {round}");
        let mut contest = tokio::task::JoinSet::new();
        for (i, registry) in registries.iter().enumerate() {
            let (registry, name) = (Arc::clone(registry), name.clone());
            contest
                .spawn(async move { registry.announce(&name, &i.to_string()).await.map(|()| i) });
        }
        let results = contest.join_all().await;
        let winners: Vec<_> = results.iter().filter_map(|won| won.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        for err in results.iter().filter_map(|won| won.as_ref().err()) {
            assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{err}");
        }
        let holder = registries[0].query(&name).await.unwrap();
        assert_eq!(holder, winners[0].to_string());
    }
    for registry in registries {
        registry.close().await.unwrap();
    }
}

/// Dropping an announcement frees the name, at the latest when the registry is closed.
pub async fn announce_dropped_at_every_poll(bed: &dyn RegistryBed) {
    for polls in 1..=6 {
        let (one, other) = (bed.registry().await, bed.registry().await);
        let announced = drop_after(polls, one.announce("α", "1")).await;
        one.close().await.unwrap();
        if let Some(announced) = announced {
            announced.unwrap();
        }
        other.announce("α", "2").await.expect("the name is free");
        other.close().await.unwrap();
    }
}
