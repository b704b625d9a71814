//! The load: writes k1, k2, … all the time, and keeps a record of it.
//!
//! Owns which value belongs to a key, and the lines of the record. Never writes
//! a line before the write is acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use crate::client::Client;

/// The pause after each write, so that a minute of load is some thousand keys
/// that can be checked one by one.
pub const PAUSE: Duration = Duration::from_millis(10);

/// What has come of a load.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    pub acknowledged: u64,
    pub failed: u64,
}

/// The value that belongs to a key. The same whenever it is written, so writing
/// it again does no harm.
pub fn value_of(key: &str) -> String {
    format!("value of {key}")
}

/// Writes until the future is dropped. `tally` always has the current numbers.
pub async fn run(
    client: &mut Client,
    tally: &mut Tally,
    mut acked: impl FnMut(&str),
    mut failed: impl FnMut(&str),
) {
    for number in 1u64.. {
        let key = format!("k{number}");
        match client.put(&key, &value_of(&key)).await {
            Ok(node) => {
                tally.acknowledged += 1;
                acked(&record(&key, &node));
            }
            Err(err) => {
                tally.failed += 1;
                failed(&format!("failed {key}: {err}"));
            }
        }
        sleep(PAUSE).await;
    }
}

/// The line that says that `node` has acknowledged the write of `key`.
fn record(key: &str, node: &str) -> String {
    format!("acked {key} by {node}")
}

/// The keys that a record says were acknowledged, or the first line that is none
/// of a record.
pub fn acknowledged(record: &str) -> Result<BTreeSet<String>, String> {
    let key = |line: &str| {
        let rest = line.strip_prefix("acked ")?;
        let (key, _) = rest.split_once(" by ")?;
        Some(key.to_owned())
    };
    let lines = record.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| key(line).ok_or(line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_is_written() {
        let text = [record("k1", "α"), record("k2", "β"), String::new()].join("\n");
        let keys = acknowledged(&text).unwrap();
        assert_eq!(keys, ["k1", "k2"].map(str::to_owned).into());
        let err = acknowledged("acked k1 by α\nsomething else\n");
        assert_eq!(err.unwrap_err(), "something else");
    }
}
