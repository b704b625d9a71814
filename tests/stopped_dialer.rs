//! A dialer in another process that is stopped in the midst of its dials.
//!
//! Owns the claim that an accept waits for no dialer: what the others' dials take then. A
//! binary of its own, because other tests beside it would change that. Never
//! looks at what becomes of the stopped one's connections: `engine-quic/tests/suite/hostile.rs` does.

#![cfg(all(unix, feature = "local"))]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use virtnet::{Config, Host, SubNetwork};

/// The environment's variable that makes the test `dialer` a dialer: its registry's folder.
const FOLDER: &str = "STOPPED_DIALER_FOLDER";

/// How many dialers keep on.
const OTHERS: usize = 7;

/// How long each part is measured; the stop is as long.
const PART: Duration = Duration::from_millis(1500);

const HANG: Duration = Duration::from_secs(60);

async fn join(folder: &Path) -> SubNetwork {
    let registry = format!("local:{}", folder.display());
    let config = Config::new("stopped").registry(registry);
    config.open().await.unwrap()
}

/// Dials without a pause until `end`; returns the slowest dial.
async fn dial_until(host: Host, end: Instant) -> Duration {
    let mut slowest = Duration::ZERO;
    while Instant::now() < end {
        let start = Instant::now();
        let dialed = timeout(HANG, host.dial("α:1")).await.unwrap();
        slowest = slowest.max(start.elapsed());
        drop(dialed.unwrap());
    }
    slowest
}

async fn slowest_of(hosts: &[Host]) -> Duration {
    let (mut dialing, end) = (JoinSet::new(), Instant::now() + PART);
    for host in hosts {
        dialing.spawn(dial_until(host.clone(), end));
    }
    dialing.join_all().await.into_iter().max().unwrap()
}

/// Not a test, but a process that dials without end, when the other test starts it.
#[tokio::test]
async fn dialer() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let net = join(folder.as_ref()).await;
    let host = net.new_host("β").await.unwrap();
    drop(host.dial("α:1").await.unwrap());
    writeln!(std::io::stderr(), "dials").unwrap();
    let mut dialing = JoinSet::new();
    // Several at a time, so that one is under way at any moment.
    for _ in 0..4 {
        let host = host.clone();
        dialing.spawn(async move {
            loop {
                drop(host.dial("α:1").await);
            }
        });
    }
    dialing.join_all().await;
}

/// The process of the dialer.
struct Dialer(Child);

impl Dialer {
    fn start(folder: &Path) -> Dialer {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program
            .args(["--exact", "dialer", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Dialer(program.spawn().unwrap())
    }

    fn dials(&mut self) {
        let stderr = self.0.stderr.take().unwrap();
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).unwrap();
        assert_eq!(line, "dials\n");
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialer_that_is_stopped_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    // Made by the registry, for this user alone.
    let folder = &dir.path().join("names");
    let net = join(folder).await;
    let listener = net.new_host("α").await.unwrap().listen("α:1").unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((conn, _)) = listener.accept().await {
            drop(conn);
        }
    });
    let elsewhere = join(folder).await;
    let mut others = Vec::new();
    for number in 0..OTHERS {
        others.push(elsewhere.new_host(&format!("γ{number}")).await.unwrap());
    }
    let mut dialer = Dialer::start(folder);
    tokio::task::block_in_place(|| dialer.dials());
    let before = slowest_of(&others).await;
    let bound = Duration::from_millis(100).max(3 * before);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        sleep(Duration::from_micros(fastrand::u64(0..5_000))).await;
        dialer.signal("STOP");
        slowest = slowest.max(slowest_of(&others).await);
        dialer.signal("CONT");
    }
    println!("failures: a stopped dialer: the others' slowest dial {slowest:?}, {before:?} before");
    assert!(slowest <= bound, "{slowest:?}, {before:?} before");
    drop(dialer);
    elsewhere.close().await.unwrap();
    net.close().await.unwrap();
    accepting.await.unwrap();
}
