//! Tests of the scripts, one by one, on a real server: what reaches it late or
//! twice changes nothing that it should not.

use redis::Cmd;

use crate::entry::Owner;
use crate::support::RedisServer;

const KEY: &str = "virtnet:{n}:a";

fn run(connection: &mut redis::Connection, cmd: Cmd) -> i64 {
    cmd.query(connection).unwrap()
}

#[test]
fn commands_that_come_late_or_twice_do_no_harm() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let to = &mut client.get_connection().unwrap();
    let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());

    // Twice is as once.
    assert_eq!(run(to, one.announce(KEY, "x:1", 1)), 1);
    assert_eq!(run(to, one.announce(KEY, "x:1", 1)), 1);
    // A later announcement of the same owner takes over.
    assert_eq!(run(to, one.announce(KEY, "x:2", 10)), 1);
    let value = server.get(KEY);
    assert!(value.as_ref().unwrap().starts_with("x:2 owner="));
    // What belongs to the earlier one comes too late.
    assert_eq!(run(to, one.announce(KEY, "x:1", 9)), 0);
    assert_eq!(run(to, one.free(KEY, 9)), 0);
    // Another owner has no say, however high its number.
    assert_eq!(run(to, other.announce(KEY, "y:1", 99)), 0);
    assert_eq!(run(to, other.free(KEY, 99)), 0);
    assert_eq!(server.get(KEY), value);

    assert_eq!(run(to, one.free(KEY, 10)), 1);
    assert_eq!(run(to, one.free(KEY, 10)), 0);
    assert_eq!(server.get(KEY), None);
    assert_eq!(run(to, other.announce(KEY, "y:1", 1)), 1);
    assert_eq!(run(to, one.free(KEY, 10)), 0);

    // What no registry wrote is nobody's to take or to free.
    server.command(&["SET", KEY, "by hand"]);
    assert_eq!(run(to, one.announce(KEY, "x:1", 11)), 0);
    assert_eq!(run(to, one.free(KEY, 11)), 0);
}

#[test]
fn the_probe_leaves_nothing() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let to = &mut client.get_connection().unwrap();
    assert_eq!(run(to, Owner::random().unwrap().probe("virtnet:{n}:")), 1);
    assert_eq!(server.keys(), [""; 0]);
}
