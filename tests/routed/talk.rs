//! Two processes of the command on different machines, and their data.
//!
//! Owns how they are started and what they exchange. Never asserts a speed: it prints it.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::{Running, run, start};
use crate::world::{At, World};

/// Added to each bound, for a busy machine: to start a process, to open the network, and to
/// be scheduled.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

/// How long a dial may take, and how long it may take until a cut is noticed.
pub(crate) const DIAL: Duration = Duration::from_secs(3);
pub(crate) const CUT: Duration = Duration::from_secs(10);

pub(crate) const MIB: usize = 1 << 20;

/// Bytes without repetition, different for each seed.
pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// A host that accepts one connection at port 1.
pub(crate) fn listening(world: &World, at: At, host: &str) -> Running {
    let addr = format!("{host}:1");
    let mut listener = start(&mut world.virtnet(at, &["listen", &addr]));
    listener.wait_for(&format!("listening {addr}"));
    listener
}

/// Dials `to` from `from`, where a listener accepts it.
pub(crate) fn dialing(world: &World, at: At, from: &str, to: &str) -> Running {
    let addr = format!("{to}:1");
    let mut dialer = start(&mut world.virtnet(at, &["dial", "--from", from, &addr]));
    dialer.wait_for(&format!("connected {from}:1->{to}:2"));
    dialer
}

/// Both send 8 MiB at the same time, and receive the other's, to the last byte.
pub(crate) fn exchange(mut one: Running, mut other: Running) -> Duration {
    let sent = [bytes(1, 8 * MIB), bytes(2, 8 * MIB)];
    let begun = Instant::now();
    let writers = [&mut one, &mut other].map(Running::take_stdin);
    let got = std::thread::scope(|scope| {
        for (mut stdin, bytes) in writers.into_iter().zip(&sent) {
            scope.spawn(move || stdin.write_all(bytes).expect("all of it is taken"));
        }
        [one.end(), other.end()]
    });
    let took = begun.elapsed();
    for (ended, bytes) in got.into_iter().zip(sent.iter().rev()) {
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
        assert_eq!(ended.stdout.len(), bytes.len(), "as much as was sent");
        assert!(ended.stdout == *bytes, "what was sent");
    }
    took
}

/// Ends a process cleanly, so that its name is freed.
pub(crate) fn leave(running: Running) {
    running.signal("TERM");
    assert_eq!(running.end().code, Some(143));
}

/// A listener and a dialer meet at the predicted addresses and exchange 8 MiB
/// each.
pub(crate) fn meet(world: &World, listens: (At, &str), dials: (At, &str)) -> Duration {
    let (to, from) = (listens.1, dials.1);
    let mut listener = listening(world, listens.0, to);
    let dialer = dialing(world, dials.0, from, to);
    listener.wait_for(&format!("connected {from}:1->{to}:2"));
    exchange(listener, dialer)
}

/// The error of a dial that fails within its bound.
pub(crate) fn refused(world: &World, at: At, from: &str, to: &str) -> String {
    let begun = Instant::now();
    let addr = format!("{to}:1");
    let dial = run(&mut world.virtnet(at, &["dial", "--from", from, &addr]));
    let took = begun.elapsed();
    let why = dial.failure();
    println!("refused after {took:.1?}: {why}");
    assert!(took < DIAL + SLACK, "{took:?}");
    why
}

/// The hosts that a machine sees, each with its address.
pub(crate) fn hosts(world: &World, at: At) -> Vec<[String; 2]> {
    let listed = run(&mut world.virtnet(at, &["hosts"])).success();
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        [(); 2].map(|()| cells.next().expect("a name and an address"))
    };
    listed.lines().map(row).collect()
}
