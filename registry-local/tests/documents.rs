//! Documents in a folder: who may read the files, what is left of them, and other processes
//! that write them, are stopped, or are killed.

#![cfg(unix)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::*;
use tempfile::TempDir;
use tokio::time::sleep;
use virtnet_core::{Cause, Documents, MIN_DOCUMENT_LIFETIME, Registry};
use virtnet_registry_local::LocalRegistry;

/// The environment's variable that makes the test `writer` a writer in this folder.
const WRITE: &str = "VIRTNET_TEST_WRITE";

/// The document in which each writer counts, and how far.
const COUNTED: &str = "t/count";
const ROUNDS: u32 = 100;

fn documents(registry: &LocalRegistry) -> &dyn Documents {
    registry.documents().unwrap()
}

/// Adds one to a document, whoever else does.
async fn count(documents: &dyn Documents) {
    loop {
        let old = documents.get(COUNTED).await.unwrap();
        let count: u32 = old.as_deref().map_or(0, |old| old.parse().unwrap());
        let new = (count + 1).to_string();
        if documents
            .replace(COUNTED, old.as_deref(), &new, None)
            .await
            .unwrap()
        {
            return;
        }
    }
}

/// What the writer's process does; as a test of its own it does nothing.
#[tokio::test]
async fn writer() {
    let Ok(dir) = std::env::var(WRITE) else {
        return;
    };
    let registry = open(Path::new(&dir));
    for _ in 0..ROUNDS {
        count(documents(&registry)).await;
    }
    // Until it is killed, it writes as fast as it can.
    let stdin = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    while !stdin.is_finished() {
        documents(&registry)
            .put("t/fast", &"x".repeat(10_000), None)
            .await
            .unwrap();
    }
}

/// A process that runs the test `writer`. Dropping it kills it.
struct Writer(Child);

impl Writer {
    fn start(dir: &TempDir) -> Writer {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture"])
            .env(WRITE, dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Writer(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn processes_count_together_and_see_each_change() {
    let dir = temp();
    let registry = open(dir.path());
    let writers = [Writer::start(&dir), Writer::start(&dir)];
    for _ in 0..ROUNDS {
        count(documents(&registry)).await;
    }
    let (mut seen, mut last) = (0, 0);
    while last < 3 * ROUNDS {
        seen = documents(&registry).changed("t", seen).await.unwrap();
        let text = documents(&registry).get(COUNTED).await.unwrap();
        let count = text.unwrap().parse().unwrap();
        assert!(last <= count && count <= 3 * ROUNDS, "{count} after {last}");
        last = count;
    }
    writers.into_iter().for_each(Writer::end);
    let listed = documents(&registry).list("t").await.unwrap();
    assert_eq!(listed.last().unwrap().0, "t/fast");
    assert_eq!(listed[0], (COUNTED.to_owned(), (3 * ROUNDS).to_string()));
    documents(&registry).remove(COUNTED).await.unwrap();
    documents(&registry).remove("t/fast").await.unwrap();
    assert_eq!(files(registry.folder()), [""; 0]);
}

#[tokio::test]
async fn a_writer_killed_at_any_point_leaves_whole_documents() {
    let dir = temp();
    let registry = open(dir.path());
    for _ in 0..5 {
        let writer = Writer::start(&dir);
        let mut seen = documents(&registry).changed("t", u64::MAX).await.unwrap();
        // It writes as fast as it can.
        while documents(&registry).get("t/fast").await.unwrap().is_none() {
            seen = documents(&registry).changed("t", seen).await.unwrap();
        }
        drop(writer);
        // Nobody waits for it, and what it wrote is whole.
        count(documents(&registry)).await;
        documents(&registry).changed("t", seen).await.unwrap();
        let text = documents(&registry).get("t/fast").await.unwrap();
        assert_eq!(text, Some("x".repeat(10_000)));
        documents(&registry).remove("t/fast").await.unwrap();
    }
    documents(&registry).remove(COUNTED).await.unwrap();
    // The draft of a document is removed as that of a host.
    drop(open(dir.path()));
    assert_eq!(files(registry.folder()), [""; 0]);
}

#[tokio::test]
async fn a_stopped_writer_hides_no_document_and_delays_writers_for_a_bounded_time() {
    let dir = temp();
    let registry = open(dir.path());
    let writer = Writer::start(&dir);
    let fast = documents(&registry);
    while fast.get("t/fast").await.unwrap().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    // As often as it takes to stop it in the middle of a write.
    for round in 0.. {
        assert!(round < 500, "it was never in the middle of a write");
        writer.signal("STOP");
        assert!(fast.get("t/fast").await.unwrap().is_some());
        assert!(fast.list("t").await.unwrap().len() >= 2);
        let written = fast.put("t/other", "x", None).await;
        if let Err(err) = written {
            assert_eq!(err.cause(), Cause::RegistryDown);
            let path = registry.folder().join("changes-t");
            let text = format!("{path:?} was kept busy by other processes for 2s");
            let why = std::error::Error::source(&err).unwrap().to_string();
            assert!(why.contains(&text), "{why}");
            break;
        }
        writer.signal("CONT");
    }
    // Another topic is not concerned.
    fast.put("u", "x", None).await.unwrap();
    writer.signal("CONT");
    writer.end();
    fast.put("t/other", "y", None).await.unwrap();
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
    while !documents.list("t").await.unwrap().is_empty()
        || documents.list("u").await.unwrap().len() > 1
    {
        sleep(Duration::from_millis(5)).await;
    }
    let seen = documents.changed("u", 0).await.unwrap();
    assert_eq!(files(registry.folder()).len(), 6);
    drop(open(dir.path()));
    assert_eq!(files(registry.folder()), ["changes-u", "document-u.b"]);
    assert_eq!(documents.changed("u", 0).await.unwrap(), seen);
    // A number that the topic has not had before.
    let before = documents.changed("t", u64::MAX).await.unwrap();
    assert_eq!(before, 0);
    documents.put("t/a", "x", None).await.unwrap();
    assert!(documents.changed("t", 0).await.unwrap() > 0);
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
    assert!(documents.changed("t", 0).await.unwrap() > 0);
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
