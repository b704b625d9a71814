//! `virtnet trace follow`: the events of another process, as they come.
//!
//! Owns the words, the exit codes and the lines of the command. Never tests the order of events: core does.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Running, command, run, start};

/// A registry.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn on(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        let registry = format!("local:{}", self.0.path().join("names").display());
        command.env("VIRTNET_REGISTRY", registry);
        command
    }

    fn follow(&self, args: &[&str]) -> Running {
        let mut following = start(&mut self.on(&[&["trace", "follow"], args].concat()));
        let user = Command::new("id").arg("-u").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let dir = self.0.path().join("names");
        following.wait_for(&format!(
            "following network \"virtnet\" at local:{}, which is {dir:?} for user {}",
            dir.display(),
            user.trim()
        ));
        following
    }

    fn echo(&self) -> Running {
        let mut echo = self.on(&["echo", "β:1"]);
        let mut echo = start(echo.env("VIRTNET_TRACE", "live"));
        echo.expect_stdout("listening β:1\n");
        echo
    }
}

#[test]
fn events_are_printed_until_one_is_like_that_of_until() {
    let place = Place::new();
    let following = place.follow(&["--until", "β:1 list*"]);
    let echo = place.echo();
    assert_eq!(following.end().success(), "β made\nβ:1 listening\n");
    // What was before is printed only if asked for.
    let json = place.follow(&["--all", "--json", "--until", "β:1 listening"]);
    let lines = json.end().success();
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = objects.iter().map(|object| &object["event"]).collect();
    assert_eq!(kinds, ["host_made", "listening"]);
    assert_eq!(
        (&objects[1]["host"], &objects[1]["addr"]),
        (&"β".into(), &"β:1".into())
    );
    assert!(objects[1]["process"].as_str().unwrap().contains('-'));

    let mut following = place.follow(&[]);
    echo.signal("TERM");
    following.expect_stdout("β:1 stopped listening\nβ closed\n");
    following.signal("INT");
    assert_eq!(following.end().code, Some(130));
}

#[test]
fn it_ends_after_a_time() {
    let place = Place::new();
    assert_eq!(place.follow(&["--for", "0.05"]).end().success(), "");
    let following = place.follow(&["--for", "0.05", "--until", "β made"]);
    let reason = following.end().failure();
    assert_eq!(reason, "within 50ms there was no \"β made\"");
    let reason = run(&mut place.on(&["--registry", "memory:", "trace", "follow"])).usage_error();
    assert!(reason.contains("got memory:"), "{reason}");
}
