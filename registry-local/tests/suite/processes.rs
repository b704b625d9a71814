//! Holders in other processes: killed, stopped, and with children.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use crate::support::*;
use virtnet_core::{Cause, Registry};

/// What the holder's process does; as a test of its own it does nothing.
#[tokio::test]
async fn holder() {
    if let Ok(dir) = std::env::var(HOLD) {
        hold(&dir).await;
    }
}

#[tokio::test]
async fn the_names_of_a_killed_process_are_free_at_once() {
    let dir = temp();
    let other = open(dir.path());
    for round in 0..10 {
        let mut holder = Holder::start(dir.path());
        let pid = holder.process.0.id();
        let err = other.announce("a", "x").await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
        let who = std::error::Error::source(&err).unwrap().to_string();
        assert_eq!(who, format!("process {pid} holds it"));
        assert_eq!(other.query("a").await.unwrap(), ADDR);

        holder.process.kill();
        let begin = Instant::now();
        // What it left is an answer to nobody, and in nobody's way.
        assert_eq!(files(other.folder()).len(), 2);
        let err = other.query("b").await.unwrap_err();
        assert_eq!(err.cause(), Cause::NoSuchHost);
        let successor = open(dir.path());
        assert_eq!(files(other.folder()).len(), 0, "joining tidies up");
        successor.announce("a", "x").await.unwrap();
        if round == 0 {
            println!("killed: name taken again {:.1?} later", begin.elapsed());
        }
        assert_eq!(other.query("a").await.unwrap(), "x");
        successor.close().await.unwrap();
    }
    assert_eq!(files(other.folder()).len(), 0);
}

#[tokio::test]
async fn a_stopped_process_keeps_its_names() {
    let dir = temp();
    let other = open(dir.path());
    let mut holder = Holder::start(dir.path());
    holder.process.signal("STOP");
    for _ in 0..3 {
        let err = other.announce("a", "x").await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
        assert_eq!(other.query("a").await.unwrap(), ADDR);
        // Nor is it tidied away by who joins.
        drop(open(dir.path()));
    }
    holder.process.signal("CONT");
    // The end of its stdin has it close.
    drop(holder.process.0.stdin.take());
    assert!(holder.process.0.wait().unwrap().success());
    assert_eq!(files(other.folder()).len(), 0);
    other.announce("a", "x").await.unwrap();
}

#[tokio::test]
async fn a_child_that_runs_another_program_holds_nothing() {
    let dir = temp();
    let other = open(dir.path());
    let mut holder = Holder::start_with(dir.path(), &[CHILD]);
    let child = holder.heard();
    let mut stdin = holder.process.0.stdin.take().unwrap();
    stdin.write_all(b"> it runs\n").unwrap();
    assert_eq!(holder.heard(), "it runs");
    holder.process.kill();
    let lives = || {
        let signal = Command::new("kill").args(["-0", &child]).status();
        signal.unwrap().success()
    };
    assert!(lives());
    other.announce("a", "x").await.unwrap();
    assert!(lives());
    drop(stdin);
}
