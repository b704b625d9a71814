//! Helpers that the tests share: folders and their content, the files of a killed process,
//! and holders in other processes.
//!
//! Asserts nothing itself.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;
use virtnet_core::Registry;
use virtnet_registry_local::LocalRegistry;

pub(crate) const ADDR: &str = "127.0.0.1:4433";

/// A folder of a test's own, which is private as a registry's must be.
pub(crate) fn temp() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o700));
    builder.tempdir().unwrap()
}

pub(crate) fn open(dir: &Path) -> LocalRegistry {
    LocalRegistry::open(dir, "n").unwrap()
}

/// The names of what is in a network's folder, but for its secret.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// The one file that is in a network's folder.
pub(crate) fn only_file(folder: &Path) -> PathBuf {
    let files = files(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    folder.join(&files[0])
}

/// Files as killed processes leave them: whole, and no longer locked.
pub(crate) struct Left {
    dir: TempDir,
}

impl Left {
    /// What is left of a holder of `name`, as its file was.
    pub(crate) async fn of(name: &str) -> (Left, String) {
        let dir = temp();
        let registry = open(dir.path());
        registry.announce(name, "127.0.0.1:1").await.unwrap();
        let file = only_file(registry.folder());
        fs::copy(&file, dir.path().join("left")).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        (Left { dir }, name)
    }

    /// Puts it there, each time as another file, as a holder does: unless there is one.
    pub(crate) fn put(&self, path: &Path) -> bool {
        let copy = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        fs::copy(self.dir.path().join("left"), copy.path()).unwrap();
        fs::hard_link(copy.path(), path).is_ok()
    }
}

/// A process that runs one of the tests, until its stdin ends or it is killed. Dropping it kills it.
pub(crate) struct TestProcess(pub(crate) Child);

impl TestProcess {
    /// Starts it, with these variables.
    pub(crate) fn start(test: &str, vars: &[(&str, &Path)]) -> TestProcess {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(vars.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        TestProcess(child.unwrap())
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends its stdin, and waits until it has ended.
    pub(crate) fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The environment's variable that makes the test `holder` a holder.
pub(crate) const HOLD: &str = "VIRTNET_TEST_HOLD";

/// The same for one that has a child, which lives until the test closes its stdin.
pub(crate) const CHILD: &str = "VIRTNET_TEST_HOLD_CHILD";

/// A process that holds the names `a` and `b`.
pub(crate) struct Holder {
    pub(crate) process: TestProcess,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    /// Starts it, and waits until it has them. The module
    /// `processes` has a test `holder`, which calls [`hold`].
    pub(crate) fn start(dir: &Path) -> Holder {
        Holder::start_with(dir, &[])
    }

    pub(crate) fn start_with(dir: &Path, vars: &[&str]) -> Holder {
        let mut vars: Vec<_> = vars.iter().map(|var| (*var, Path::new("1"))).collect();
        vars.push((HOLD, dir));
        let mut process = TestProcess::start("processes::holder", &vars);
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let mut holder = Holder { process, lines };
        assert_eq!(holder.heard(), "announced");
        holder
    }

    pub(crate) fn heard(&mut self) -> String {
        let mut said = self.lines.by_ref().map_while(Result::ok);
        let said = said.find_map(|line| line.strip_prefix("> ").map(str::to_owned));
        said.expect("it says something before it ends")
    }
}

/// What the holder's process does: holds its names until stdin ends.
pub(crate) async fn hold(dir: &str) {
    let registry = open(Path::new(dir));
    for name in ["a", "b"] {
        registry.announce(name, ADDR).await.unwrap();
    }
    // On a line of its own, whatever the test harness wrote before.
    println!("\n> announced");
    if std::env::var_os(CHILD).is_some() {
        // It says what it hears, and by that that it runs: its parent may go on a
        // moment before it has left its parent's files.
        let mut cat = Command::new("cat").spawn().unwrap();
        println!("\n> {}", cat.id());
        cat.wait().unwrap();
    }
    let lines = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    lines.await.unwrap();
    registry.close().await.unwrap();
}
