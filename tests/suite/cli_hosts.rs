//! `virtnet hosts` and `virtnet wait`, and what happens to names when their process ends.
//!
//! Owns how users see leases. Never stops a server: the tests of registry-redis do.

use std::time::{Duration, Instant};

use crate::support::{BOUND, Ended, Running, command, member, run, start};
use serde_json::Value;
use virtnet_testkit::redis::{RedisServer, free_port};

/// Runs the command without a secret.
fn look(server: &RedisServer, args: &[&str]) -> Ended {
    run(command(args).env("VIRTNET_REGISTRY", server.url()))
}

fn listening(server: &RedisServer, addr: &str, options: &[&str]) -> Running {
    let mut listener = start(member(&server.url(), &["listen", addr]).args(options));
    listener.wait_for(&format!("listening {addr}"));
    listener
}

fn objects(server: &RedisServer) -> Vec<Value> {
    let text = look(server, &["hosts", "--json"]).success();
    let parse = |line| serde_json::from_str(line).expect("every line is JSON");
    text.lines().map(parse).collect()
}

#[test]
fn hosts_are_listed_with_address_lease_and_owner() {
    let server = RedisServer::start();
    let nobody = look(&server, &["hosts"]);
    let said = format!(
        "virtnet: no hosts on network \"virtnet\" at {}",
        server.url()
    );
    assert_eq!(nobody.stderr, [said]);
    assert_eq!(nobody.success(), "");
    let _listeners = ["β:1", "α:1"].map(|addr| listening(&server, addr, &[]));

    let text = look(&server, &["hosts"]).success();
    let lines: Vec<Vec<_>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let objects = objects(&server);
    assert_eq!((lines.len(), objects.len()), (2, 2), "{text}");
    for ((line, object), host) in lines.iter().zip(&objects).zip(["α", "β"]) {
        let [name, address, left, owner] = line[..] else {
            panic!("{text}");
        };
        // The address on the route to the registry, which is on this machine.
        assert!(address.starts_with("127.0.0.1:"), "{text}");
        assert_eq!((name, &object["host"]), (host, &host.into()));
        assert_eq!(object["address"], address);
        let left: f64 = left.strip_suffix('s').unwrap().parse().unwrap();
        assert!((0.0..=15.0).contains(&left), "{text}");
        assert!(
            (1..=15_000).contains(&object["lease_ms"].as_u64().unwrap()),
            "{object}"
        );
        let whole = object["owner"].as_str().unwrap();
        assert_eq!((whole.len(), owner), (32, &whole[..8]));
    }
    // Each process is another owner.
    assert_ne!(objects[0]["owner"], objects[1]["owner"]);
    assert_eq!(
        look(&server, &["hosts", "--network", "another"]).success(),
        ""
    );
}

#[test]
fn a_damaged_entry_causes_a_warning_and_the_others_are_listed() {
    let server = RedisServer::start();
    let _listener = listening(&server, "α:1", &[]);
    let damaged = "virtnet:{virtnet}:γ";
    server.command(&["SET", damaged, "\u{1b}[31mred"]);
    let index = ["virtnet:{virtnet}::hosts", "9999999999999", "γ"];
    server.command(&[&["ZADD"], &index[..]].concat());

    let listed = look(&server, &["hosts"]);
    let [warning] = &listed.stderr[..] else {
        panic!("{listed:?}");
    };
    assert!(warning.starts_with("virtnet: warning: "), "{warning}");
    assert!(
        warning.contains("\"γ\"") && warning.contains("red"),
        "{warning}"
    );
    assert!(!warning.contains('\u{1b}'), "{warning}");
    assert!(listed.success().starts_with("α\t127.0.0.1:"));
}

#[test]
fn read_permission_is_enough_to_list_hosts() {
    let server = RedisServer::start();
    let _listener = listening(&server, "α:1", &[]);
    let rights = "on >pw resetkeys %R~virtnet:{virtnet}:* -@all +zscan +mget +pttl";
    let user = ["ACL", "SETUSER", "reader"];
    let rights: Vec<_> = user.into_iter().chain(rights.split(' ')).collect();
    // The rights to keys by reading or writing came with Redis 7.
    let rights = match server.command(&rights)[0].as_str() {
        "+OK" => rights,
        _ => rights
            .iter()
            .map(|right| right.trim_start_matches("%R"))
            .collect(),
    };
    assert_eq!(server.command(&rights), ["+OK"]);
    let url = server.url().replace("//", "//reader:pw@");
    let hosts = |args: &[&str]| run(command(args).args(["--registry", &url]));
    let listed = hosts(&["hosts"]);
    assert!(listed.stderr.is_empty(), "{listed:?}");
    assert!(listed.success().starts_with("α\t127.0.0.1:"));
    // Waiting needs a member's rights, and fails at once without them.
    let refused = hosts(&["wait", "α"]).failure();
    assert!(refused.contains("permission"), "{refused}");
}

#[test]
fn a_server_that_may_drop_names_causes_one_warning() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    for args in [
        &["wait", "α", "--timeout", "0"][..],
        &["dial", "--from", "α", "β:1"],
        &["demo"],
    ] {
        let ended = run(&mut member(&server.url(), args));
        let warnings = ended.stderr.iter().filter(|line| line.contains("warning"));
        let [warning] = &warnings.collect::<Vec<_>>()[..] else {
            panic!("{args:?}: {ended:?}");
        };
        assert!(warning.starts_with("virtnet: warning: "), "{warning}");
        assert!(warning.contains("allkeys-lru"), "{warning}");
    }
}

#[test]
fn waiting_ends_when_all_hosts_are_on_the_network() {
    let server = RedisServer::start();
    let waiting = || start(command(&["wait", "α", "β"]).env("VIRTNET_REGISTRY", server.url()));
    let _alpha = listening(&server, "α:1", &[]);
    let early = waiting();
    let missing = look(&server, &["wait", "α", "β", "γ", "--timeout", "0.1"]).failure();
    assert_eq!(
        missing,
        "virtnet \"virtnet\": wait for hosts: within 100ms there was no \"β\", \"γ\""
    );
    let _beta = listening(&server, "β:1", &[]);
    let ended = early.end();
    assert!(ended.stderr.is_empty(), "{ended:?}");
    assert_eq!(ended.success(), "");
    assert_eq!(waiting().end().success(), "");

    let other = look(
        &server,
        &["wait", "α", "--network", "another", "--timeout", "0"],
    );
    assert!(other.failure().ends_with("there was no \"α\""));
    // Invalid names and registries are errors, not waited for.
    let none = look(&server, &["wait", "[x"]).usage_error();
    assert!(none.contains("invalid hostname \"[x\""), "{none}");
    let nowhere = run(&mut command(&["wait", "α", "--registry", "memory:"])).usage_error();
    assert!(
        nowhere.contains("expected a registry that other processes can reach, got memory:"),
        "{nowhere}"
    );
}

#[test]
fn waiting_also_waits_for_the_registry() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let down = run(&mut member(&url, &["wait", "α", "--timeout", "0.1"])).failure();
    assert!(down.contains("registry is down"), "{down}");

    let mut server = RedisServer::start();
    server.kill();
    let waiting = start(&mut member(&server.url(), &["wait", "α"]));
    server.restart();
    let _alpha = listening(&server, "α:1", &[]);
    assert_eq!(waiting.end().success(), "");
}

#[test]
fn a_signal_ends_waiting() {
    let server = RedisServer::start();
    let waiting = start(&mut member(&server.url(), &["wait", "α"]));
    let until = Instant::now() + BOUND;
    // Signals it after its first query. The test's own connections, this one and the last,
    // have only listed clients.
    let asks = |client: &str| !client.contains("cmd=client");
    while !server.command(&["CLIENT", "LIST"])[0].lines().any(asks) {
        assert!(Instant::now() < until, "it does not ask");
    }
    waiting.signal("TERM");
    assert_eq!(waiting.end().code, Some(143));
}

#[test]
fn a_process_that_lost_its_name_says_so_and_does_not_free_it() {
    let server = RedisServer::start();
    let listener = listening(&server, "β:1", &["--lease", "1"]);
    // Simulates a server that forgot the name and gave it to another process.
    let key = "virtnet:{virtnet}:β";
    let another = format!("127.0.0.1:1 owner={}#1", "0f".repeat(16));
    server.command(&["SET", key, &another]);
    let ended = listener.end();
    assert_eq!(ended.code, Some(1));
    let [_, warning, why] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    let said = "virtnet: warning: a host lost its name host=\"β\"";
    assert!(warning.starts_with(said), "{warning}");
    let said = "virtnet: accept virtnet β:1: host is down: ";
    assert!(why.starts_with(said), "{why}");
    assert_eq!(server.get(key), Some(another));
}

#[test]
fn a_name_is_free_at_once_after_a_signal_and_within_the_lease_after_a_kill() {
    const LEASE: Duration = Duration::from_secs(2);
    let server = RedisServer::start();
    let key = "virtnet:{virtnet}:β";
    let left = || {
        server.command(&["PTTL", key]).remove(0)[1..]
            .parse::<i64>()
            .unwrap()
    };
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        // A lease so long that only freeing the name ends it.
        let listener = listening(&server, "β:1", &["--lease", "86400"]);
        assert!(left() > 1_000_000, "{}", left());
        listener.signal(signal);
        assert_eq!(listener.end().code, Some(code));
        assert_eq!(server.command(&["KEYS", "*"]), [""; 0]);
    }

    let mut killed = start(member(&server.url(), &["listen", "β:1"]).env("VIRTNET_LEASE", "2"));
    killed.wait_for("listening β:1");
    killed.kill();
    let begun = Instant::now();
    assert!(left() <= LEASE.as_millis() as i64, "{}", left());
    // Its successor retries until the name is free, and not earlier.
    loop {
        let mut successor = start(&mut member(&server.url(), &["listen", "β:1"]));
        if successor.listens("β:1") {
            break;
        }
        let why = successor.end().failure();
        assert!(why.ends_with("host already registered"), "{why}");
        assert!(begun.elapsed() < BOUND, "it is never free");
    }
    println!("killed, and taken again after {:.1?}", begun.elapsed());
}
