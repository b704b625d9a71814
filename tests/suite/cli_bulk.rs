//! A large file through `virtnet dial | virtnet listen`, over Redis: every byte, in order,
//! and the speed.
//!
//! Owns a stream that both ends can generate, so that nothing is stored. Its size is `VIRTNET_TEST_BULK_MIB` MiB: by default 1,024 for a release
//! build, 64 otherwise. Never asserts a speed: it prints it.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{member, start};
use virtnet_testkit::redis::RedisServer;

const MIB: usize = 1 << 20;

/// How long the slowest machine may take for a MiB.
const PER_MIB: Duration = Duration::from_millis(500);

fn mebibytes() -> usize {
    let default = if cfg!(debug_assertions) { 64 } else { 1024 };
    match std::env::var("VIRTNET_TEST_BULK_MIB") {
        Ok(text) => text.parse().expect("VIRTNET_TEST_BULK_MIB is a number"),
        Err(_) => default,
    }
}

/// The stream, MiB by MiB: all differ, so that lost, duplicated or reordered ones are
/// detected.
struct Stream {
    numbers: fastrand::Rng,
    piece: Vec<u8>,
}

impl Stream {
    fn new() -> Stream {
        Stream {
            numbers: fastrand::Rng::with_seed(1),
            piece: vec![0; MIB],
        }
    }

    fn next(&mut self) -> &[u8] {
        self.numbers.fill(&mut self.piece);
        &self.piece
    }
}

/// Kills a process that did not answer in time.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_byte_arrives() {
    let count = mebibytes();
    let server = RedisServer::start();
    let listen = &mut member(&server.url(), &["listen", "β:1"]);
    // Its stdout is read here, piece by piece.
    let mut listener = Guard(
        listen
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built"),
    );
    wait_for_listening(&mut listener.0);
    let mut from = listener.0.stdout.take().unwrap();
    let mut dialer = start(&mut member(&server.url(), &["dial", "--from", "α", "β:1"]));
    dialer.wait_for("connected α:1->β:2");

    let begun = Instant::now();
    let mut to = dialer.take_stdin();
    let writer = thread::spawn(move || {
        let mut stream = Stream::new();
        (0..count).try_for_each(|_| to.write_all(stream.next()))
    });
    let (tell, checked) = channel();
    let reader = thread::spawn(move || {
        let (mut stream, mut got) = (Stream::new(), vec![0; MIB]);
        for index in 0..count {
            from.read_exact(&mut got).expect("all of it arrives");
            assert!(stream.next() == got, "MiB {index} is another one");
        }
        assert_eq!(
            from.read(&mut got).expect("it ends"),
            0,
            "there is more than was sent"
        );
        let _ = tell.send(());
    });
    // A disconnection is a failure too; joining the thread shows the reason.
    let bound = crate::support::BOUND + PER_MIB * u32::try_from(count).unwrap();
    let in_time = checked.recv_timeout(bound);
    let took = begun.elapsed();
    assert_ne!(
        in_time,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout),
        "after {took:?}"
    );
    reader.join().expect("what arrives is what was sent");
    writer.join().unwrap().expect("all of it is taken");
    assert_eq!(dialer.end().success(), "");
    assert!(listener.0.wait().unwrap().success());
    assert_eq!(server.keys(), [""; 0]);
    let speed = count as f64 / took.as_secs_f64();
    println!("{count} MiB in {took:.2?}: {speed:.0} MiB/s");
}

fn wait_for_listening(child: &mut Child) {
    let mut stderr = child.stderr.take().unwrap();
    let (tell, heard) = channel();
    thread::spawn(move || {
        let mut line = vec![0; "listening β:1\n".len()];
        let _ = tell.send(stderr.read_exact(&mut line).map(|()| line));
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    });
    let line = heard
        .recv_timeout(crate::support::BOUND)
        .expect("it listens in time");
    assert_eq!(line.expect("it listens"), "listening β:1\n".as_bytes());
}
