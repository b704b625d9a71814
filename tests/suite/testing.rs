//! Tests as users write them: each on a network of its own, side by side.
//!
//! Owns the README's programs, which are run as they stand there, and what is promised
//! of networks that tests make. Never sets a variable of this process.

// Two tests that are the same are what is tested.
#![allow(clippy::duplicate_mod)]

/// The program of README.md, as a test of its own file would have it.
mod first;

/// Its program about faults and the trace.
mod faults;

/// The same once more, in the same process and at the same time.
#[path = "testing/first.rs"]
mod second;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::tempdir;
use virtnet::memory::{MemoryHub, MemoryRegistry};
use virtnet::pipe::{PipeEngine, Switchboard};
use virtnet::{Cause, Failure, Lost, Registry, RegistryError, SubNetwork, testing};
use virtnet_testkit::redis::RedisServer;

const README: &str = include_str!("../../README.md");
const FIRST: &str = include_str!("testing/first.rs");
const FAULTS: &str = include_str!("testing/faults.rs");

const BOUND: Duration = Duration::from_secs(20);

/// What another run of this test program is to join, and nothing else does.
const NODE: &str = "VIRTNET_TEST_NODE";

#[test]
fn the_programs_of_the_readme_are_those_that_run_here() {
    let programs = README.split("```rust\n").skip(1);
    let programs: Vec<_> = programs
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let run = [FIRST, FAULTS].map(|program| program.split_once("\n\n").unwrap().1);
    assert_eq!(programs, run);
}

/// Another run of this program, of one test only, as a process that a test starts.
fn this_program(test: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", test, "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VIRTNET_") {
            program.env_remove(name);
        }
    }
    program
}

/// Runs the first program twice at once, in processes of their own, on that registry.
fn first_programs(vars: &[(&str, &str)]) {
    let mut running = ["first", "second", "first"].map(|module| {
        let mut program =
            this_program(&format!("testing::{module}::beta_sends_and_alpha_receives"));
        program.envs(vars.iter().copied()).spawn().unwrap()
    });
    for program in &mut running {
        assert!(program.wait().unwrap().success());
    }
}

#[test]
fn tests_of_several_processes_do_not_meet_over_redis_or_in_a_folder() {
    let (server, dir) = (RedisServer::start(), tempdir().unwrap());
    let secret = "ab".repeat(32);
    let url = server.url();
    first_programs(&[("VIRTNET_REGISTRY", &url), ("VIRTNET_SECRET", &secret)]);
    let local = format!("local:{}", dir.path().join("virtnet").display());
    first_programs(&[("VIRTNET_REGISTRY", &local), ("VIRTNET_NETWORK", "ci-17")]);
}

#[test]
fn a_misspelt_variable_is_no_test_that_passes_somewhere_else() {
    let mut program = this_program("testing::first::beta_sends_and_alpha_receives");
    program.env("VIRTNET_REGISTY", "redis://127.0.0.1:1");
    let ended = program.output().unwrap();
    assert!(!ended.status.success());
    // As Rust shows what a test returns.
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    let error = "Error: VIRTNET_REGISTY: unknown setting: did you mean VIRTNET_REGISTRY?\n";
    assert!(said.contains(error), "{said}");
}

/// Is a node when it is started by the test below, and does nothing otherwise.
#[tokio::test]
async fn node() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os(NODE).is_none() {
        return Ok(());
    }
    let net = virtnet::open().await?;
    let node = net.new_host("node").await?;
    let asked = node.dial("test:1").await?;
    drop(asked);
    net.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_process_that_a_test_starts_joins_its_network() {
    let dir = tempdir().unwrap();
    let local = format!("local:{}", dir.path().join("virtnet").display());
    let config = testing::config().unwrap().registry(&local);
    let net = config.open().await.unwrap();
    let host = net.new_host("test").await.unwrap();
    let listener = host.listen("test:1").unwrap();
    let mut started = this_program("testing::node")
        .env(NODE, "yes")
        .env("VIRTNET_REGISTRY", &local)
        .env("VIRTNET_NETWORK", net.network())
        .spawn()
        .unwrap();
    let ended = tokio::task::spawn_blocking(move || started.wait().unwrap());
    let both = async { tokio::join!(listener.accept(), ended) };
    let (accepted, ended) = tokio::time::timeout(BOUND, both).await.unwrap();
    assert_eq!(accepted.unwrap().1, "node:1");
    assert!(ended.unwrap().success());
    net.close().await.unwrap();
}

/// Runs an example as `cargo run --example` does. `cargo test` has built it, unless it was asked
/// for this test only.
fn example(name: &str) -> String {
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().unwrap().with_file_name("examples");
    let program = folder
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        assert!(
            build
                .args(["build", "--example", name])
                .status()
                .unwrap()
                .success()
        );
    }
    let ended = Command::new(program).output().unwrap();
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{name}: {said}");
    said
}

#[test]
fn the_examples_say_what_they_did() {
    for (name, lines) in [
        (
            "echo",
            &[
                "β:1 accepted α:1 on β:2",
                "β sent back 5 bytes, α received \"hello\"",
            ][..],
        ),
        (
            "two_processes",
            &["hello from the parent", "child:1 ended: exit status: 0"],
        ),
        (
            "expect_order",
            &["as expected:", "connected β:2->α:3", "refused β:3->α:9"],
        ),
        (
            "own_engine",
            &[
                "dialing from α:1 to γ:1 at pipe:1",
                "dial walled α:1->γ:1: blocked",
            ],
        ),
    ] {
        let said = example(name);
        let said: Vec<_> = said.lines().collect();
        for line in lines {
            assert!(said.contains(line), "{name}: {said:?} has no {line:?}");
        }
    }
}

/// What is said to who does it the old way.
#[tokio::test]
async fn a_name_that_is_taken_in_this_process_names_the_way_out() {
    let config = testing::config().unwrap().registry("memory:");
    let dir = tempdir().unwrap();
    let local = format!("local:{}", dir.path().join("virtnet").display());
    for config in [config.clone(), config.registry(local)] {
        let (one, two) = (config.clone().open().await, config.open().await);
        let (one, two) = (one.unwrap(), two.unwrap());
        let _alpha = one.new_host("α").await.unwrap();
        let err = two.new_host("α").await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
        let said = format!("{err:?}");
        let (text, hint) = said.split_once("\n  caused by: ").unwrap();
        assert!(text.ends_with(": host already registered"), "{said}");
        assert!(hint.contains("this process holds it"), "{said}");
        assert!(hint.contains("virtnet::testing::open()"), "{said}");
        one.close().await.unwrap();
        two.close().await.unwrap();
    }
}

/// A registry of somebody's own, with all that there is to say: one name, which is lost.
struct Mine(MemoryRegistry);

#[async_trait]
impl Registry for Mine {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.0.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        let error = |why: Failure| RegistryError::new("mine", "query", &[hostname], why);
        virtnet::check_hostname(hostname).map_err(|err| error(err.into()))?;
        self.0.query(hostname).await
    }

    async fn requery(&self, hostname: &str, _: &str) -> Result<Option<String>, RegistryError> {
        self.query(hostname).await.map(Some)
    }

    fn holds(&self, _: &str) -> bool {
        false
    }

    async fn lost(&self) -> Lost {
        if self.0.query("α").await.is_err() {
            std::future::pending().await
        }
        self.0.close().await.unwrap();
        let reason = Failure::wrap(Cause::HostAlreadyRegistered, "it was given away");
        let hostname = "α".to_owned();
        Lost { hostname, reason }
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.0.close().await
    }
}

#[tokio::test]
async fn a_registry_is_written_with_what_virtnet_exports() {
    let mine = Mine(MemoryHub::new().registry());
    mine.announce("α", "pipe:1").await.unwrap();
    let net = SubNetwork::new("mine", Arc::new(mine), |notifier| {
        PipeEngine::new(&Switchboard::new(), notifier)
    });
    net.unwrap().close().await.unwrap();
}
