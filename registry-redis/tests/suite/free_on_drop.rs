//! Processes that end by an error or a panic while they hold names; and one that has no file
//! descriptor left.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::RedisRegistry;
use virtnet_testkit::redis::RedisServer;

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const STARVE_AT: &str = "VIRTNET_TEST_STARVED_URL";
const LEAVE_AT: &str = "VIRTNET_TEST_LEAVER_URL";

/// A process that has no descriptor left; as a test of its own it does nothing.
#[tokio::test]
async fn starved() {
    let Ok(url) = std::env::var(STARVE_AT) else {
        return;
    };
    let member = join_url(&url, "n").await;
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    let joined = RedisRegistry::connect(&url, "n", deadline(2_000)).await;
    drop(files);
    let err = joined.unwrap_err();
    assert_eq!(err.cause(), Cause::Other, "{}", chain(&err));
    assert!(
        chain(&err).contains("Too many open files"),
        "{}",
        chain(&err)
    );
    member.announce("a", ADDR).await.unwrap();
    join_url(&url, "n").await.close().await.unwrap();
    member.close().await.unwrap();
    println!("\n> fed");
}

#[test]
fn a_process_without_descriptors_says_so() {
    let server = RedisServer::start();
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64; exec \"$0\" --exact free_on_drop::starved --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(STARVE_AT, server.url())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("> fed"), "{said}");
}

/// What a process does that fails with its name held; as tests of their own they do
/// nothing. The registry is a task's that is dropped with the runtime.
async fn fail_with_a_name() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(url) = std::env::var(LEAVE_AT) else {
        return Ok(());
    };
    let registry = Arc::new(join_url(&url, "n").await);
    let kept = Arc::clone(&registry);
    tokio::spawn(async move {
        kept.lost().await;
    });
    tokio::task::yield_now().await;
    registry.announce("a", ADDR).await?;
    assert_eq!(registry.query("a").await?, ADDR);
    Err("it failed".into())
}

#[tokio::test]
async fn leaver_by_error() -> Result<(), Box<dyn std::error::Error>> {
    fail_with_a_name().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaver_by_error_of_several_threads() -> Result<(), Box<dyn std::error::Error>> {
    fail_with_a_name().await
}

#[tokio::test]
async fn leaver_by_panic() {
    fail_with_a_name().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaver_by_panic_of_several_threads() {
    fail_with_a_name().await.unwrap();
}

/// The lease is of 15 s: who waited for it would not be done in time.
#[test]
fn a_test_that_fails_frees_its_names() {
    let server = RedisServer::start();
    for leaver in [
        "leaver_by_error",
        "leaver_by_error_of_several_threads",
        "leaver_by_panic",
        "leaver_by_panic_of_several_threads",
    ] {
        let begin = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("free_on_drop::{leaver}"), "--nocapture"])
            .env(LEAVE_AT, server.url())
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("it failed"),
            "{said}"
        );
        assert_eq!(server.keys(), [""; 0], "{leaver}: {said}");
        figure(
            leaver,
            &format!("names free, ended after {:.1?}", begin.elapsed()),
        );
    }
}

/// A drop that finds nobody to free the names at does not wait for long.
#[tokio::test]
async fn a_drop_without_a_server_ends_within_its_bound() {
    let mut server = RedisServer::start();
    let (gone, silent) = (join(&server, "n").await, join(&server, "m").await);
    for registry in [&gone, &silent] {
        registry.announce("a", ADDR).await.unwrap();
    }
    server.pause();
    let begin = Instant::now();
    drop(silent);
    let waited = begin.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(4)).contains(&waited),
        "{waited:?}"
    );
    server.kill();
    let begin = Instant::now();
    drop(gone);
    let refused = begin.elapsed();
    assert!(refused < Duration::from_secs(4), "{refused:?}");
    figure(
        "dropped without a server",
        &format!("silent: {waited:.1?}, gone: {refused:.1?} [1 s]"),
    );
}
