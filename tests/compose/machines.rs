//! Two machines, each with a Docker engine of its own, that are a Swarm.
//!
//! Owns the engines and all that is in them, which end with the value. Never touches the machine's own
//! engine, except to copy images from it: `tests/run.sh` has built them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::docker::{docker, stdout};
use crate::support::{Running, start};

/// An image as the stack names it, from this machine's redis-server and its libraries: a tenth of the
/// size of the image that docker-compose.yml has.
const REDIS: &str = r#"
    server=$(command -v redis-server)
    { echo "$server"; ldd "$server" | grep -o '/[^ ]*'; } | tar -chP -T -"#;

/// A machine, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    First = 1,
    Second = 2,
}

/// The machines; dropping the value ends all that runs on them.
pub(crate) struct Machines {
    folder: PathBuf,
    engines: Option<Running>,
}

impl Machines {
    /// Starts the engines, with the project's images and Redis.
    pub(crate) fn start() -> Machines {
        let name = format!("virtnet-test-{}-machines", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("there is a folder for temporary files");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compose/two-machines.sh");
        let mut command = match fs::metadata("/proc/self").map(|me| me.uid()) {
            Ok(0) => Command::new(script),
            _ => sudo(script),
        };
        let engines = start(command.arg(&folder));
        let mut machines = Machines {
            folder,
            engines: Some(engines),
        };
        let engines = machines.engines.as_mut().expect("they run");
        engines.expect_stdout("ready\n");
        machines.load();
        machines
    }

    /// Gives each machine the images that it needs.
    fn load(&self) {
        let sh = |script: String| stdout(Command::new("bash").args(["-ec", &script]));
        let [first, second] = [On::First, On::Second].map(|on| self.socket(on));
        thread::scope(|both| {
            for to in [&first, &second] {
                let copy = format!(
                    "set -o pipefail; docker save virtnet virtnet-runner | docker -H {to} load"
                );
                both.spawn(move || sh(copy));
            }
            let import = format!(
                "set -o pipefail; {REDIS} | docker -H {first} import --change \
                 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin' - redis:7-bookworm"
            );
            both.spawn(move || sh(import));
        });
    }

    fn socket(&self, on: On) -> String {
        format!("unix://{}/{}.sock", self.folder.display(), on as u8)
    }

    /// The folder of this test, which containers can mount.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn docker(&self, on: On, args: &[&str]) -> Command {
        let mut command = docker(&["-H", &self.socket(on)]);
        command.args(args);
        command
    }

    /// Runs a Docker command on a machine, which must succeed, and returns its stdout.
    #[track_caller]
    pub(crate) fn run(&self, on: On, args: &[&str]) -> String {
        stdout(&mut self.docker(on, args)).trim().to_owned()
    }

    /// The running container of a service of the stack; `None` if this machine has none.
    pub(crate) fn container(&self, on: On, service: &str) -> Option<String> {
        let filter = format!("label=com.docker.swarm.service.name=virtnet_{service}");
        let listed = self.run(on, &["ps", "-q", "--filter", &filter]);
        (!listed.is_empty()).then_some(listed)
    }

    /// Runs the command in a service's container.
    #[track_caller]
    pub(crate) fn virtnet(&self, (on, service): (On, &str), args: &[&str]) -> Running {
        let container = self.container(on, service);
        let container = container.unwrap_or_else(|| panic!("{service} is not on {on:?}"));
        let exec = ["exec", "-i", &container, "/usr/local/bin/virtnet"];
        start(self.docker(on, &exec).args(args))
    }
}

fn sudo(script: &str) -> Command {
    let mut command = Command::new("sudo");
    command.args(["-n", script]);
    command
}

impl Drop for Machines {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut all = vec![vec!["stack", "ps", "--no-trunc", "virtnet"]];
            let services = [
                "virtnet_redis",
                "virtnet_alpha",
                "virtnet_beta",
                "virtnet_gamma",
            ];
            all.extend(services.map(|service| vec!["service", "logs", service]));
            for args in all {
                if let Ok(said) = self.docker(On::First, &args).output() {
                    let said = [said.stdout, said.stderr].concat();
                    eprintln!("{args:?}: {}", String::from_utf8_lossy(&said));
                }
            }
        }
        if let Some(mut engines) = self.engines.take() {
            engines.close_stdin();
            let ended = engines.end();
            assert!(thread::panicking() || ended.code == Some(0), "{ended:?}");
        }
        let removed = fs::remove_dir_all(&self.folder);
        assert!(thread::panicking() || removed.is_ok(), "{removed:?}");
    }
}
