//! The contract of a registry, on a real server. Each registry value stands for a process.

use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::RedisRegistry;
use virtnet_testkit::redis::RedisServer;

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";

#[tokio::test]
async fn what_one_process_announces_another_finds() {
    let server = RedisServer::start();
    let (one, other) = (join(&server, "quicα").await, join(&server, "quicα").await);

    let err = other.query("α").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NoSuchHost);
    let shown = format!("registry {:?}: query \"α\": no such host", server.url());
    assert_eq!(err.to_string(), shown);

    one.announce("α", ADDR).await.unwrap();
    assert_eq!(other.query("α").await.unwrap(), ADDR);
    assert_eq!(one.query("α").await.unwrap(), ADDR);

    for registry in [&one, &other] {
        let err = registry.announce("α", "10.0.0.3:1").await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
        assert_eq!(
            (err.op(), err.args()),
            ("announce", &["α".into(), "10.0.0.3:1".into()][..])
        );
    }
    assert_eq!(other.query("α").await.unwrap(), ADDR);
    // A refused announcement is not the refused one's to free.
    other.close().await.unwrap();
    assert_eq!(one.query("α").await.unwrap(), ADDR);
    one.close().await.unwrap();
}

#[tokio::test]
async fn a_person_can_read_what_is_in_redis() {
    let server = RedisServer::start();
    let registry = join(&server, "quicα").await;
    registry.announce("β", ADDR).await.unwrap();
    assert_eq!(server.keys(), ["virtnet:{quicα}:β"]);
    let value = server.get("virtnet:{quicα}:β").unwrap();
    let (hostdata, owner) = value.split_once(' ').unwrap();
    assert_eq!(hostdata, ADDR);
    let token = owner
        .strip_prefix("owner=")
        .and_then(|owner| owner.strip_suffix("#1"));
    assert_eq!(token.unwrap().len(), 32, "{owner}");
    registry.close().await.unwrap();
}

#[tokio::test]
async fn close_frees_the_own_names_and_no_others() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    let neighbour = join(&server, "n").await;
    let network = join(&server, "m").await;
    registry.announce("mine", ADDR).await.unwrap();
    registry.announce("mine too", ADDR).await.unwrap();
    registry.announce("lost", ADDR).await.unwrap();
    registry.announce("gone", ADDR).await.unwrap();
    neighbour.announce("theirs", ADDR).await.unwrap();
    network.announce("mine", ADDR).await.unwrap();
    server.command(&["SET", "mine", "an application's"]);
    // Somebody cleaned up by hand, and one name went to another.
    server.command(&["DEL", "virtnet:{n}:gone", "virtnet:{n}:lost"]);
    neighbour.announce("lost", ADDR).await.unwrap();

    registry.close().await.unwrap();
    let left = [
        "mine",
        "virtnet:{m}:mine",
        "virtnet:{n}:lost",
        "virtnet:{n}:theirs",
    ];
    assert_eq!(server.keys(), left);
    neighbour.announce("mine", ADDR).await.unwrap();
    neighbour.close().await.unwrap();
    network.close().await.unwrap();
}

#[tokio::test]
async fn after_close_everything_is_down_and_closing_again_does_nothing() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    registry.close().await.unwrap();
    let neighbour = join(&server, "n").await;
    neighbour.announce("a", ADDR).await.unwrap();

    for err in [
        registry.announce("b", ADDR).await.unwrap_err(),
        registry.query("a").await.unwrap_err(),
        registry.hosts().await.unwrap_err(),
    ] {
        assert_eq!(err.cause(), Cause::RegistryDown);
        assert!(
            chain(&err).ends_with(": registry is down <- it was closed"),
            "{}",
            chain(&err)
        );
    }
    registry.close().await.unwrap();
    assert_eq!(server.keys(), ["virtnet:{n}:a"]);
    assert!(format!("{registry:?}").contains("closed: true"));
}

#[tokio::test]
async fn close_leaves_no_task_and_no_connection() {
    let server = RedisServer::start();
    let before = tasks();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    assert!(tasks() > before);
    registry.close().await.unwrap();
    eventually("all tasks ended", || tasks() == before).await;
    let clients = || server.command(&["CLIENT", "LIST"])[0].lines().count();
    eventually("the server sees only this connection", || clients() == 1).await;
}

#[tokio::test]
async fn dropped_without_close_the_tasks_end_too_and_names_are_free() {
    let server = RedisServer::start();
    let before = tasks();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    drop(registry);
    assert_eq!(server.keys(), [""; 0]);
    eventually("all tasks ended", || tasks() == before).await;
    let clients = || server.command(&["CLIENT", "LIST"])[0].lines().count();
    eventually("the server sees only this connection", || clients() == 1).await;
}

#[tokio::test]
async fn odd_names_are_names() {
    let server = RedisServer::start();
    let odd = [
        "{",
        "}",
        "{}",
        "a{b}c",
        "%",
        "%41",
        "A",
        "a:b",
        "::1",
        ":",
        "*",
        "?",
        "a b",
        "\\",
        "[",
        "]",
        "'\"",
        "α",
        "é",
        "e\u{301}",
        "\u{2028}",
        "İ",
        "i",
        "I",
        "\u{202e}x",
        "🦀",
        "#1",
        " owner=",
    ];
    let mut networks = Vec::new();
    for network in odd {
        let registry = join(&server, network).await;
        for host in odd {
            registry
                .announce(host, &format!("{network}/{host}"))
                .await
                .unwrap();
        }
        networks.push(registry);
    }
    for (network, registry) in odd.iter().zip(&networks) {
        let hosts = registry.hosts().await.unwrap();
        assert_eq!(hosts.len(), odd.len(), "{network}");
        for host in odd {
            assert_eq!(
                registry.query(host).await.unwrap(),
                format!("{network}/{host}")
            );
            assert_eq!(hosts[host], format!("{network}/{host}"));
        }
    }
    for registry in networks {
        registry.close().await.unwrap();
    }
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_before_anything_is_sent() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    let long = "x".repeat(256);
    for name in ["", "a\nb", "a\0", &long] {
        for err in [
            registry.announce(name, ADDR).await.unwrap_err(),
            registry.query(name).await.unwrap_err(),
        ] {
            assert_eq!(err.cause(), Cause::InvalidAddr, "{err}");
        }
        let err = RedisRegistry::connect(&server.url(), name, deadline(2000))
            .await
            .unwrap_err();
        assert_eq!(err.cause(), Cause::InvalidAddr);
    }
    assert_eq!(server.keys(), [""; 0]);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn values_that_no_registry_wrote_are_errors_that_name_them() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    for name in ["good", "odd", "list"] {
        registry.announce(name, ADDR).await.unwrap();
    }
    let neighbour = join(&server, "n").await;
    server.command(&["SET", "virtnet:{n}:odd", "10.0.0.2:4433 by hand"]);
    server.command(&["DEL", "virtnet:{n}:list"]);
    server.command(&["RPUSH", "virtnet:{n}:list", "x"]);
    let err = neighbour.query("odd").await.unwrap_err();
    assert_eq!(err.cause(), Cause::Protocol);
    let text = err.to_string();
    assert!(
        text.contains("host \"odd\"") && text.contains("\"10.0.0.2:4433 by hand\""),
        "{text}"
    );
    let err = neighbour.query("list").await.unwrap_err();
    assert_eq!(err.cause(), Cause::Protocol);
    assert!(err.to_string().contains("WRONGTYPE"), "{err}");
    for (name, why) in [
        ("odd", "\"10.0.0.2:4433 by hand\""),
        (
            "list",
            "expected a string under the key \"virtnet:{n}:list\"",
        ),
    ] {
        let err = neighbour.announce(name, ADDR).await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
        assert!(chain(&err).contains(why), "{}", chain(&err));
    }
    // One bad value does not hide the others.
    server.command(&["ZADD", "virtnet:{n}::hosts", "9e15", "%zz"]);
    let listing = neighbour.listing().await.unwrap();
    assert_eq!(listing.hosts.keys().collect::<Vec<_>>(), ["good"]);
    let unreadable = [("list", "no string"), ("odd", "10.0.0.2:4433 by hand")];
    let unreadable = unreadable.map(|(name, what)| (name.to_owned(), what.to_owned()));
    assert_eq!(listing.unreadable, unreadable.into());
    assert_eq!(neighbour.hosts().await.unwrap().len(), 1);
    neighbour.close().await.unwrap();
    registry.close().await.unwrap();
    // What is not ours stays, the index's stray line as well.
    assert_eq!(server.keys(), ["virtnet:{n}:list", "virtnet:{n}:odd"]);
}

#[tokio::test]
async fn hosts_are_listed_whoever_announced_them() {
    let server = RedisServer::start();
    let (one, other) = (join(&server, "n*").await, join(&server, "n*").await);
    let elsewhere = join(&server, "nn").await;
    elsewhere.announce("not here", ADDR).await.unwrap();
    assert!(one.hosts().await.unwrap().is_empty());
    // More than one step of the scan.
    for n in 0..2_500 {
        let registry = if n % 2 == 0 { &one } else { &other };
        registry
            .announce(&format!("h{n}"), &n.to_string())
            .await
            .unwrap();
    }
    let hosts = one.hosts().await.unwrap();
    assert_eq!(hosts.len(), 2_500);
    assert!((0..2_500).all(|n| hosts[&format!("h{n}")] == n.to_string()));
    for registry in [one, other, elsewhere] {
        registry.close().await.unwrap();
    }
    assert_eq!(server.keys(), [""; 0]);
}
