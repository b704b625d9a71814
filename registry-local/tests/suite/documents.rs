//! Documents in a folder: other processes that write them, are stopped, or are killed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use virtnet_core::{Cause, Documents, Registry};
use virtnet_registry_local::LocalRegistry;

/// The environment's variable that makes the test `writer` a writer in this folder.
const WRITE: &str = "VIRTNET_TEST_WRITE";

/// The document in which each writer counts, and how far.
const COUNTED: &str = "t/count";
const ROUNDS: u32 = 100;

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

/// A process that runs the test `writer`.
fn writer_in(dir: &TempDir) -> TestProcess {
    TestProcess::start("documents::writer", &[(WRITE, dir.path())])
}

#[tokio::test]
async fn processes_count_together_and_see_each_change() {
    let dir = temp();
    let registry = open(dir.path());
    let writers = [writer_in(&dir), writer_in(&dir)];
    for _ in 0..ROUNDS {
        count(documents(&registry)).await;
    }
    let (mut seen, mut last) = (0, 0);
    let until = Instant::now() + 3 * BOUND;
    while last < 3 * ROUNDS {
        assert!(Instant::now() < until, "a writer has stopped at {last}");
        seen = changed(&registry, "t", seen).await;
        let text = documents(&registry).get(COUNTED).await.unwrap();
        let count = text.unwrap().parse().unwrap();
        assert!(last <= count && count <= 3 * ROUNDS, "{count} after {last}");
        last = count;
    }
    writers.into_iter().for_each(TestProcess::end);
    let listed = documents(&registry).list("t").await.unwrap();
    assert_eq!(listed.last().unwrap().0, "t/fast");
    assert_eq!(listed[0], (COUNTED.to_owned(), (3 * ROUNDS).to_string()));
    documents(&registry).remove(COUNTED).await.unwrap();
    documents(&registry).remove("t/fast").await.unwrap();
    assert_eq!(files(registry.folder()), [""; 0]);
}

/// The number's file, which is also the lock, comes and goes with the only document.
#[test]
fn of_many_that_add_a_document_that_comes_and_goes_one_succeeds() {
    let dir = temp();
    let (holders, held) = (AtomicU32::new(0), AtomicU32::new(0));
    // Those that fail keep the lock busy: a busy machine takes 10 s.
    let (rounds, bound) = (100, 3 * BOUND);
    let begin = Instant::now();
    let hold = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let registry = open(dir.path());
        runtime.block_on(async {
            // If a thread fails, the document stays.
            while held.load(Ordering::SeqCst) < rounds && begin.elapsed() < bound {
                if !documents(&registry)
                    .replace("t", None, "", None)
                    .await
                    .unwrap()
                {
                    continue;
                }
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                // Long enough for a second one to hold it too.
                std::thread::sleep(Duration::from_millis(1));
                holders.fetch_sub(1, Ordering::SeqCst);
                documents(&registry).remove("t").await.unwrap();
                held.fetch_add(1, Ordering::SeqCst);
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(hold);
        }
    });
    assert!(held.into_inner() >= rounds, "not within {bound:?}");
    assert_eq!(files(open(dir.path()).folder()), [""; 0]);
}

/// Who joins removes what others have left; not what they are about to write.
#[test]
fn who_joins_is_in_no_writers_way() {
    let dir = temp();
    let registry = open(dir.path());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                drop(open(dir.path()));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let write = async {
            for round in 0..20_000 {
                documents(&registry)
                    .put("t", &round.to_string(), None)
                    .await?;
            }
            documents(&registry).remove("t").await
        };
        let written = runtime.block_on(write);
        done.store(true, Ordering::SeqCst);
        written.unwrap();
    });
}

#[tokio::test]
async fn a_writer_killed_at_any_point_leaves_whole_documents() {
    let dir = temp();
    let registry = open(dir.path());
    for _ in 0..5 {
        let writer = writer_in(&dir);
        let mut seen = changed(&registry, "t", u64::MAX).await;
        // It writes as fast as it can.
        while documents(&registry).get("t/fast").await.unwrap().is_none() {
            seen = changed(&registry, "t", seen).await;
        }
        drop(writer);
        // Nobody waits for it, and what it wrote is whole.
        count(documents(&registry)).await;
        changed(&registry, "t", seen).await;
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
    let writer = writer_in(&dir);
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
