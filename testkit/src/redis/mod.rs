//! Redis for tests: a `redis-server` process on a free port, with nothing on disk, that ends
//! with the value that started it; several servers that work as one; and a proxy.
//!
//! Owns these processes and tasks. Never uses a server that was running before, and knows
//! nothing about the tests.

mod fleet;
mod proxy;

pub use fleet::{Cluster, NAME, Sentinels, agreed, is_linked};
pub use proxy::Proxy;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a server may take to start, and to answer.
const BOUND: Duration = Duration::from_secs(20);
/// For how long a server may hang up on everybody, or load, as in a failover.
const TRANSITION: Duration = Duration::from_secs(10);
/// How many ports are tried: another process can take one before the server.
const ATTEMPTS: u32 = 20;
/// The file that makes a server a sentinel.
const SENTINEL_CONF: &str = "sentinel.conf";

/// What the key of a network's index has in place of a host's name.
const INDEX: &str = ":hosts";

/// A running server. Dropping it kills it and removes its directory.
pub struct RedisServer {
    child: Child,
    port: u16,
    bus: u16,
    dir: PathBuf,
    args: Vec<String>,
}

impl RedisServer {
    /// Starts a server, and returns when it takes connections.
    pub fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// Starts a server with more arguments, such as `["--requirepass", "x"]`.
    ///
    /// In them, `{dir}` is the server's directory, `{port}` its port, and `{bus}` another port for a cluster's
    /// nodes to talk to each other ([`bus`](RedisServer::bus)).
    pub fn start_with(args: &[&str]) -> RedisServer {
        RedisServer::start_in(new_dir(), args)
    }

    /// Starts a sentinel with this configuration, and more arguments.
    pub fn start_sentinel(conf: &str, args: &[&str]) -> RedisServer {
        let dir = new_dir();
        std::fs::write(dir.join(SENTINEL_CONF), conf).expect("the directory can be written");
        RedisServer::start_in(dir, args)
    }

    fn start_in(dir: PathBuf, args: &[&str]) -> RedisServer {
        for _ in 0..ATTEMPTS {
            // Another process may take one of them first.
            let (port, bus) = (free_port(), free_port());
            let fill = |arg: &&str| arg.replace("{bus}", &bus.to_string());
            let args: Vec<_> = args.iter().map(fill).collect();
            if let Some(child) = launch(port, &dir, &args) {
                return RedisServer {
                    child,
                    port,
                    bus,
                    dir,
                    args,
                };
            }
        }
        panic!("redis-server did not start on any of {ATTEMPTS} ports");
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of a cluster's node for other nodes, if its arguments have `{bus}`.
    pub fn bus(&self) -> u16 {
        self.bus
    }

    /// Kills the server, as a crash would. Its data is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops the server where it is: its sockets stay, and nothing answers.
    pub fn pause(&self) {
        signal(self.child.id(), "STOP");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }

    /// Starts a killed server again, empty, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = launch(self.port, &self.dir, &self.args).expect("the server starts again");
    }

    /// Sends a command over a connection of its own, and returns the answer's
    /// lines: of a bulk string or an array the values, of others the line
    /// itself with its first character (`+`, `-`, `:`); `(nil)` for none.
    pub fn command(&self, args: &[&str]) -> Vec<String> {
        self.commands(&[args])
            .pop()
            .expect("one answer per command")
    }

    /// The same for several commands on one connection.
    ///
    /// A server in transition hangs up on its clients, or says that it is loading:
    /// the commands are then sent again, for a while. So what was cut may be done
    /// twice.
    pub fn commands(&self, commands: &[&[&str]]) -> Vec<Vec<String>> {
        let until = Instant::now() + TRANSITION;
        loop {
            let passing = match self.try_commands(commands) {
                Ok(answers) => match answers.iter().flatten().find(|line| is_passing(line)) {
                    None => return answers,
                    Some(line) => line.clone(),
                },
                // It is there and silent, which is no transition.
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    panic!("no answer within {BOUND:?}")
                }
                Err(err) => err.to_string(),
            };
            assert!(Instant::now() < until, "within {TRANSITION:?}: {passing}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The same, but for trying once more.
    fn try_commands(&self, commands: &[&[&str]]) -> std::io::Result<Vec<Vec<String>>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(BOUND))?;
        for args in commands {
            let mut request = format!("*{}\r\n", args.len());
            for arg in *args {
                request += &format!("${}\r\n{arg}\r\n", arg.len());
            }
            stream.write_all(request.as_bytes())?;
        }
        let mut reader = BufReader::new(stream);
        let answer = |_| {
            let mut lines = Vec::new();
            read_answer(&mut reader, &mut lines).map(|()| lines)
        };
        commands.iter().map(answer).collect()
    }

    /// The value of a key; `None` when there is none.
    pub fn get(&self, key: &str) -> Option<String> {
        let value = self.command(&["GET", key]).remove(0);
        (value != "(nil)").then_some(value)
    }

    /// The keys of hosts' names, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut keys = self.keys();
        keys.retain(|key| !key.contains("}::"));
        keys
    }

    /// All keys, sorted, but indexes that name no host but those that are there, and
    /// what is remembered of others.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.command(&["KEYS", "*"]);
        keys.sort();
        let all = keys.clone();
        keys.retain(|key| match key.strip_suffix(INDEX) {
            Some(network) => !self.is_right(key, network, &all),
            None => true,
        });
        keys
    }

    /// Whether each name that an index shows as leased has its key.
    fn is_right(&self, index: &str, network: &str, keys: &[String]) -> bool {
        let time = self.command(&["TIME"]);
        let now = time.first().expect("Redis answers");
        let now: f64 = now.parse().expect("seconds");
        let lines = self.command(&["ZRANGE", index, "0", "-1", "WITHSCORES"]);
        // Empty if it was removed meanwhile.
        if lines.first().is_some_and(|line| line.starts_with('-')) {
            return keys
                .iter()
                .any(|key| key.starts_with(network) && key != index);
        }
        lines.chunks(2).all(|line| {
            let ends = line[1].parse::<f64>().expect("a time") / 1_000.0;
            let is_name = !line[0].starts_with([':', '%']);
            !is_name || ends <= now || keys.contains(&format!("{network}{}", line[0]))
        })
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Sends a signal to a process that the test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.expect("kill is there").success(), "{name} to {pid}");
}

/// Where nothing listens: a port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A new directory for one test's files.
pub fn new_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("virtnet-redis-{}-{next}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).expect("the temporary directory can be written");
    dir
}

/// The server's program: Debian's, or another that is to be tried in its place.
fn program() -> std::ffi::OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// Starts a server; `None` when it ended instead, as on a taken port.
fn launch(port: u16, dir: &Path, args: &[String]) -> Option<Child> {
    let dir = dir.to_str().expect("a temporary path is UTF-8");
    let fill = |arg: &String| {
        arg.replace("{dir}", dir)
            .replace("{port}", &port.to_string())
    };
    let port_text = port.to_string();
    let mut command = Command::new(program());
    // A file that a sentinel keeps its state in.
    let conf = Path::new(dir).join(SENTINEL_CONF);
    if conf.exists() {
        command.arg(conf).arg("--sentinel");
    }
    let mut child = command
        .args(["--port", &port_text, "--bind", "127.0.0.1", "--dir", dir])
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--logfile",
            "",
            "--daemonize",
            "no",
        ])
        .args(args.iter().map(fill))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is installed");
    let log = child.stdout.take().expect("it was asked for");
    let (tell, ready) = mpsc::channel();
    // Reads until the server ends, as a full pipe would stop it.
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains("Ready to accept connections") || line.contains("Sentinel ID is") {
                let _ = tell.send(());
            }
        }
    });
    if ready.recv_timeout(BOUND).is_ok() {
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Whether an answer says that there will be another one soon.
fn is_passing(line: &str) -> bool {
    line.starts_with("-LOADING ") || line.starts_with("-MASTERDOWN ")
}

fn read_answer(reader: &mut impl BufRead, lines: &mut Vec<String>) -> std::io::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let count = || line[1..].parse::<i64>().expect("a length");
    match line.as_bytes().first() {
        Some(b'$' | b'*') if count() < 0 => lines.push("(nil)".to_owned()),
        Some(b'$') => {
            let mut bulk = vec![0; count() as usize + 2];
            reader.read_exact(&mut bulk)?;
            bulk.truncate(bulk.len() - 2);
            lines.push(String::from_utf8_lossy(&bulk).into_owned());
        }
        Some(b'*') => return (0..count()).try_for_each(|_| read_answer(reader, lines)),
        Some(_) => lines.push(line.to_owned()),
        None => return Err(ErrorKind::UnexpectedEof.into()),
    }
    Ok(())
}
