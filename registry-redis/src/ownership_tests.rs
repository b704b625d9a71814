//! Tests of the scripts, one by one, on a real server: what reaches it late or
//! twice changes nothing that it should not.

use redis::{Cmd, Value};

use crate::keys::Keys;
use crate::script::{Holding, Owner};
use crate::support::RedisServer;

const KEY: &str = "virtnet:{n}:a";
const INDEX: &str = "virtnet:{n}::hosts";
const LEASE: u64 = 60_000;

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
        held == [Value::Int(1)]
    }

    fn hold(&mut self, owner: &Owner, names: &[(&str, &str, u64)]) -> Vec<Value> {
        let holding = |&(hostname, hostdata, number)| Holding {
            hostname,
            hostdata,
            number,
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
    // Another owner has no say, however high its number, and is told who does.
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
    assert_eq!((&answers[0], &answers[3]), (&Value::Int(1), &Value::Int(1)));
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
    at.server.command(&["PEXPIRE", INDEX, "90000"]);
    at.holds(&owner, "x:1", 1);
    assert_eq!(at.indexed(), ["a"]);
    assert!(at.left(INDEX) > LEASE, "it is not cut short");
    // Something else in its place costs no lease.
    at.server.command(&["SET", INDEX, "by hand"]);
    assert!(at.holds(&owner, "x:1", 1));
    at.server.command(&["DEL", INDEX]);
    assert!(at.holds(&owner, "x:1", 1));
    assert!(at.frees(&owner, 1));
    assert_eq!(at.server.keys(), [""; 0]);
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
    let nowhere = crate::support::free_port().to_string();
    at.server.command(&["REPLICAOF", "127.0.0.1", &nowhere]);
    let holding = Holding {
        hostname: "a",
        hostdata: "x:1",
        number: 1,
    };
    for cmd in [
        one.hold(&at.keys, &[holding], LEASE),
        one.free(&at.keys, &[("a", 1)]),
    ] {
        let err = cmd.query::<Value>(&mut at.connection).unwrap_err();
        assert!(crate::fault::is_passing(&err), "{err}");
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
