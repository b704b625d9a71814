//! The live trace of several processes, over every registry that processes can share: one asserts on what happened on
//! all of them.
//!
//! Owns what the processes do. Never tests the command: `cli_trace_follow` does.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::breakpoint::{At, Breakpoint};
use virtnet::trace::{LiveTrace, Trace};
use virtnet::{Config, SubNetwork};
use virtnet_testkit::redis::RedisServer;

/// Makes the test `member` this host.
const HOST: &str = "VIRTNET_TEST_LIVE_HOST";

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const BOUND: Duration = Duration::from_secs(60);

/// What a member's process does; as a test of its own it does nothing.
#[tokio::test]
async fn member() {
    let Ok(host) = std::env::var(HOST) else {
        return;
    };
    let net = virtnet::open().await.unwrap();
    match &*host {
        "α" => accepts(&net).await,
        "β" => dials(&net).await,
        host => {
            let host = net.new_host(host).await.unwrap();
            host.note("here until killed");
            std::future::pending::<()>().await;
        }
    }
    net.close().await.unwrap();
}

async fn accepts(net: &SubNetwork) {
    let alpha = net.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let (mut conn, _) = listener.accept().await.unwrap();
    let mut heard = String::new();
    conn.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hello");
    conn.write_all(b"bye").await.unwrap();
    conn.shutdown().await.unwrap();
}

async fn dials(net: &SubNetwork) {
    let beta = net.new_host("β").await.unwrap();
    let mut conn = beta.dial("α:1").await.unwrap();
    conn.write_all(b"hello").await.unwrap();
    conn.shutdown().await.unwrap();
    let mut heard = String::new();
    conn.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "bye");
}

/// A process that is a member. Dropping it kills it.
struct Process(Child);

impl Process {
    fn start(network: &str, registry: &str, host: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VIRTNET_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["--exact", "live_trace::member", "--nocapture"])
            .env(HOST, host)
            .env("VIRTNET_REGISTRY", registry)
            .env("VIRTNET_NETWORK", network)
            .env("VIRTNET_SECRET", SECRET)
            .env("VIRTNET_TRACE", "live")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Process(child.unwrap())
    }

    /// Waits until it has ended, well.
    async fn end(mut self) {
        let end = async {
            loop {
                match self.0.try_wait().unwrap() {
                    Some(status) => return status,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let status = tokio::time::timeout(BOUND, end).await.expect("it ends");
        assert!(status.success(), "{status}");
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn open(network: &str, registry: &str) -> SubNetwork {
    let config = Config::new(network).registry(registry);
    let config = config.secret(SECRET.parse().unwrap()).bind("127.0.0.1:0");
    config.trace_live().open().await.unwrap()
}

/// This process and two others, of which the second starts when the first listens.
async fn three_processes(registry: &str) {
    let network = "threeα";
    let net = open(network, registry).await;
    let trace = net.live_trace().unwrap();
    let gamma = net.new_host("γ").await.unwrap();

    let mut listening = trace.until("α:1 listening").await.unwrap();
    let alpha = Process::start(network, registry, "α");
    listening.within(BOUND).await.unwrap();
    gamma.note("α listens");

    let mut ends = [
        trace.until("α closed").await.unwrap(),
        trace.until("β closed").await.unwrap(),
    ];
    let beta = Process::start(network, registry, "β");
    for end in &mut ends {
        end.within(BOUND).await.unwrap();
    }
    trace
        .quiet(Duration::from_millis(300), BOUND)
        .await
        .unwrap();
    as_expected(&trace.collect(BOUND).await.unwrap());
    alpha.end().await;
    beta.end().await;
    // Those that have closed have sent everything.
    as_expected(&trace.so_far().await.unwrap());
    net.close().await.unwrap();
}

/// The answer to a dial between two other processes waits for the word of this one, which is no member.
async fn an_answer_waits(registry: &str) {
    let network = "heldα";
    let config = Config::new(network).registry(registry);
    let observer = config.secret(SECRET.parse().unwrap()).observer();
    let (trace, faults) = (
        observer.live_trace().await.unwrap(),
        observer.faults().await.unwrap(),
    );
    // Before there is a host.
    let at = At::answer("β:1 -> α:1").unwrap();
    let answer = Breakpoint::set(&faults, at, BOUND).await.unwrap();
    let mut listening = trace.until("α:1 listening").await.unwrap();
    let alpha = Process::start(network, registry, "α");
    listening.within(BOUND).await.unwrap();
    let beta = Process::start(network, registry, "β");
    answer.reached().await.unwrap();
    let held = trace.collect(BOUND).await.unwrap();
    let check = held
        .check()
        .before("β:1 -> α:1 dialing", "α:2 <- β:1 accepted");
    let check = check.never("* connected").allow_others();
    check.finish().unwrap();

    let mut ends = [
        trace.until("α closed").await.unwrap(),
        trace.until("β closed").await.unwrap(),
    ];
    answer.go_on().await.unwrap();
    for end in &mut ends {
        end.within(BOUND).await.unwrap();
    }
    alpha.end().await;
    beta.end().await;
    let all = trace.so_far().await.unwrap();
    let check = all.check().allow_others();
    let check = check.before("α:2 <- β:1 accepted", "β:1 -> α:2 connected");
    check.finish().unwrap();
}

#[tokio::test]
async fn an_answer_between_two_processes_waits_for_a_third() {
    let redis = RedisServer::start();
    an_answer_waits(&redis.url()).await;
    let dir = tempfile::tempdir().unwrap();
    let registry = format!("local:{}", dir.path().join("names").display());
    an_answer_waits(&registry).await;
}

fn as_expected(trace: &Trace) {
    let compared = trace
        .check()
        .host("γ", ["γ made", "γ note: α listens"])
        .host(
            "α",
            [
                "α made",
                "α:1 listening",
                "α:2 <- β:1 accepted",
                "α:2 <- β:1 received first byte",
                "α:2 <- β:1 received end after 5 bytes",
                "α:2 <- β:1 sent first byte",
                "α:2 <- β:1 sent end after 3 bytes",
                "α:2 <- β:1 closed after 3 bytes sent, 5 received",
                "α:1 stopped listening",
                "α closed",
            ],
        )
        .host(
            "β",
            [
                "β made",
                "β:1 -> α:1 dialing",
                "β:1 -> α:2 connected",
                "β:1 -> α:2 sent first byte",
                "β:1 -> α:2 sent end after 5 bytes",
                "β:1 -> α:2 received first byte",
                "β:1 -> α:2 received end after 3 bytes",
                "β:1 -> α:2 closed after 5 bytes sent, 3 received",
                "β closed",
            ],
        )
        .before("β:1 -> α:1 dialing", "α:2 <- β:1 accepted")
        .before("α:2 <- β:1 sent end *", "β closed")
        // No message led from one to the other: only this test's waiting.
        .concurrent("γ note: *", "β made")
        .each("* dialing", "* accepted")
        .never("* failed*")
        .finish();
    compared.unwrap();
}

/// What a killed process sent is there, and it is waited for only as long as it may live.
async fn a_killed_process(registry: &str) {
    let network = "killed";
    let net = open(network, registry).await;
    let trace = net.live_trace().unwrap();
    let mut noted = trace.until("δ note: *").await.unwrap();
    let mut delta = Process::start(network, registry, "δ");
    noted.within(BOUND).await.unwrap();
    delta.kill();
    let collected = trace.collect(BOUND).await.unwrap();
    let check = collected.check();
    check
        .host("δ", ["δ made", "δ note: here until killed"])
        .finish()
        .unwrap();
    net.close().await.unwrap();
}

#[tokio::test]
async fn over_redis() {
    let server = RedisServer::start();
    three_processes(&server.url()).await;
    a_killed_process(&server.url()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn over_local() {
    let dir = tempfile::tempdir().unwrap();
    let registry = format!("local:{}", dir.path().join("names").display());
    three_processes(&registry).await;
    a_killed_process(&registry).await;
}

/// Readers go on when everything was flushed in the middle, and see a hole.
#[tokio::test]
async fn a_flush_of_redis_is_a_hole() {
    let server = RedisServer::start();
    let net = open("net", &server.url()).await;
    let trace = net.live_trace().unwrap();
    let alpha = net.new_host("α").await.unwrap();
    let mut second = trace.until("α note: 2").await.unwrap();
    server.command(&["FLUSHALL"]);
    alpha.note("2");
    second.within(BOUND).await.unwrap();
    let collected = trace.collect(BOUND).await.unwrap();
    assert_eq!((collected.dropped(), collected.events().len()), (1, 1));
    let text = collected.check().allow_others().finish().unwrap_err();
    assert!(text.to_string().contains("1 events were dropped"), "{text}");
    net.close().await.unwrap();
}

/// While Redis is down events wait, and are sent when it is back.
#[tokio::test]
async fn an_outage_of_redis_loses_nothing() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let net = open("net", &server.url()).await;
    let trace = net.live_trace().unwrap();
    let alpha = net.new_host("α").await.unwrap();
    alpha.note("before");
    let mut after = trace.until("α note: after").await.unwrap();
    server.kill();
    alpha.note("meanwhile");
    // Long enough for an attempt to fail, at which nothing may be lost; if none does, this shows less.
    let down = tokio::time::Instant::now();
    while down.elapsed() < Duration::from_secs(1) {
        trace.so_far().await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.restart();
    alpha.note("after");
    after.within(BOUND).await.unwrap();
    lines(
        &trace,
        &[
            "α made",
            "α note: before",
            "α note: meanwhile",
            "α note: after",
        ],
    )
    .await;
    net.close().await.unwrap();
}

async fn lines(trace: &LiveTrace, expected: &[&str]) {
    let collected = trace.collect(BOUND).await.unwrap();
    let check = collected.check().host("α", expected.iter().copied());
    check.finish().unwrap();
}
