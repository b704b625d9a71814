//! The check: is every write there that was acknowledged?
//!
//! Owns the question, asked of the leader and then of every node by itself, and
//! the report. Never writes.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};
use crate::load::value_of;

/// How long a node may take to apply what the leader had applied when asked.
const CATCH_UP: Duration = Duration::from_secs(20);

/// The pause between two looks at how far a node is.
const LOOK: Duration = Duration::from_millis(100);

/// How many keys a report names, of those that are not as they should be.
const SHOWN: usize = 5;

/// What a check has found.
#[derive(Debug)]
pub struct Report {
    keys: usize,
    /// By linearizable reads, then on each node.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    place: String,
    found: usize,
    lost: Vec<String>,
    /// Keys with another value than the one written.
    wrong: Vec<String>,
    /// Why this place could not be looked at, or not to the end.
    failed: Option<String>,
}

impl Report {
    /// Whether every key is everywhere, and there is one at all.
    pub fn is_good(&self) -> bool {
        self.keys > 0 && self.parts.iter().all(|part| part.found == self.keys)
    }
}

/// Looks for all keys, with the values that belong to them.
pub async fn check(client: &mut Client, keys: &BTreeSet<String>) -> Report {
    let mut part = Part::new("linearizable reads");
    for key in keys {
        let got = client.get(key).await;
        if part.add(key, got).is_break() {
            break;
        }
    }
    let upto = applied(client).await;
    let mut parts = vec![part];
    for node in client.names() {
        let mut part = Part::new(&format!("applied by {node}"));
        part.failed = catch_up(client, &node, upto).await.err();
        for key in keys {
            if part.failed.is_some() {
                break;
            }
            let got = client.local_get(&node, key).await;
            if part.add(key, got).is_break() {
                break;
            }
        }
        parts.push(part);
    }
    let keys = keys.len();
    Report { keys, parts }
}

/// How far the furthest node has applied the log.
async fn applied(client: &Client) -> Option<u64> {
    let mut furthest = None;
    for node in client.names() {
        let status = client.status(&node).await;
        furthest = furthest.max(status.ok().and_then(|status| status.applied));
    }
    furthest
}

/// Waits until `node` has applied the log up to there.
async fn catch_up(client: &Client, node: &str, upto: Option<u64>) -> Result<(), String> {
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let why = match client.status(node).await {
            Ok(status) if status.applied >= upto => return Ok(()),
            Ok(status) => format!("still behind after {CATCH_UP:?}: {status}"),
            Err(err) => err.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(why);
        }
        sleep(LOOK).await;
    }
}

impl Part {
    fn new(place: &str) -> Part {
        Part {
            place: place.to_owned(),
            found: 0,
            lost: Vec::new(),
            wrong: Vec::new(),
            failed: None,
        }
    }

    /// Counts one key; breaks when there is no point in asking for more.
    fn add(
        &mut self,
        key: &str,
        got: Result<Option<String>, ClientError>,
    ) -> std::ops::ControlFlow<()> {
        match got {
            Ok(Some(value)) if value == value_of(key) => self.found += 1,
            Ok(Some(_)) => self.wrong.push(key.to_owned()),
            Ok(None) => self.lost.push(key.to_owned()),
            Err(err) => {
                self.failed = Some(format!("{key}: {err}"));
                return std::ops::ControlFlow::Break(());
            }
        }
        std::ops::ControlFlow::Continue(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} acknowledged writes", self.keys)?;
        for part in &self.parts {
            writeln!(f, "{part}")?;
        }
        f.write_str(match (self.is_good(), self.keys) {
            (true, _) => "good: nothing is lost",
            (false, 0) => "BAD: there was nothing to look for",
            (false, _) => "BAD: not everything is there",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lost, wrong) = (self.lost.len(), self.wrong.len());
        write!(f, "  {:<18}  {} found", self.place, self.found)?;
        write!(f, ", {lost} lost, {wrong} wrong")?;
        for key in self.lost.iter().chain(&self.wrong).take(SHOWN) {
            write!(f, " {key}")?;
        }
        match &self.failed {
            Some(why) => write!(f, "; {why}"),
            None => Ok(()),
        }
    }
}
