//! Tests of how servers run scripts: our scripts depend on each of these properties. They run on
//! Debian's Redis, and by `tests/other-redis.sh` on others. Each prints server and version.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redis::Cmd;

use crate::lease::script::{LeaseRequest, Owner};
use crate::schema::keys::Keys;
use virtnet_testkit::redis::RedisServer;

const INDEX: &str = "virtnet:{n}::hosts";
const LEASE: u64 = 60_000;

/// A connection on which everything is seen that comes, as it is.
struct Raw(TcpStream);

impl Raw {
    fn open(server: &RedisServer) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let bound = Some(Duration::from_secs(20));
        stream.set_read_timeout(bound).unwrap();
        Raw(stream)
    }

    fn send(&mut self, cmd: &Cmd) {
        self.0.write_all(&cmd.get_packed_command()).unwrap();
    }

    /// Sends words as a command.
    fn say(&mut self, words: &str) {
        let mut cmd = Cmd::new();
        for word in words.split(' ') {
            cmd.arg(word);
        }
        self.send(&cmd);
    }

    /// All that comes until this does.
    fn until(&mut self, end: &str) -> String {
        let (mut seen, mut buffer) = (String::new(), [0; 4_096]);
        while !seen.contains(end) {
            let count = self.0.read(&mut buffer).unwrap();
            assert!(count > 0, "{seen}");
            seen += &String::from_utf8_lossy(&buffer[..count]);
        }
        seen
    }

    /// Tracks what is asked for after `CLIENT CACHING YES`, and nothing else.
    fn tracking(server: &RedisServer) -> Raw {
        let mut raw = Raw::open(server);
        raw.say("HELLO 3");
        raw.say("CLIENT TRACKING ON OPTIN");
        raw.marked();
        raw
    }

    /// All that comes before the answer to a command that is sent now.
    fn marked(&mut self) -> String {
        self.say("PING mark");
        self.until("$4\r\nmark\r\n")
    }
}

/// What it is, and its version.
fn named(server: &RedisServer) -> (String, String) {
    let info = server.command(&["INFO", "server"]).remove(0);
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let (name, version) = match field("valkey_version:") {
        Some(version) => ("Valkey", version),
        None => ("Redis", field("redis_version:").unwrap()),
    };
    println!("on {name} {version}");
    (name.to_owned(), version.to_owned())
}

/// Each of our scripts, with the hosts' keys that it declares.
fn ours() -> Vec<(Cmd, Vec<&'static str>)> {
    let (keys, owner, rival) = (Keys::new("n"), Owner::of_token("0a"), Owner::of_token("0b"));
    let hold = |owner: &Owner, names: &[&'static str], seen| {
        let holding = |hostname: &&'static str| LeaseRequest {
            hostname,
            hostdata: "x:1",
            number: 1,
            confirmed_at: seen,
        };
        let names: Vec<_> = names.iter().map(holding).collect();
        owner.hold(&keys, &names, LEASE)
    };
    vec![
        (owner.probe(&keys), vec!["virtnet:{n}:"]),
        (
            hold(&owner, &["a", "b"], 0),
            vec!["virtnet:{n}:a", "virtnet:{n}:b"],
        ),
        (
            hold(&owner, &["a", "c"], 1),
            vec!["virtnet:{n}:a", "virtnet:{n}:c"],
        ),
        (
            hold(&rival, &["b", "d"], 0),
            vec!["virtnet:{n}:b", "virtnet:{n}:d"],
        ),
        (
            owner.free(&keys, &[("a", 1), ("e", 1)]),
            vec!["virtnet:{n}:a", "virtnet:{n}:e"],
        ),
    ]
}

/// What a script touches it has declared: a cluster and an ACL rely on that. And then
/// it is all the same whether what is declared is tracked, or what is read.
#[test]
fn scripts_touch_the_keys_that_they_declare_and_no_others() {
    let server = RedisServer::start();
    named(&server);
    let mut monitor = Raw::open(&server);
    monitor.say("MONITOR");
    monitor.until("+OK\r\n");
    let mut raw = Raw::open(&server);
    for (cmd, mut declared) in ours() {
        declared.push(INDEX);
        raw.send(&cmd);
        raw.say("ECHO done");
        assert!(!raw.until("$4\r\ndone\r\n").contains("-ERR"));
        let seen = monitor.until("\"ECHO\" \"done\"");
        let run = seen.lines().filter(|line| line.contains(" lua] "));
        let run: Vec<_> = run
            .map(|line| line.split('"').collect::<Vec<_>>())
            .collect();
        assert!(run.len() > 3, "{seen}");
        for words in run {
            let is_declared = words[1] == "TIME" || declared.contains(&words[3]);
            assert!(is_declared, "{words:?} of {declared:?}");
        }
    }
}

/// Redis up to 8.0 tracks what a script declares, Valkey and later ones what it reads,
/// and none of them without being asked to: so nobody hears of its own renewals.
#[test]
fn what_our_scripts_read_is_not_tracked() {
    let server = RedisServer::start();
    let (name, version) = named(&server);
    let mut raw = Raw::tracking(&server);
    for (cmd, _) in ours() {
        raw.send(&cmd);
    }
    raw.marked();
    for key in ["a", "b", "c", "d"] {
        server.command(&["SET", &format!("virtnet:{{n}}:{key}"), "x"]);
    }
    server.command(&["DEL", INDEX]);
    let heard = raw.marked();
    assert!(!heard.contains("invalidate"), "{heard:?}");

    // The difference that there would be.
    server.command(&["MSET", "x", "1", "y", "1"]);
    let mut eval = redis::cmd("EVAL");
    eval.arg("redis.call('GET', KEYS[1]) return redis.call('GET', 'y')");
    eval.arg(1).arg("x");
    raw.say("CLIENT CACHING YES");
    raw.send(&eval);
    raw.marked();
    server.command(&["MSET", "x", "2", "y", "2"]);
    let heard = raw.marked();
    let hears = |key: &str| heard.contains(&format!("invalidate\r\n*1\r\n$1\r\n{key}\r\n"));
    assert!(hears("x"), "{heard:?}");
    let major = version.split('.').next().unwrap();
    match (&*name, major) {
        ("Redis", "6" | "7") => assert!(!hears("y"), "{heard:?}"),
        ("Valkey", "9") => assert!(hears("y"), "{heard:?}"),
        _ => println!("what is not declared is tracked: {}", hears("y")),
    }
}

/// A flush by another client, of any database, even an empty one, is pushed to all.
#[test]
fn a_flush_of_nothing_is_heard_by_everybody() {
    for flush in [&["FLUSHALL"][..], &["FLUSHDB"]] {
        let server = RedisServer::start();
        named(&server);
        let mut raw = Raw::tracking(&server);
        server.commands(&[&["SELECT", "5"], flush]);
        let heard = raw.marked();
        assert!(heard.contains("invalidate\r\n_\r\n"), "{heard:?}");
    }
}

/// A script may write what it likes once it has written something that takes no memory:
/// so ours, which begin by dropping from the index, announce, renew and free on a full
/// server, whatever is in place of the index.
#[test]
fn a_full_server_takes_what_our_scripts_write() {
    let server = RedisServer::start();
    named(&server);
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    assert_eq!(server.command(&full), ["+OK"]);
    for index in [None, Some("by hand")] {
        if let Some(index) = index {
            let unbounded = ["CONFIG", "SET", "maxmemory", "0"];
            server.commands(&[&unbounded, &["FLUSHALL"], &["SET", INDEX, index], &full]);
        }
        let said = server.command(&["SET", "x", "1"]).remove(0);
        assert!(said.starts_with("-OOM"), "it is full: {said}");
        let mut raw = Raw::open(&server);
        for (cmd, _) in ours() {
            raw.send(&cmd);
            let said = raw.marked();
            assert!(!said.contains("OOM") && !said.contains("-ERR"), "{said}");
        }
        let left = ["b", "c", "d"].map(|name| server.get(&format!("virtnet:{{n}}:{name}")));
        assert!(left.iter().all(Option::is_some), "{left:?}");
        assert_eq!(server.get("virtnet:{n}:a"), None);
    }
}
