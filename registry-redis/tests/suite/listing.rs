//! Listings of a network: by a member, and by a user with read rights only.

use std::time::Duration;

use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::RedisServer;

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";

#[tokio::test]
async fn a_listing_shows_owner_and_lease() {
    let server = RedisServer::start();
    let (one, other) = (join(&server, "n").await, join(&server, "n").await);
    one.announce("α", ADDR).await.unwrap();
    one.announce("β", ADDR).await.unwrap();
    other.announce("γ", "10.0.0.3:1").await.unwrap();
    let hosts = one.listing().await.unwrap().hosts;
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["α", "β", "γ"]);
    assert_eq!(hosts["γ"].hostdata, "10.0.0.3:1");
    assert_eq!(hosts["α"].owner, hosts["β"].owner);
    assert_ne!(hosts["α"].owner, hosts["γ"].owner);
    assert_eq!(hosts["α"].owner.len(), 32);
    for host in hosts.values() {
        let left = host.left.unwrap();
        assert!(left > Duration::from_secs(10) && left <= Duration::from_secs(15));
    }
    server.command(&["PERSIST", "virtnet:{n}:β"]);
    // What is gone is not shown, though the index still has it.
    server.command(&["DEL", "virtnet:{n}:α"]);
    let hosts = other.listing().await.unwrap().hosts;
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["β", "γ"]);
    assert_eq!(hosts["β"].left, None);
    for registry in [one, other] {
        registry.close().await.unwrap();
    }
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn who_may_only_read_can_list() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    let rules = [
        "reset",
        "on",
        ">hunter2",
        "~virtnet:{n}:*",
        "+zscan",
        "+mget",
        "+pttl",
    ];
    let user = ["ACL", "SETUSER", "reader"];
    server.command(&[&user[..], &rules].concat());
    let url = format!("redis://reader:hunter2@127.0.0.1:{}", server.port());
    let options = RedisOptions::default;
    let listing = RedisRegistry::list(&url, "n", options()).await.unwrap();
    assert_eq!(listing.hosts["a"].hostdata, ADDR);
    let err = RedisRegistry::connect(&url, "n", options())
        .await
        .unwrap_err();
    assert_eq!(err.cause(), Cause::PermissionDenied);
    let err = RedisRegistry::list(&url, "m", options()).await.unwrap_err();
    assert_eq!((err.op(), err.cause()), ("list", Cause::PermissionDenied));
    registry.close().await.unwrap();
    let clients = || server.command(&["CLIENT", "LIST"])[0].lines().count();
    eventually("nobody is connected any more", || clients() == 1).await;
}

#[tokio::test]
async fn something_else_in_place_of_the_index_keeps_nobody_out_and_is_named() {
    let server = RedisServer::start();
    let index = "virtnet:{n}::hosts";
    server.command(&["SET", index, "by hand"]);
    let registry = join(&server, "n").await;
    let warnings = registry.warnings();
    let names_it = |text: &str| text.contains(index) && text.contains("expected a sorted set");
    assert!(
        matches!(warnings, [warning] if names_it(warning)),
        "{warnings:?}"
    );
    for name in ["a", "b"] {
        registry.announce(name, ADDR).await.unwrap();
    }
    assert_eq!(registry.query("a").await.unwrap(), ADDR);
    let err = registry.listing().await.unwrap_err();
    assert_eq!(err.cause(), Cause::Protocol);
    assert!(names_it(&chain(&err)), "{}", chain(&err));
    registry.close().await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]), [index]);
}
