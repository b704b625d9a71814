//! The files of documents: who may read them, what they contain, and what removes them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::*;
use tokio::time::{sleep, timeout};
use virtnet_core::{Cause, Documents, MIN_DOCUMENT_LIFETIME, Registry};
use virtnet_registry_local::LocalRegistry;

/// How long a wait may take before the test fails.
const BOUND: Duration = Duration::from_secs(20);

fn documents(registry: &LocalRegistry) -> &dyn Documents {
    registry.documents().unwrap()
}

/// Waits for a change, within a bound.
async fn changed(registry: &LocalRegistry, topic: &str, seen: u64) -> u64 {
    let changed = timeout(BOUND, documents(registry).changed(topic, seen)).await;
    changed.expect("there is a change").unwrap()
}

#[tokio::test]
async fn only_this_user_reads_documents_and_no_host_is_seen() {
    let dir = temp();
    let registry = open(dir.path());
    let documents = documents(&registry);
    documents
        .put("t/a/b", "text\n", Some(Duration::from_secs(600)))
        .await
        .unwrap();
    documents.put("t", "", None).await.unwrap();
    assert_eq!(
        files(registry.folder()),
        ["changes-t", "document-t", "document-t.a.b"]
    );
    for file in files(registry.folder()) {
        let mode = fs::metadata(registry.folder().join(&file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let content = fs::read_to_string(registry.folder().join("document-t.a.b")).unwrap();
    let lines: Vec<_> = content.split('\n').collect();
    let [format, expiry, key, text, end] = lines[..] else {
        panic!("{content}");
    };
    assert_eq!(format, "virtnet document 1");
    assert!(expiry.ends_with(" 600000000000"), "{expiry}");
    assert_eq!((key, text, end), ("t/a/b", "text", ""));
    let content = fs::read_to_string(registry.folder().join("document-t")).unwrap();
    assert_eq!(content, "virtnet document 1\nforever\nt\n");

    let listing = LocalRegistry::list(dir.path(), "n").unwrap();
    assert!(
        listing.hosts.is_empty() && listing.unreadable.is_empty(),
        "{listing:?}"
    );
    // Who joins removes nothing that is valid.
    drop(open(dir.path()));
    assert_eq!(files(registry.folder()).len(), 3);
}

#[tokio::test]
async fn who_joins_removes_what_has_expired() {
    let dir = temp();
    let registry = open(dir.path());
    let documents = documents(&registry);
    for key in ["t/a", "t/b", "u/a"] {
        documents
            .put(key, "x", Some(MIN_DOCUMENT_LIFETIME))
            .await
            .unwrap();
    }
    documents.put("u/b", "x", None).await.unwrap();
    let first = changed(&registry, "t", 0).await;
    while !documents.list("t").await.unwrap().is_empty()
        || documents.list("u").await.unwrap().len() > 1
    {
        sleep(Duration::from_millis(5)).await;
    }
    let seen = changed(&registry, "u", 0).await;
    assert_eq!(files(registry.folder()).len(), 6);
    drop(open(dir.path()));
    assert_eq!(files(registry.folder()), ["changes-u", "document-u.b"]);
    assert_eq!(changed(&registry, "u", 0).await, seen);
    // A number that the topic has not had before.
    let before = changed(&registry, "t", u64::MAX).await;
    assert_eq!(before, 0);
    documents.put("t/a", "x", None).await.unwrap();
    assert!(changed(&registry, "t", 0).await > first);
}

#[tokio::test]
async fn what_no_registry_wrote_is_named() {
    let dir = temp();
    let registry = open(dir.path());
    let documents = documents(&registry);
    let path = registry.folder().join("document-t.a");
    for content in [
        "",
        "virtnet document 1\nforever\nt/b\nx",
        "virtnet document 2\nforever\nt/a\n",
    ] {
        fs::File::create(&path)
            .unwrap()
            .write_all(content.as_bytes())
            .unwrap();
        for err in [
            documents.get("t/a").await.unwrap_err(),
            documents.list("t").await.unwrap_err(),
            documents.replace("t/a", None, "x", None).await.unwrap_err(),
        ] {
            assert_eq!(err.cause(), Cause::Protocol, "{content}: {err}");
            assert!(err.to_string().contains("document-t.a"), "{err}");
        }
    }
    // A number that is none counts as 0, and writing replaces both.
    fs::write(registry.folder().join("changes-t"), "x").unwrap();
    documents.put("t/a", "x", None).await.unwrap();
    assert!(changed(&registry, "t", 0).await > 0);
    assert_eq!(documents.get("t/a").await.unwrap().as_deref(), Some("x"));
    // Without its folder, a registry is down.
    fs::remove_dir_all(registry.folder()).unwrap();
    for err in [
        documents.get("t/a").await.unwrap_err(),
        documents.list("t").await.unwrap_err(),
        documents.put("t/a", "x", None).await.unwrap_err(),
        documents.remove("t/a").await.unwrap_err(),
        documents.changed("t", 1).await.unwrap_err(),
    ] {
        assert_eq!(err.cause(), Cause::RegistryDown, "{err}");
    }
}
