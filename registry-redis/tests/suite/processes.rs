//! Holders in other processes, which are killed, or stopped for longer than their lease.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtnet_core::Registry;
use virtnet_testkit::redis::{RedisServer, signal};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const KEY: &str = "virtnet:{n}:a";
const URL: &str = "VIRTNET_TEST_HOLDER_URL";
const LEASE: Duration = Duration::from_millis(1_500);

/// What the holder's process does; as a test of its own it does nothing.
///
/// It announces `a`, says so, and answers every line that it reads with whether
/// it holds the name. When the name is lost it says that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder() {
    let Ok(url) = std::env::var(URL) else { return };
    let registry = join_with(&url, "n", timing(1_500, 300, 500)).await;
    let registry = Arc::new(registry);
    registry.announce("a", ADDR).await.unwrap();
    say("announced");
    let asked = Arc::clone(&registry);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            say(&format!("holds {}", asked.holds("a")));
        }
    });
    let lost = registry.lost().await;
    say(&format!("lost {} {}", lost.hostname, lost.reason));
    std::future::pending::<()>().await;
}

/// On a line of its own, whatever the test harness wrote before.
fn say(text: &str) {
    println!("\n> {text}");
}

struct Holder {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(server: &RedisServer) -> Holder {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::holder", "--nocapture"])
            .env(URL, server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut holder = Holder {
            child,
            stdin,
            lines,
        };
        assert_eq!(holder.heard(), "announced");
        holder
    }

    fn heard(&mut self) -> String {
        let mut said = self.lines.by_ref().map_while(Result::ok);
        let said = said.find_map(|line| line.strip_prefix("> ").map(str::to_owned));
        said.expect("it says something before it ends")
    }

    fn ask(&mut self) {
        self.stdin.write_all(b"?\n").unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_name_of_a_killed_process_is_free_within_its_lease() {
    let server = RedisServer::start();
    let mut holder = Holder::start(&server);
    holder.child.kill().unwrap();
    holder.child.wait().unwrap();
    let begin = Instant::now();
    let other = join(&server, "n").await;
    while other.announce("a", "10.0.0.3:1").await.is_err() {
        assert!(begin.elapsed() < BOUND);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begin.elapsed();
    assert!(took < LEASE + Duration::from_secs(1), "{took:?}");
    assert_eq!(other.query("a").await.unwrap(), "10.0.0.3:1");
    figure(
        "process killed",
        &format!("name free after {took:.2?} [lease 1.5 s]"),
    );
    other.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn a_stopped_process_knows_at_its_first_look_that_its_name_is_lost() {
    let server = RedisServer::start();
    let mut holder = Holder::start(&server);
    holder.ask();
    assert_eq!(holder.heard(), "holds true");
    signal(holder.child.id(), "STOP");
    let other = join(&server, "n").await;
    eventually("its lease is over", || server.get(KEY).is_none()).await;
    other.announce("a", "10.0.0.3:1").await.unwrap();
    // The question is there when it goes on.
    holder.ask();
    let begin = Instant::now();
    signal(holder.child.id(), "CONT");
    let mut said = [holder.heard(), holder.heard()];
    let took = begin.elapsed();
    said.sort();
    assert_eq!(said[0], "holds false");
    assert!(said[1].starts_with("lost a "), "{said:?}");
    assert!(said[1].contains("\"10.0.0.3:1\""), "{said:?}");
    let what = format!("not held at the first look, lost within {took:.1?} of going on");
    figure(
        "process paused for longer than its lease, name taken",
        &what,
    );
    assert_eq!(other.query("a").await.unwrap(), "10.0.0.3:1");
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_stopped_process_knows_that_its_name_was_anothers_though_it_is_free_again() {
    let server = RedisServer::start();
    let mut holder = Holder::start(&server);
    signal(holder.child.id(), "STOP");
    let rival = join(&server, "n").await;
    eventually("its lease is over", || server.get(KEY).is_none()).await;
    rival.announce("a", "10.0.0.3:1").await.unwrap();
    rival.close().await.unwrap();
    assert_eq!(server.get(KEY), None);
    let begin = Instant::now();
    signal(holder.child.id(), "CONT");
    let said = loop {
        holder.ask();
        match holder.heard() {
            said if said.starts_with("lost a ") => break said,
            said => assert_eq!(said, "holds false"),
        }
        assert!(begin.elapsed() < BOUND);
    };
    let took = begin.elapsed();
    assert!(said.contains("another \"a\" was registered"), "{said}");
    assert_eq!(server.get(KEY), None, "it does not take it back");
    figure(
        "process paused, name taken and freed again",
        &format!("lost within {took:.1?} of going on"),
    );
}

#[tokio::test]
async fn a_stopped_process_takes_its_name_back_if_nobody_has_it() {
    let server = RedisServer::start();
    let mut holder = Holder::start(&server);
    signal(holder.child.id(), "STOP");
    eventually("its lease is over", || server.get(KEY).is_none()).await;
    signal(holder.child.id(), "CONT");
    let begin = Instant::now();
    eventually("it is announced again", || server.get(KEY).is_some()).await;
    let took = begin.elapsed();
    let answer = loop {
        holder.ask();
        match holder.heard() {
            answer if answer == "holds true" => break answer,
            _ => assert!(begin.elapsed() < BOUND),
        }
    };
    figure(
        "process paused, name free",
        &format!("{answer} again after {took:.1?}"),
    );
}
