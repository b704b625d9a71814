//! The children: processes that are started, talked to, and killed.
//!
//! Owns them and what they have counted, the killed ones' too. Never says what
//! they are to do.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::judge::Judge;
use crate::wire::{Counts, Figures, Trouble};

/// How long a child may take for what it was told. Names of who was killed are
/// leased for 15 s, and a connection may take a minute to be found hung.
const BOUND: Duration = Duration::from_secs(120);

/// Who has the same for so many looks is at rest.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// What all children need to know.
pub(crate) struct Orders {
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) seed: u64,
    pub(crate) sabotage: String,
    pub(crate) judge: Arc<Judge>,
    /// What each that ever was has counted.
    pub(crate) totals: Arc<Mutex<Vec<Counts>>>,
}

/// A child.
pub(crate) struct Kid {
    process: Child,
    stdin: ChildStdin,
    replies: UnboundedReceiver<String>,
    /// What it had before it did anything. Who takes another's place can't be asked, as
    /// it is dialed at once: it must have as much as that one.
    pub(crate) fresh: Figures,
    /// Whether it is the one that the baseline was taken of.
    pub(crate) first: bool,
}

impl Kid {
    /// Starts the process with that number, and waits until its hosts are there.
    pub(crate) async fn start(
        number: usize,
        [bind, advertise]: [String; 2],
        orders: &Orders,
        first: bool,
    ) -> Result<Kid, String> {
        let exe = std::env::current_exe().map_err(|err| err.to_string())?;
        let mut process = Command::new(exe)
            .args(["child", &number.to_string(), &orders.seed.to_string()])
            .args([&orders.sabotage, &orders.url, &bind, &advertise])
            .env("SOAK_SECRET", &orders.secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| format!("cannot start a child: {err}"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("a child without pipes".to_owned());
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
            Ok(None) => Err(format!("a child is gone: {:?}", self.process.wait().await)),
            Err(_) => Err(format!("a child has not answered within {BOUND:?}")),
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), String> {
        let line = format!("{line}\n");
        let said = self.stdin.write_all(line.as_bytes()).await;
        said.map_err(|err| format!("a child does not listen: {err}"))
    }

    /// Has it do something; returns what it says when that is done.
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
        figures.ok_or_else(|| format!("no figures: {replies:?}"))
    }

    /// Waits until it is at rest: some tasks of the beginning end soon.
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

    /// Has it close everything and end.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        self.say("end").await?;
        let ended = timeout(BOUND, self.process.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => Err(format!("a child ended badly: {ended:?}")),
        }
    }

    /// Stops it where it is, or lets it go on: `STOP`, `CONT`.
    pub(crate) async fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.process.id().ok_or("a child is gone")?.to_string();
        let name = format!("-{name}");
        match Command::new("kill").args([&name, &pid]).status().await {
            Ok(status) if status.success() => Ok(()),
            sent => Err(format!("cannot send {name}: {sent:?}")),
        }
    }

    /// As a crash would.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        self.process.kill().await.map_err(|err| err.to_string())
    }
}

/// Hears all that a child says.
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
            // Who asked may have given up.
            let _ = tell.send(line);
        }
    }
}
