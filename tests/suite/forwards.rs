//! Two processes that forward: what the tests of `virtnet expose`, `reach` and `proxy` share.
//!
//! Owns the processes and their network, a folder of its own. Never has a test.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use crate::support::{BOUND, Running, member, run, start};
use tempfile::TempDir;

/// A network in a folder.
pub(crate) struct Net {
    pub(crate) dir: TempDir,
}

impl Net {
    pub(crate) fn new() -> Net {
        Net {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The path of a file in the network's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// The command as a member. Peers that are silent for a second are lost.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = member(&format!("local:{}", self.path("net")), args);
        command.env("VIRTNET_SILENCE", "1");
        command
    }

    /// Starts a forward, and waits until it is ready.
    pub(crate) fn ready(&self, args: &[&str]) -> Running {
        let mut running = self.starting(args);
        running.wait_for_stdout(&["ready"]);
        running
    }

    pub(crate) fn starting(&self, args: &[&str]) -> Running {
        start(&mut self.command(args))
    }

    /// Starts `virtnet reach` of `to` from α; returns where programs reach it.
    pub(crate) fn reach(&self, to: &str) -> (Running, String) {
        let args = ["reach", to, "--at", "127.0.0.1:0", "--from", "α"];
        let mut reach = self.starting(&args);
        let at = reach.wait_for_stdout_beginning(&format!("reach {to} <- "));
        let at = at.strip_suffix(" from α").unwrap().to_owned();
        reach.wait_for_stdout(&["ready"]);
        (reach, at)
    }

    pub(crate) fn fault(&self, args: &[&str]) {
        let args = [&["fault"], args].concat();
        run(&mut self.command(&args)).success();
    }
}

/// A program behind β:1, and the way to it from a program at α.
pub(crate) struct Through {
    pub(crate) net: Net,
    pub(crate) expose: Running,
    pub(crate) reach: Running,
    server: TcpListener,
    at: String,
}

impl Through {
    pub(crate) fn new() -> Through {
        let net = Net::new();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        let expose = net.ready(&["expose", "β:1", "--to", &to]);
        let (reach, at) = net.reach("β:1");
        Through {
            net,
            expose,
            reach,
            server,
            at,
        }
    }

    /// A client, and what the program has accepted.
    pub(crate) fn connect(&self) -> (TcpStream, TcpStream) {
        let client = bounded(TcpStream::connect(&self.at).unwrap());
        let (served, _) = self.server.accept().unwrap();
        (client, bounded(served))
    }

    /// The same as `[from, to]`, in either order.
    pub(crate) fn pair(&self, client_first: bool) -> [TcpStream; 2] {
        let (client, served) = self.connect();
        match client_first {
            true => [client, served],
            false => [served, client],
        }
    }
}

/// Waits, within the bound, until it holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let by = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < by, "{what}");
        std::thread::yield_now();
    }
}

/// With a bound on every wait.
pub(crate) fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.set_write_timeout(Some(BOUND)).unwrap();
    stream
}

/// Ends a connection as a killed program with unread data does.
pub(crate) fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

/// Reads to the end, and asserts that it is a reset and not an end-of-file.
#[track_caller]
pub(crate) fn expect_reset(stream: &mut TcpStream) {
    match io::copy(stream, &mut io::sink()) {
        Err(err) if err.kind() == io::ErrorKind::ConnectionReset => {}
        other => panic!("expected a reset, got {other:?}"),
    }
}
