//! A test's own compose project: brought up from an unchanged docker-compose.yml, this
//! folder's or an example's, and always taken down.
//!
//! Owns the containers, by the project's name. Never touches others, and never builds:
//! `tests/run.sh` has built the images.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{BOUND, Running, start};

/// The interval between two checks of a wait.
const LOOK: Duration = Duration::from_millis(50);

/// A Docker command that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(180);

/// A running project.
pub(crate) struct Project {
    name: String,
    /// The compose file, from the root of the repository.
    file: &'static str,
    overrides: Option<PathBuf>,
}

/// Runs a command that must succeed, and returns what it wrote to stdout.
#[track_caller]
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it wrote text")
}

/// Runs a command, and waits for its end within [`LONGEST`].
pub(crate) fn output(command: &mut Command) -> Output {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = piped.stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|err| panic!("{command:?}: {err}"));
    let pid = child.id().to_string();
    let (ended, end) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if end.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
            // The failure that follows shows the command.
            let _ = Command::new("kill").arg(pid).status();
        }
    });
    let output = child.wait_with_output();
    drop(ended);
    watch.join().expect("it does not panic");
    output.unwrap_or_else(|err| panic!("{command:?}: {err}"))
}

pub(crate) fn docker(args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(args);
    command
}

/// `docker compose` if it exists, otherwise the older `docker-compose`.
fn compose() -> Command {
    if output(&mut docker(&["compose", "version"]))
        .status
        .success()
    {
        return docker(&["compose"]);
    }
    Command::new("docker-compose")
}

/// Waits until the condition holds, and returns how long that took.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        thread::sleep(LOOK);
    }
    began.elapsed()
}

impl Project {
    /// A project with nothing up yet. `overrides` is a compose file that overrides the
    /// project's.
    pub(crate) fn new(overrides: Option<&str>) -> Project {
        Project::of("docker-compose.yml", overrides)
    }

    /// An example's project with all its services started, but nothing waited for.
    pub(crate) fn example(file: &'static str) -> Project {
        let project = Project::of(file, None);
        project.run(&["up", "-d"]);
        project
    }

    fn of(file: &'static str, overrides: Option<&str>) -> Project {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("virtnet-test-{}-{next}", std::process::id());
        let overrides = overrides.map(|text| {
            let path = std::env::temp_dir().join(format!("{name}.yml"));
            std::fs::write(&path, text).expect("there is a folder for temporary files");
            path
        });
        Project {
            name,
            file,
            overrides,
        }
    }

    /// Brings up Redis and the hosts, and waits until all are on the network.
    pub(crate) fn up() -> Project {
        let project = Project::new(None);
        project.run(&["up", "-d", "alpha", "beta", "gamma"]);
        project.all_there();
        project
    }

    pub(crate) fn all_there(&self) {
        let mut wait = self.virtnet("beta", &["wait", "α", "β", "γ"]);
        wait.close_stdin();
        wait.end().success();
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The Docker network of the project.
    pub(crate) fn network(&self) -> String {
        format!("{}_default", self.name)
    }

    pub(crate) fn compose(&self, args: &[&str]) -> Command {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.file);
        let mut command = compose();
        command.args(["-p", &self.name, "-f"]).arg(file);
        if let Some(path) = &self.overrides {
            command.arg("-f").arg(path);
        }
        command.args(args);
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        stdout(&mut self.compose(args))
    }

    /// The container of a service, running or stopped.
    #[track_caller]
    pub(crate) fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service_label = format!("label=com.docker.compose.service={service}");
        let list = [
            "ps",
            "-aq",
            "--filter",
            &project,
            "--filter",
            &service_label,
        ];
        let listed = stdout(&mut docker(&list));
        let ids: Vec<_> = listed.lines().collect();
        assert_eq!(ids.len(), 1, "containers of {service}: {listed:?}");
        ids[0].to_owned()
    }

    /// Runs `docker ARGS CONTAINER` for a service's container.
    #[track_caller]
    pub(crate) fn inflict(&self, args: &[&str], service: &str) -> String {
        stdout(docker(args).arg(self.container(service)))
    }

    /// Cuts a service's container off from all others.
    pub(crate) fn cut_off(&self, service: &str) {
        self.inflict(&["network", "disconnect", &self.network()], service);
    }

    /// Reconnects it under its name; its address may change.
    pub(crate) fn put_back(&self, service: &str) {
        let network = self.network();
        self.inflict(
            &["network", "connect", "--alias", service, &network],
            service,
        );
    }

    /// Runs the command in a service's running container.
    pub(crate) fn virtnet(&self, service: &str, args: &[&str]) -> Running {
        let container = self.container(service);
        let exec = ["exec", "-i", &container, "/usr/local/bin/virtnet"];
        start(docker(&exec).args(args))
    }

    /// Runs a program in a service's running container, with these variables, and waits for its end.
    pub(crate) fn exec(&self, service: &str, variables: &[&str], args: &[&str]) -> Output {
        let mut command = docker(&["exec"]);
        for variable in variables {
            command.args(["-e", variable]);
        }
        output(command.arg(self.container(service)).args(args))
    }

    /// Runs the command in a service's container, which must succeed, and returns its stdout.
    #[track_caller]
    pub(crate) fn fault(&self, service: &str, args: &[&str]) -> String {
        let mut command = self.virtnet(service, &[&["fault"], args].concat());
        command.close_stdin();
        command.end().success()
    }

    /// Runs `virtnet host ACTION HOST` in a service's container, which must succeed.
    #[track_caller]
    pub(crate) fn host(&self, service: &str, action: &str, host: &str) {
        let mut command = self.virtnet(service, &["host", action, host]);
        command.close_stdin();
        command.end().success();
    }

    /// A service's log so far.
    pub(crate) fn logs(&self, service: &str) -> String {
        let output = output(docker(&["logs"]).arg(self.container(service)));
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if thread::panicking() {
            let logs = output(&mut self.compose(&["logs", "--no-color"]));
            eprintln!("{}", String::from_utf8_lossy(&logs.stdout));
        }
        let down = ["down", "-v", "-t", "3", "--remove-orphans"];
        let down = output(&mut self.compose(&down));
        if let Some(path) = &self.overrides {
            let _ = std::fs::remove_file(path);
        }
        // Fails the test if anything is left.
        let left = !down.status.success() && !thread::panicking();
        assert!(!left, "{}", String::from_utf8_lossy(&down.stderr));
        let label = format!("label=com.docker.compose.project={}", self.name);
        for list in [&["ps", "-a"][..], &["network", "ls"], &["volume", "ls"]] {
            let listed = stdout(docker(list).args(["-q", "--filter", &label]));
            assert!(
                listed.is_empty() || thread::panicking(),
                "{list:?}: {listed}"
            );
        }
    }
}
