//! Tests of the scripts, one by one, on a real server: a script that arrives late or twice
//! changes nothing that it should not.

use redis::{Cmd, Value};

use crate::lease::script::{LeaseRequest, Owner};
use crate::schema::keys::Keys;
use virtnet_testkit::redis::RedisServer;

const KEY: &str = "virtnet:{n}:a";
const INDEX: &str = "virtnet:{n}::hosts";
const LEASE: u64 = 60_000;

/// Whether an answer says that the name is held: it is the server's time.
fn is_ours(answer: &Value) -> bool {
    matches!(answer, Value::Int(now) if *now > 1)
}

struct Server {
    server: RedisServer,
    connection: redis::Connection,
    keys: Keys,
}

impl Server {
    fn start() -> Server {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        Server {
            connection: client.get_connection().unwrap(),
            server,
            keys: Keys::new("n"),
        }
    }

    fn run<T: redis::FromRedisValue>(&mut self, cmd: Cmd) -> T {
        cmd.query(&mut self.connection).unwrap()
    }

    /// Whether `owner` got the name `a`, or holds it now for another lease.
    fn holds(&mut self, owner: &Owner, hostdata: &str, number: u64) -> bool {
        let held = self.hold(owner, &[("a", hostdata, number)]);
        is_ours(&held[0])
    }

    fn hold(&mut self, owner: &Owner, names: &[(&str, &str, u64)]) -> Vec<Value> {
        self.hold_since(owner, names, 0)
    }

    /// Renews what was held at the time `seen`; 0 announces it.
    fn hold_since(&mut self, owner: &Owner, names: &[(&str, &str, u64)], seen: u64) -> Vec<Value> {
        let holding = |&(hostname, hostdata, number)| LeaseRequest {
            hostname,
            hostdata,
            number,
            confirmed_at: seen,
        };
        let names: Vec<_> = names.iter().map(holding).collect();
        let cmd = owner.hold(&self.keys, &names, LEASE);
        self.run(cmd)
    }

    fn frees(&mut self, owner: &Owner, number: u64) -> bool {
        let cmd = owner.free(&self.keys, &[("a", number)]);
        self.run::<i64>(cmd) == 1
    }

    fn left(&mut self, key: &str) -> u64 {
        let mut pttl = redis::cmd("PTTL");
        pttl.arg(key);
        self.run(pttl)
    }

    fn indexed(&mut self) -> Vec<String> {
        self.server.command(&["ZRANGE", INDEX, "0", "-1"])
    }
}

#[test]
fn commands_that_come_late_or_twice_do_no_harm() {
    let mut at = Server::start();
    let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());

    // Twice is as once.
    assert!(at.holds(&one, "x:1", 1));
    assert!(at.holds(&one, "x:1", 1));
    // A later announcement of the same owner takes over.
    assert!(at.holds(&one, "x:2", 10));
    let value = at.server.get(KEY);
    assert!(value.as_ref().unwrap().starts_with("x:2 owner="));
    // What belongs to the earlier one comes too late.
    assert!(!at.holds(&one, "x:1", 9));
    assert!(!at.frees(&one, 9));
    // Another owner gets nothing, however high its number, and is told the holder.
    let held = at.hold(&other, &[("a", "y:1", 99)]);
    assert_eq!(held, [Value::BulkString(value.clone().unwrap().into())]);
    assert!(!at.frees(&other, 99));
    assert_eq!(at.server.get(KEY), value);

    assert!(at.frees(&one, 10));
    assert!(!at.frees(&one, 10));
    assert_eq!(at.server.keys(), [""; 0]);
    assert!(at.holds(&other, "y:1", 1));
    assert!(!at.frees(&one, 10));

    // What no registry wrote is nobody's to take or to free.
    at.server.command(&["SET", KEY, "by hand"]);
    assert!(!at.holds(&one, "x:1", 11));
    assert!(!at.frees(&one, 11));
    at.server.command(&["DEL", KEY]);
    at.server.command(&["RPUSH", KEY, "by hand"]);
    assert!(!at.holds(&one, "x:1", 11));
    assert!(!at.frees(&one, 11));
    assert_eq!(at.server.command(&["LRANGE", KEY, "0", "-1"]), ["by hand"]);
}

#[test]
fn one_command_extends_takes_and_refuses_each_by_itself() {
    let mut at = Server::start();
    let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());
    at.hold(&one, &[("mine", "x:1", 1)]);
    at.hold(&other, &[("theirs", "y:1", 1)]);
    at.server.command(&["RPUSH", "virtnet:{n}:list", "x"]);
    at.server.command(&["PEXPIRE", "virtnet:{n}:mine", "1000"]);
    at.server
        .command(&["PEXPIRE", "virtnet:{n}:theirs", "1000"]);
    at.server.command(&["DEL", INDEX]);

    let names = ["mine", "theirs", "list", "gone"].map(|name| (name, "x:1", 1));
    let answers = at.hold(&one, &names);
    assert!(is_ours(&answers[0]) && is_ours(&answers[3]));
    assert!(matches!(&answers[1], Value::BulkString(held) if held.starts_with(b"y:1 owner=")));
    assert_eq!(answers[2], Value::BulkString(vec![]));
    assert!(
        at.left("virtnet:{n}:mine") > LEASE - 10_000,
        "it is extended"
    );
    assert!(
        at.left("virtnet:{n}:gone") > LEASE - 10_000,
        "it is announced again"
    );
    assert!(at.left("virtnet:{n}:theirs") <= 1000, "it is left alone");
    assert_eq!(at.indexed(), ["gone", "mine"], "the index is healed");
}

#[test]
fn the_index_holds_what_is_leased_and_ends_with_it() {
    let mut at = Server::start();
    let owner = Owner::random().unwrap();
    at.holds(&owner, "x:1", 1);
    assert!(at.left(INDEX) > LEASE - 10_000);
    // A lease that ended long ago, and one that lasts longer than ours.
    at.server.command(&["ZADD", INDEX, "1", "old"]);
    at.server.command(&["PEXPIRE", INDEX, "9000000"]);
    at.holds(&owner, "x:1", 1);
    assert_eq!(at.indexed(), ["a"]);
    assert!(at.left(INDEX) > 8_000_000, "it is not cut short");
    // Something else in its place costs no lease.
    at.server.command(&["SET", INDEX, "by hand"]);
    assert!(at.holds(&owner, "x:1", 1));
    at.server.command(&["DEL", INDEX]);
    assert!(at.holds(&owner, "x:1", 1));
    assert!(at.frees(&owner, 1));
    assert_eq!(at.server.keys(), [""; 0]);
}

/// Something else in place of the index: no script stops at it.
#[test]
fn whatever_is_in_place_of_the_index_names_are_held_and_freed() {
    let mut at = Server::start();
    let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());
    for index in [&["SET", INDEX, "by hand"][..], &["RPUSH", INDEX, "by hand"]] {
        at.server.command(index);
        let names = ["a", "b", "c"].map(|name| (name, "x:1", 1));
        let held = at.hold(&one, &names);
        assert!(held.iter().all(is_ours), "{held:?}");
        // To be renewed, of which one was lost.
        at.server.command(&["DEL", KEY]);
        let held = at.hold_since(&one, &names, 1);
        assert!(held.iter().all(is_ours), "{held:?}");
        assert_eq!(at.hold(&other, &[("b", "y:1", 1)]).len(), 1);
        // One of them is no string any more: it is left alone.
        at.server.command(&["DEL", "virtnet:{n}:b"]);
        at.server.command(&["RPUSH", "virtnet:{n}:b", "by hand"]);
        let free = one.free(&at.keys, &[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(at.run::<i64>(free), 2, "all that is ours, past the first");
        let probe = one.probe(&at.keys);
        assert_eq!(at.run::<i64>(probe), 2, "it says so");
        let mut left = at.server.command(&["KEYS", "*"]);
        left.sort();
        assert_eq!(left, [INDEX, "virtnet:{n}:b"]);
        at.server.command(&["DEL", INDEX, "virtnet:{n}:b"]);
    }
}

/// A rival took the name and freed it again, while its holder was away.
#[test]
fn who_had_no_name_for_a_while_is_told_so_though_nobody_has_it() {
    let mut at = Server::start();
    let owner = || Owner::random().unwrap();
    let (one, rival, third) = (owner(), owner(), owner());
    let at_time = |answers: Vec<Value>| match answers[..] {
        [Value::Int(now)] if now > 1 => now as u64,
        ref other => panic!("{other:?}"),
    };
    let a = |hostdata| [("a", hostdata, 1)];
    let millis = |at: &Server| {
        let time = at.server.command(&["TIME"]);
        let [seconds, micros] = [0, 1].map(|part: usize| time[part].parse::<u64>().unwrap());
        seconds * 1000 + micros / 1000
    };
    let lapse = |at: &mut Server| {
        at.server.command(&["DEL", KEY]);
        // What comes next is later by the server's clock, which the scripts read in milliseconds.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let before = millis(at);
        while millis(at) <= before {
            assert!(
                std::time::Instant::now() < deadline,
                "the clock stands still"
            );
        }
    };
    let seen = at_time(at.hold(&one, &a("x:1")));
    lapse(&mut at);
    // Nobody had it: it is ours again.
    let seen = at_time(at.hold_since(&one, &a("x:1"), seen));
    lapse(&mut at);
    let rivals = at_time(at.hold(&rival, &a("y:1")));
    let rivals = at_time(at.hold_since(&rival, &a("y:1"), rivals));
    assert!(at.frees(&rival, 1));
    assert_eq!(at.hold_since(&one, &a("x:1"), seen), [Value::Int(0)]);
    assert_eq!(at.server.get(KEY), None, "it is not taken back");
    // Not even after somebody else had it as well, and was killed.
    lapse(&mut at);
    let thirds = at_time(at.hold(&third, &a("z:1")));
    lapse(&mut at);
    assert_eq!(at.hold_since(&one, &a("x:1"), seen), [Value::Int(0)]);
    assert_eq!(at.hold_since(&rival, &a("y:1"), rivals), [Value::Int(0)]);
    // The last to have had it may take it back, and who was told may announce it.
    at_time(at.hold_since(&third, &a("z:1"), thirds));
    assert!(at.frees(&third, 1));
    let seen = at_time(at.hold(&one, &[("a", "x:2", 2)]));
    lapse(&mut at);
    at_time(at.hold_since(&one, &[("a", "x:2", 2)], seen));
    assert!(at.frees(&one, 2));
    // What is left ends by itself, an hour after it was written.
    assert_eq!(at.indexed(), [":a"]);
    assert!(at.left(INDEX) <= LEASE + 3_600_000);
    at.server.command(&["ZADD", INDEX, "1", ":a"]);
    assert!(at.holds(&one, "x:1", 3) && at.frees(&one, 3));
    assert_eq!(at.server.command(&["KEYS", "*"]), [""; 0]);
    // A server that forgot everything has forgotten that, too.
    let seen = at_time(at.hold(&one, &a("x:1")));
    at.server.command(&["FLUSHALL"]);
    at_time(at.hold_since(&one, &a("x:1"), seen));
}

#[test]
fn a_server_without_memory_still_extends_leases() {
    let mut at = Server::start();
    let owner = Owner::random().unwrap();
    assert!(at.holds(&owner, "x:1", 1));
    at.server.command(&["PEXPIRE", KEY, "1000"]);
    at.server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(at.holds(&owner, "x:1", 1));
    assert!(at.left(KEY) > LEASE - 10_000);
}

#[test]
fn a_replica_has_no_say() {
    let mut at = Server::start();
    let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());
    assert!(at.holds(&other, "y:1", 1));
    let nowhere = virtnet_testkit::redis::free_port().to_string();
    at.server.command(&["REPLICAOF", "127.0.0.1", &nowhere]);
    let holding = LeaseRequest {
        hostname: "a",
        hostdata: "x:1",
        number: 1,
        confirmed_at: 0,
    };
    for cmd in [
        one.hold(&at.keys, &[holding], LEASE),
        one.free(&at.keys, &[("a", 1)]),
    ] {
        let err = cmd.query::<Value>(&mut at.connection).unwrap_err();
        assert!(crate::connection::error::is_passing(&err), "{err}");
    }
    at.server.command(&["REPLICAOF", "NO", "ONE"]);
    assert!(at.holds(&other, "y:1", 1));
}

#[test]
fn the_probe_leaves_nothing() {
    let mut at = Server::start();
    let owner = Owner::random().unwrap();
    let probe = owner.probe(&at.keys);
    assert_eq!(at.run::<i64>(probe), 1);
    assert_eq!(at.server.keys(), [""; 0]);
    // And takes nothing away from others.
    at.holds(&owner, "x:1", 1);
    let probe = owner.probe(&at.keys);
    assert_eq!(at.run::<i64>(probe), 1);
    assert_eq!(at.indexed(), ["a"]);
    assert!(at.left(KEY) > LEASE - 10_000 && at.left(INDEX) > LEASE - 10_000);
}
