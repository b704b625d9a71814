//! The live trace in a folder: its files, and other processes that append and are killed or stopped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::support::*;
use tokio::time::timeout;
use virtnet_core::{Cause, Registry, TracePosition, Traces};
use virtnet_registry_local::LocalRegistry;

/// The environment's variable that makes the test `appender` append in this folder.
const APPEND: &str = "VIRTNET_TEST_APPEND";

/// How long a wait may take before the test fails.
const BOUND: Duration = Duration::from_secs(20);

fn traces(registry: &LocalRegistry) -> &dyn Traces {
    registry.traces().unwrap()
}

/// A batch of which a part can be told from the whole; often a large one, so that writing it takes a while.
fn batch(number: usize) -> String {
    whole(1 + number * 997 % 40_000)
}

fn whole(lines: usize) -> String {
    "αβ\n".repeat(lines) + "\n"
}

/// What the other process does; as a test of its own it does nothing.
#[tokio::test]
async fn appender() {
    let Ok(dir) = std::env::var(APPEND) else {
        return;
    };
    let registry = open(Path::new(&dir));
    // Until it is killed.
    for number in 0.. {
        // It fails while another one is stopped.
        let _ = traces(&registry).append(&batch(number)).await;
    }
}

/// A process that runs the test `appender`.
fn appender_in(dir: &Path) -> TestProcess {
    TestProcess::start("traces::appender", &[(APPEND, dir)])
}

/// Reads what comes next, and checks that it is whole. There may be holes, as others append faster than this can read.
async fn read(registry: &LocalRegistry, after: &mut TracePosition) {
    let next = timeout(BOUND, traces(registry).next(*after)).await;
    for (at, text) in next.expect("there is more").unwrap() {
        assert!(*after < at, "{after} {at}");
        assert!(text == whole(text.len() / 5), "{at}");
        *after = at;
    }
}

#[tokio::test]
async fn an_appender_killed_at_any_point_leaves_whole_batches() {
    let dir = temp();
    let registry = open(dir.path());
    let mut after = TracePosition::default();
    for _ in 0..10 {
        let appenders = [(); 2].map(|()| appender_in(dir.path()));
        let begin = after.number;
        while after.number < begin + 100 {
            read(&registry, &mut after).await;
        }
        drop(appenders);
        // Nobody waits for them.
        let last = traces(&registry).append(&batch(7)).await.unwrap();
        while after != last {
            read(&registry, &mut after).await;
        }
    }
    traces(&registry).clear().await.unwrap();
    assert_eq!(files(registry.folder()), [""; 0]);
}

#[tokio::test]
async fn a_stopped_appender_delays_others_for_a_bounded_time() {
    let dir = temp();
    let registry = open(dir.path());
    let appender = appender_in(dir.path());
    let mut after = TracePosition::default();
    read(&registry, &mut after).await;
    // As often as it takes to stop it in the middle of an append.
    for round in 0.. {
        assert!(round < 500, "it was never in the middle of an append");
        appender.signal("STOP");
        if let Err(err) = traces(&registry).append(&batch(0)).await {
            assert_eq!(err.cause(), Cause::RegistryDown);
            let path = registry.folder().join("trace-state");
            let text = format!("{path:?} was kept busy by other processes for 2s");
            let why = std::error::Error::source(&err).unwrap().to_string();
            assert!(why.contains(&text), "{why}");
            break;
        }
        appender.signal("CONT");
    }
    drop(appender);
    let last = traces(&registry).append(&batch(1)).await.unwrap();
    while after != last {
        read(&registry, &mut after).await;
    }
}

#[tokio::test]
async fn its_files_are_private_and_stay() {
    let dir = temp();
    let registry = open(dir.path());
    traces(&registry).append("x").await.unwrap();
    let folder = registry.folder().to_owned();
    registry.close().await.unwrap();
    drop(registry);
    let names = ["trace-newer", "trace-state"];
    assert_eq!(files(&folder), names);
    for name in names {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    // Another process joins: the trace is neither a host's nor a document's.
    let other = open(dir.path());
    assert_eq!(files(&folder), names);
    let read = traces(&other).read(TracePosition::default()).await.unwrap();
    assert_eq!(read[0].1, "x");
}
