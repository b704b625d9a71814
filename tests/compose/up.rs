//! The compose environment: the runner and its exit code, the interactive environment, the
//! images, and shutdown.
//!
//! Owns what a user sees in the first five minutes. Never causes a fault.

use std::time::Duration;

use crate::docker::{Project, docker, output, stdout, until};
use crate::support::Ended;
use crate::talk::{SLACK, Talk};

/// The bound within which a host ends after a signal.
const STOPPED: Duration = Duration::from_secs(1);
/// The last line of the runner's report.
const PASSED: &str = "passed: 10 events as expected, 67108864 bytes came back unchanged";

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn the_runner_passes_and_its_exit_code_is_the_commands() {
    let project = Project::new(None);
    let began = std::time::Instant::now();
    let up = output(&mut project.compose(&["up", "--exit-code-from", "runner"]));
    println!("up, test, exit: {:.1?}", began.elapsed());
    let said = String::from_utf8_lossy(&up.stdout);
    assert_eq!(up.status.code(), Some(0), "{said}");
    assert!(said.contains(PASSED), "{said}");
    print!("{}", project.logs("runner"));
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn a_playground_that_ends_at_once_and_leaves_nothing() {
    let project = Project::up();
    let from_alpha = |args: &[&str]| {
        let mut running = project.virtnet("alpha", args);
        running.close_stdin();
        running.end().success()
    };
    let hosts = from_alpha(&["hosts"]);
    let names: Vec<_> = hosts
        .lines()
        .map(|line| &line[..line.find('\t').unwrap()])
        .collect();
    assert_eq!(names, ["α", "β", "γ"], "{hosts}");

    // As a user types it, but without a terminal.
    let exec = ["exec", "-T", "alpha", "virtnet", "wait", "β"];
    project.run(&exec);
    // As in `docker-compose exec alpha virtnet dial β:1`: VIRTNET_HOST sets the name.
    let ended = |dialed: crate::support::Running| -> Ended {
        let mut dialed = dialed;
        dialed.write("hello\n");
        dialed.close_stdin();
        dialed.end()
    };
    let hello = ended(project.virtnet("alpha", &["dial", "β:1"]));
    assert_eq!(hello.stderr, ["connected guest-of-α:1->β:2"]);
    assert_eq!(hello.success(), "hello\n");

    for service in ["redis", "alpha", "beta", "gamma"] {
        let health = ["inspect", "-f", "{{.State.Health.Status}}"];
        until("healthy", || {
            project.inflict(&health, service).trim() == "healthy"
        });
        assert_eq!(
            project.inflict(&["port"], service),
            "",
            "{service} is published"
        );
    }

    // After a signal all free their names, well before Docker would kill them.
    let _talk = Talk::open(&project, "gamma", "x", "α:1");
    for service in ["alpha", "beta"] {
        let began = std::time::Instant::now();
        project.inflict(&["stop", "-t", "10"], service);
        let took = began.elapsed();
        println!("{service} stopped: {took:.2?} of {STOPPED:?}");
        assert!(took < STOPPED + SLACK, "{took:?}");
        let code = project.inflict(&["inspect", "-f", "{{.State.ExitCode}}"], service);
        assert_eq!(
            code.trim(),
            "143",
            "{service} was killed: {}",
            project.logs(service)
        );
    }
    let mut left = project.virtnet("gamma", &["hosts"]);
    left.close_stdin();
    let left = left.end().success();
    assert!(!left.contains('α') && !left.contains('β'), "{left}");
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn the_runner_fails_when_an_address_is_another_one() {
    let project = Project::up();
    let _talk = Talk::open(&project, "beta", "x", "α:1");
    let ran = output(&mut project.compose(&["run", "-T", "--no-deps", "runner"]));
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("UNEXPECTED   runner:1 -> α:3\n"), "{said}");
    assert!(said.contains("instead of runner:1 -> α:2\n"), "{said}");
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn images_are_small_and_without_root() {
    for image in ["virtnet", "virtnet-runner"] {
        let inspect = |what| stdout(&mut docker(&["image", "inspect", "-f", what, image]));
        let size: u64 = inspect("{{.Size}}").trim().parse().unwrap();
        println!("image {image}: {:.1} MB", size as f64 / 1e6);
        // What it was when this was written, and a little: 13.4 and 9.8 MB.
        assert!(size < 14_000_000, "{size}");
        assert_eq!(inspect("{{.Config.User}}").trim(), "65532:65532");
    }
}

/// The files in the shared folder: mode, owner, size and path, as tar lists them.
fn shared(project: &Project) -> (String, String) {
    let from = format!("{}:/run/virtnet", project.container("alpha"));
    let tar = |args: &str| {
        let copy = format!("docker cp {from} - | tar {args}");
        stdout(std::process::Command::new("sh").args(["-c", &copy]))
    };
    (tar("-tv --numeric-owner"), tar("-xO virtnet/secret"))
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn the_secret_is_made_once_and_for_its_owners_eyes() {
    let (one, other) = (Project::up(), Project::up());
    let ((listed, secret), (_, another)) = (shared(&one), shared(&other));
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("drwx------ 65532/65532"), "{listed}");
    assert!(lines[1].starts_with("-rw------- 65532/65532"), "{listed}");
    assert_eq!(secret.trim().len(), 64);
    assert_ne!(secret, another);
}

/// A network without other hosts.
const ALONE: &str = "services: {runner: {environment: {VIRTNET_NETWORK: alone}}}";

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn a_failure_is_the_commands_exit_code() {
    let project = Project::new(Some(ALONE));
    let up = output(&mut project.compose(&["up", "--exit-code-from", "runner"]));
    assert_eq!(up.status.code(), Some(1), "{up:?}");
    let said = project.logs("runner");
    assert!(said.contains("there was no \"α\", \"β\", \"γ\""), "{said}");
}
