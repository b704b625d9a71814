//! Connections between containers, seen from outside: whether they are open, how they end,
//! and the results of dials.
//!
//! Owns the helpers for that. Never causes a fault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::docker::Project;
use crate::support::{Running, start};

/// Added to virtnet's bounds: the time to start a process in a container on a busy
/// machine.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// A connection to a host that echoes, open until it is cut or dropped.
pub(crate) struct Talk(Running);

impl Talk {
    /// Dials from a container as `guest`, and checks the connection.
    pub(crate) fn open(project: &Project, service: &str, guest: &str, to: &str) -> Talk {
        let dial = ["dial", "--from", guest, to, "--within", "20"];
        Talk::over(project.virtnet(service, &dial))
    }

    /// A dial that was started elsewhere; checks the connection.
    pub(crate) fn over(dialed: Running) -> Talk {
        let mut talk = Talk(dialed);
        talk.goes_on();
        talk
    }

    /// Sends a line, and waits until it comes back.
    pub(crate) fn goes_on(&mut self) {
        self.asks("are you there?");
        self.hears("are you there?");
    }

    /// Sends a line.
    pub(crate) fn asks(&mut self, line: &str) {
        self.0.write(format!("{line}\n"));
    }

    /// Waits until this line comes back, as the next one.
    pub(crate) fn hears(&mut self, line: &str) {
        self.0.expect_stdout(format!("{line}\n"));
    }

    /// Waits until it fails, and returns the time since the fault and the reason. Panics if
    /// it ends cleanly.
    #[track_caller]
    pub(crate) fn cut(self, fault: Instant) -> (Duration, String) {
        let why = self.0.end().failure_after_warnings();
        (fault.elapsed(), why)
    }

    /// Half-closes it, and waits until the echo has ended as well.
    pub(crate) fn end(mut self) {
        self.0.close_stdin();
        assert_eq!(self.0.end().success(), "");
    }
}

/// Dials from a container; returns how long it took, and both addresses or the reason.
pub(crate) fn dial(
    project: &Project,
    service: &str,
    guest: &str,
    to: &str,
) -> (Duration, Result<String, String>) {
    let began = Instant::now();
    let mut dialed = project.virtnet(service, &["dial", "--from", guest, to]);
    dialed.close_stdin();
    let ended = dialed.end();
    let took = began.elapsed();
    if ended.code == Some(0) {
        return (took, Ok(ended.stderr.join("\n")));
    }
    (took, Err(ended.failure_after_warnings()))
}

/// A load that runs until [`Load::stop`], and its output.
pub(crate) struct Load {
    container: String,
    running: Running,
}

impl Load {
    /// Starts it, and waits until it has reached all hosts.
    pub(crate) fn start(project: &Project) -> Load {
        let name = format!("{}-load", project.name());
        let run = ["run", "-T", "--no-deps", "--name", &name, "runner", "load"];
        let mut load = Load {
            container: name.clone(),
            running: start(&mut project.compose(&run)),
        };
        load.wait_for(&["α same", "β same", "γ same"]);
        load
    }

    /// Waits until it has printed all of these lines, in any order; returns how long that
    /// took.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, lines: &[&str]) -> Duration {
        let began = Instant::now();
        self.running.wait_for_stdout(lines);
        began.elapsed()
    }

    /// Ends it, and returns its counts: each outcome, how often it happened, and the longest
    /// time that it took. Panics if an answer was wrong or missing.
    pub(crate) fn stop(self) -> BTreeMap<String, (u64, Duration)> {
        let kill = ["kill", "-s", "TERM", &self.container];
        crate::docker::stdout(&mut crate::docker::docker(&kill));
        let said = self.running.end().success();
        let tally = said.lines().filter_map(|line| line.strip_prefix("tally "));
        let tally = tally.map(|line| {
            println!("load: {line}");
            let (count, rest) = line.split_once(' ').expect("a count comes first");
            let (what, longest) = rest.rsplit_once(", at most ").expect("a time comes last");
            let longest = longest.strip_suffix(" ms").expect("in milliseconds");
            let longest = Duration::from_millis(longest.parse().expect("it is a number"));
            (
                what.to_owned(),
                (count.parse().expect("it is a number"), longest),
            )
        });
        tally.collect()
    }
}
