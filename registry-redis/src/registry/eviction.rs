//! Eviction: whether the server may drop names to make room.
//!
//! Owns how a server's policy is read, and what is said about it. Never fails:
//! a user who may not ask gets no answer.

use redis::Value;
use tokio::time::Instant;

use crate::connection::Connection;

/// What people should know about the server's policy, if it is not harmless.
pub(crate) async fn warning(connection: &Connection, until: Instant) -> Option<String> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let answer = connection.ask(until, info).await.ok()?;
    let mut text = String::new();
    collect(&answer, &mut text);
    about(&text)
}

/// The texts of an answer; a cluster's nodes each give one.
fn collect(answer: &Value, text: &mut String) {
    match answer {
        Value::BulkString(bytes) => *text += &String::from_utf8_lossy(bytes),
        Value::VerbatimString { text: more, .. } | Value::SimpleString(more) => *text += more,
        Value::Array(values) => values.iter().for_each(|value| collect(value, text)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| collect(value, text)),
        _ => {}
    }
    *text += "\n";
}

fn about(info: &str) -> Option<String> {
    let mut policies = info.lines().filter_map(|line| {
        let policy = line.strip_prefix("maxmemory_policy:")?.trim();
        (policy != "noeviction").then_some(policy)
    });
    let policy = policies.next()?;
    Some(format!(
        "the server's maxmemory-policy is {policy}: when its memory is full it drops names of \
         hosts that are there; it should be noeviction"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_but_one_is_warned_of() {
        let info = |policy| format!("# Cache\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(about(&info("noeviction")), None);
        assert_eq!(about("# Cache\r\n"), None);
        for policy in ["volatile-lru", "allkeys-lfu", "volatile-ttl"] {
            assert!(about(&info(policy)).unwrap().contains(policy));
        }
        let nodes = info("noeviction") + "\n" + &info("allkeys-random");
        assert!(about(&nodes).unwrap().contains("allkeys-random"));
    }
}
