//! The child processes: started, commanded and killed.
//!
//! Owns them and their counters, including those of killed ones. Never decides what they
//! do.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::hosts::Hosts;
use crate::judge::Judge;
use crate::wire::{Counts, Figures, Trouble};

/// How long a child may take for a command. The names of a killed process are leased for
/// 15 s, and a hung connection is noticed within a minute.
const BOUND: Duration = Duration::from_secs(120);

/// A process is idle after this many equal measurements.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// The settings of all children.
pub(crate) struct Orders {
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) hosts: Hosts,
    pub(crate) seed: u64,
    pub(crate) sabotage: String,
    pub(crate) judge: Arc<Judge>,
    /// The counters of every child, including ended ones.
    pub(crate) totals: Arc<Mutex<Vec<Counts>>>,
}

/// A child.
pub(crate) struct Kid {
    process: Child,
    stdin: ChildStdin,
    replies: UnboundedReceiver<String>,
    /// Its measurements before it did anything. A replacement is dialed at once, so it
    /// cannot be measured; it inherits those of the process that it replaces.
    pub(crate) fresh: Figures,
    /// Whether the baseline was measured in this process.
    pub(crate) first: bool,
}

impl Kid {
    /// Starts the process with this number, and waits until its hosts are on the network.
    pub(crate) async fn start(
        number: usize,
        [bind, advertise]: [String; 2],
        orders: &Orders,
        first: bool,
    ) -> Result<Kid, String> {
        let exe = std::env::current_exe().map_err(|err| err.to_string())?;
        let mut process = Command::new(exe)
            .args(["child", &number.to_string(), &orders.hosts.to_string()])
            .arg(orders.seed.to_string())
            .args([&orders.sabotage, &orders.url, &bind, &advertise])
            .env("SOAK_SECRET", &orders.secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| format!("cannot start a child: {err}"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("a child has no pipes".to_owned());
        };
        let (tell, replies) = unbounded_channel();
        let (judge, totals) = (Arc::clone(&orders.judge), Arc::clone(&orders.totals));
        tokio::spawn(listen(stdout, tell, judge, totals));
        let mut kid = Kid {
            process,
            stdin,
            replies,
            fresh: Figures::default(),
            first,
        };
        let fresh = kid.reply().await?;
        kid.fresh = Figures::parse(&fresh).ok_or(fresh)?;
        Ok(kid)
    }

    async fn reply(&mut self) -> Result<String, String> {
        match timeout(BOUND, self.replies.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(format!(
                "a child has ended: {:?}",
                self.process.wait().await
            )),
            Err(_) => Err(format!("a child has not answered within {BOUND:?}")),
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), String> {
        let line = format!("{line}\n");
        let said = self.stdin.write_all(line.as_bytes()).await;
        said.map_err(|err| format!("cannot write to a child: {err}"))
    }

    /// Sends it a command; returns its replies when the command is done.
    pub(crate) async fn ask(&mut self, line: &str) -> Result<Vec<String>, String> {
        self.say(line).await?;
        let (mut replies, done) = (Vec::new(), format!("done {line}"));
        loop {
            match self.reply().await? {
                reply if reply == done => return Ok(replies),
                reply => replies.push(reply),
            }
        }
    }

    pub(crate) async fn figures(&mut self) -> Result<Figures, String> {
        let replies = self.ask("figures").await?;
        let figures = replies.iter().find_map(|line| Figures::parse(line));
        figures.ok_or_else(|| format!("expected measurements from a child, got {replies:?}"))
    }

    /// Waits until it is idle: some initial tasks end soon.
    pub(crate) async fn rest(&mut self) -> Result<(), String> {
        let mut same = 0;
        while same < LOOKS {
            sleep(LOOK).await;
            let now = self.figures().await?;
            let counted = |it: &Figures| (it.tasks, it.sockets, it.descriptors);
            same = match counted(&now) == counted(&self.fresh) {
                true => same + 1,
                false => 0,
            };
            self.fresh = now;
        }
        Ok(())
    }

    /// Tells it to close everything and end.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        self.say("end").await?;
        let ended = timeout(BOUND, self.process.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => Err(format!(
                "expected a child to end with success, got {ended:?}"
            )),
        }
    }

    /// Stops or continues it, by signal: `STOP`, `CONT`.
    pub(crate) async fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.process.id().ok_or("a child has ended")?.to_string();
        let name = format!("-{name}");
        match Command::new("kill").args([&name, &pid]).status().await {
            Ok(status) if status.success() => Ok(()),
            sent => Err(format!("cannot send {name}: {sent:?}")),
        }
    }

    /// Kills it, like a crash.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        self.process.kill().await.map_err(|err| err.to_string())
    }
}

/// Reads a child's output.
async fn listen(
    stdout: ChildStdout,
    tell: UnboundedSender<String>,
    judge: Arc<Judge>,
    totals: Arc<Mutex<Vec<Counts>>>,
) {
    let change = |change: &mut dyn FnMut(&mut Vec<Counts>)| {
        change(&mut totals.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let mut own = 0;
    change(&mut |totals| {
        own = totals.len();
        totals.push(Counts::default());
    });
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(counts) = Counts::parse(&line) {
            change(&mut |totals| totals[own] = counts);
        } else if let Some(trouble) = Trouble::parse(&line) {
            judge.hears(&trouble);
        } else {
            // The caller may have timed out.
            let _ = tell.send(line);
        }
    }
}
