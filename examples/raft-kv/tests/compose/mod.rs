//! The containers: brought up, told what to do, and taken down again.
//!
//! Owns the compose project and every process that is started for it; nothing it
//! starts outlives it, and no wait is without a bound. Never knows what is tested.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long building the image may take.
const BUILD: Duration = Duration::from_secs(45 * 60);
/// How long anything else may take that a process does and then ends.
const COMMAND: Duration = Duration::from_secs(120);
/// The pause between two looks at what has no event to wait for.
const LOOK: Duration = Duration::from_millis(200);

/// A compose project of its own, removed when dropped.
pub struct Environment {
    project: String,
    compose: &'static [&'static str],
    began: Instant,
}

/// What a process has come to.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Environment {
    /// Builds the image and starts all services that have no profile.
    pub async fn up() -> Environment {
        let newer = Command::new("docker").args(["compose", "version"]).output();
        let newer = newer.await.is_ok_and(|output| output.status.success());
        let environment = Environment {
            project: format!("raft-kv-{}", std::process::id()),
            compose: match newer {
                true => &["docker", "compose"],
                false => &["docker-compose"],
            },
            began: Instant::now(),
        };
        environment.step("building the image");
        // All services use the image that one of them builds.
        environment.compose(&["build", "alpha"], BUILD).await;
        environment.step("starting the containers");
        environment.compose(&["up", "-d"], COMMAND).await;
        environment
    }

    /// Prints what is done, and when.
    pub fn step(&self, what: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        for line in what.lines() {
            println!("[{seconds:6.1} s] {line}");
        }
    }

    /// Runs `docker`; panics if it fails.
    pub async fn docker(&self, args: &[&str]) -> String {
        let mut command = Command::new("docker");
        run(command.args(args), "", COMMAND).await.good()
    }

    /// Runs the example's program in the container of a service.
    pub async fn exec(&self, service: &str, args: &[&str]) -> Ran {
        let container = self.container(service).await;
        let mut command = Command::new("docker");
        command.args(["exec", &container, "raft-kv"]).args(args);
        run(&mut command, "", COMMAND).await
    }

    /// Runs a client in a container of its own.
    pub async fn client(&self, args: &[&str], stdin: &str) -> Ran {
        run(&mut self.client_command(args), stdin, COMMAND).await
    }

    /// Starts a client that is to go on until its stdin ends.
    pub fn start_client(&self, args: &[&str]) -> Running {
        Running::start(&mut self.client_command(args))
    }

    /// The container of a service.
    pub async fn container(&self, service: &str) -> String {
        let id = self.compose(&["ps", "-q", service], COMMAND).await;
        id.trim().to_owned()
    }

    /// What a service has printed so far.
    pub async fn log(&self, service: &str) -> String {
        let container = self.container(service).await;
        self.docker(&["logs", &container]).await
    }

    /// Takes a service off the only network that there is.
    pub async fn cut_off(&self, service: &str) {
        let (network, container) = (self.network(), self.container(service).await);
        self.docker(&["network", "disconnect", &network, &container])
            .await;
    }

    /// Puts it back, under the name that others know it by.
    pub async fn heal(&self, service: &str) {
        let (network, container) = (self.network(), self.container(service).await);
        let args = ["network", "connect", "--alias", service];
        self.docker(&[&args[..], &[&network, &container]].concat())
            .await;
    }

    fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    fn client_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--rm", "-T", "client"]);
        command.args(args);
        command
    }

    async fn compose(&self, args: &[&str], bound: Duration) -> String {
        run(&mut self.command(args), "", bound).await.good()
    }

    fn command(&self, args: &[&str]) -> Command {
        Command::from(self.std_command(args))
    }

    fn std_command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.compose[0]);
        command
            .args(&self.compose[1..])
            .args(["-p", &self.project])
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    /// Runs compose where nothing can be awaited, and says if it fails.
    fn at_last(&self, args: &[&str], output: fn() -> Stdio) {
        let mut command = self.std_command(args);
        let command = command
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(err) => return eprintln!("{command:?}: {err}"),
        };
        // The standard library has no wait with a bound.
        let deadline = Instant::now() + COMMAND;
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(LOOK),
                Ok(Some(status)) if status.success() => return,
                ended => return eprintln!("{command:?}: {ended:?}"),
            }
        }
        eprintln!("{command:?} did not end within {COMMAND:?}");
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let args = ["logs", "--no-color", "--tail", "100"];
            self.at_last(&args, Stdio::inherit);
        }
        self.step("taking all down");
        let args = ["down", "-v", "--remove-orphans", "-t", "5"];
        self.at_last(&args, Stdio::null);
        self.step("done");
    }
}

impl Ran {
    /// What it has printed, if it went well.
    pub fn good(self) -> String {
        let Ran {
            code,
            stdout,
            stderr,
        } = self;
        assert_eq!(code, Some(0), "\n{stdout}\n{stderr}");
        stdout
    }
}

async fn run(command: &mut Command, stdin: &str, bound: Duration) -> Ran {
    let what = format!("{command:?}");
    let running = async {
        let mut child = spawn(command.stderr(Stdio::piped()));
        let mut pipe = child.stdin.take().expect("it is piped");
        // Who has ended already reads nothing, and is judged by how it ended.
        let _ = pipe.write_all(stdin.as_bytes()).await;
        drop(pipe);
        child.wait_with_output().await
    };
    let ended = timeout(bound, running).await;
    let output = ended
        .unwrap_or_else(|_| panic!("{what} did not end within {bound:?}"))
        .unwrap_or_else(|err| panic!("{what}: {err}"));
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn spawn(command: &mut Command) -> Child {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    child.unwrap_or_else(|err| panic!("{command:?}: {err}"))
}

/// A process that goes on, and the lines that it has printed so far.
pub struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = spawn(command);
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let kept = Arc::clone(&lines);
        // Ends with the process, whose stdout it reads.
        tokio::spawn(async move {
            let mut stdout = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = stdout.next_line().await {
                let mut kept = kept.lock().unwrap();
                kept.push(line);
                counted.send_replace(kept.len());
            }
        });
        Running {
            child,
            stdin,
            lines,
            count,
        }
    }

    /// Waits until it has printed at least `count` lines.
    pub async fn lines_at_least(&mut self, count: usize, bound: Duration) {
        let enough = self.count.wait_for(|printed| *printed >= count);
        match timeout(bound, enough).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => panic!("it ended before it had printed {count} lines"),
            Err(_) => panic!("it has not printed {count} lines within {bound:?}"),
        }
    }

    /// The lines that it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Ends its stdin, and waits for it to end well.
    pub async fn end(mut self) -> Vec<String> {
        drop(self.stdin);
        let ended = timeout(COMMAND, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it did not end within {COMMAND:?}"));
        assert!(status.unwrap().success());
        let all_read = timeout(COMMAND, async {
            while self.count.changed().await.is_ok() {}
        });
        all_read.await.expect("its stdout ends with it");
        self.lines.lock().unwrap().clone()
    }
}

/// Looks again and again until there is something to see: what happens in the
/// containers tells nobody out here.
pub async fn until<T>(what: &str, bound: Duration, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            sleep(LOOK).await;
        }
    };
    let seen = timeout(bound, looking).await;
    seen.unwrap_or_else(|_| panic!("{what}: not within {bound:?}"))
}
