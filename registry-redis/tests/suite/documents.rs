//! Documents in Redis: the keys they are in, and what servers and connections do to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use virtnet_core::{Cause, MIN_DOCUMENT_LIFETIME, Registry};
use virtnet_testkit::redis::{Proxy, RedisServer};

use crate::calls::*;
use crate::document_calls::*;

const INDEX: &str = "virtnet:{n}::documents:t";
const CHANGES: &str = "virtnet:{n}::changes:t";

/// The milliseconds until a key expires: -1 for never, -2 without a key.
fn left(server: &RedisServer, key: &str) -> i64 {
    let left = server.command(&["PTTL", key]).remove(0);
    left.trim_start_matches(':').parse().unwrap()
}

#[tokio::test]
async fn documents_are_these_keys_and_leave_none() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    let documents = documents(&registry);
    documents.put("t/a", "α", LONG).await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]).len(), 3);
    assert_eq!(server.get(DOCUMENT).as_deref(), Some("α"));
    assert_eq!(server.command(&["ZRANGE", INDEX, "0", "-1"]), ["t/a"]);
    let number = documents.changed("t", 0).await.unwrap();
    assert_eq!(server.get(CHANGES), Some(number.to_string()));
    // It is the server's time, in microseconds.
    let seconds: u64 = server.command(&["TIME"])[0].parse().unwrap();
    assert!(
        (seconds - 60..=seconds + 1).contains(&(number / 1_000_000)),
        "{number}"
    );
    // Everything expires with the last document.
    for key in [DOCUMENT, INDEX, CHANGES] {
        let left = left(&server, key);
        assert!((540_000..=600_000).contains(&left), "{key}: {left}");
    }
    documents
        .put("t/b", "x", Some(Duration::from_secs(60)))
        .await
        .unwrap();
    assert!(left(&server, INDEX) > 500_000 && left(&server, CHANGES) > 500_000);
    documents
        .put("t/b", "x", Some(Duration::from_secs(6_000)))
        .await
        .unwrap();
    assert!(left(&server, INDEX) > 5_000_000 && left(&server, CHANGES) > 5_000_000);
    // What never expires keeps them.
    documents.put("t/b", "x", None).await.unwrap();
    assert_eq!(left(&server, "virtnet:{n}::document:t/b"), -1);
    assert!(left(&server, INDEX) > 1_000_000_000 && left(&server, CHANGES) > 1_000_000_000);
    documents.remove("t/a").await.unwrap();
    documents.remove("t/b").await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]), [""; 0]);
    documents.put("t/a", "x", None).await.unwrap();
    documents.put("t/b", "x", LONG).await.unwrap();
    for key in [DOCUMENT, INDEX, CHANGES] {
        assert_eq!(left(&server, key), -1, "{key}");
    }
    documents.remove("t/a").await.unwrap();
    documents.remove("t/b").await.unwrap();
    // What expires leaves nothing either.
    documents
        .put("t/a", "x", Some(MIN_DOCUMENT_LIFETIME))
        .await
        .unwrap();
    eventually("all is gone", || server.command(&["KEYS", "*"]).is_empty()).await;
    assert_eq!(documents.changed("t", 1).await.unwrap(), 0);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn a_replacement_whose_reply_was_lost_is_unknown() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = join_url(&proxy.url(), "n").await;
    let documents = documents(&registry);
    proxy.cut_at_next_answer();
    let replaced = documents.replace("t/a", None, "1", LONG).await;
    let err = replaced.unwrap_err();
    assert_eq!(err.cause(), Cause::RegistryDown);
    let text = "the connection was lost during the change, so it is unknown whether it happened";
    assert!(
        err.to_string().contains(text) || chain(&err).contains(text),
        "{}",
        chain(&err)
    );
    assert_eq!(documents.get("t/a").await.unwrap().as_deref(), Some("1"));
    assert_eq!(proxy.cuts(), 1);
    // One that has no effect twice can be repeated.
    proxy.cut_at_next_answer();
    documents.put("t/a", "2", LONG).await.unwrap();
    proxy.cut_at_next_answer();
    documents.remove("t/a").await.unwrap();
    assert_eq!(proxy.cuts(), 3);
    assert_eq!(documents.list("t").await.unwrap(), []);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn values_that_no_registry_wrote_are_named_and_changed_by_nobody() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    let documents = documents(&registry);
    for (key, set) in [
        (DOCUMENT, ["RPUSH", DOCUMENT, "x"]),
        (INDEX, ["SET", INDEX, "x"]),
        (CHANGES, ["RPUSH", CHANGES, "x"]),
    ] {
        server.command(&set);
        let err = documents.put("t/a", "y", LONG).await.unwrap_err();
        assert_eq!(err.cause(), Cause::Protocol, "{key}: {}", chain(&err));
        assert_eq!(server.command(&["KEYS", "*"]), [key]);
        server.command(&["DEL", key]);
    }
    server.command(&["SET", DOCUMENT, &"x".repeat(virtnet_core::MAX_DOCUMENT + 1)]);
    let err = documents.get("t/a").await.unwrap_err();
    assert_eq!(err.cause(), Cause::Protocol);
    let text = format!("the key {DOCUMENT:?} has a value that no registry wrote");
    assert!(chain(&err).contains(&text), "{}", chain(&err));
    // Members of an index that are no keys of its topic are no documents.
    server.command(&[
        "ZADD",
        INDEX,
        "9999999999999",
        "u/a",
        "9999999999999",
        "t/A",
    ]);
    assert_eq!(documents.list("t").await.unwrap(), []);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn many_documents_are_listed() {
    let server = RedisServer::start();
    let registry = Arc::new(join(&server, "n").await);
    let mut writes = tokio::task::JoinSet::new();
    for i in 0..2_500 {
        let registry = Arc::clone(&registry);
        writes.spawn(async move {
            let key = format!("t/{i}");
            documents(&registry)
                .put(&key, &i.to_string(), LONG)
                .await
                .unwrap();
        });
    }
    writes.join_all().await;
    // In the index, but gone.
    server.command(&["DEL", "virtnet:{n}::document:t/7"]);
    let listed = documents(&registry).list("t").await.unwrap();
    assert!(listed.is_sorted());
    let listed: BTreeMap<_, _> = listed.into_iter().collect();
    assert_eq!(listed.len(), 2_499);
    assert!(listed.iter().all(|(key, text)| *key == format!("t/{text}")));
    assert!(registry.hosts().await.unwrap().is_empty());
    server.command(&["FLUSHALL"]);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn a_full_server_takes_documents() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    documents(&registry).put("t/a", "x", LONG).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(
        documents(&registry)
            .replace("t/a", Some("x"), "y", None)
            .await
            .unwrap()
    );
    documents(&registry).remove("t/a").await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]), [""; 0]);
    registry.close().await.unwrap();
}

/// The rights of names are enough for documents, and those to read names for reading documents.
#[tokio::test]
async fn no_more_rights_are_needed_than_for_names() {
    let server = RedisServer::start();
    let page = include_str!("../../src/lib.rs").replace("\n//!", " ");
    let words: Vec<_> = page.split_whitespace().collect();
    let at = words
        .windows(2)
        .position(|words| words == ["ACL", "SETUSER"]);
    let rule = words[at.expect("there is an example")..].iter();
    let rule: Vec<_> = rule.take_while(|word| **word != "```").copied().collect();
    let rule: Vec<_> = rule
        .into_iter()
        .map(|word| word.replace("pipet}", "n}"))
        .collect();
    let rule: Vec<_> = rule.iter().map(|word| &**word).collect();
    assert_eq!(server.command(&rule), ["+OK"]);
    let url = format!("redis://pipet:password@127.0.0.1:{}", server.port());
    let registry = Arc::new(join_url(&url, "n").await);
    let waiting = wait(&server, &registry, 0).await;
    let documents = documents(&registry);
    documents.put("t/a", "x", LONG).await.unwrap();
    documents.put("t/a", "x", None).await.unwrap();
    timeout(BY_PUSH, waiting)
        .await
        .expect("it is pushed")
        .unwrap()
        .unwrap();
    assert!(
        documents
            .replace("t/a", Some("x"), "y", LONG)
            .await
            .unwrap()
    );
    assert_eq!(documents.list("t").await.unwrap().len(), 1);
    assert_eq!(documents.get("t/a").await.unwrap().as_deref(), Some("y"));
    documents.remove("t/a").await.unwrap();
    registry.close().await.unwrap();
    assert_eq!(server.command(&["ACL", "LOG"]), [""; 0]);
}
