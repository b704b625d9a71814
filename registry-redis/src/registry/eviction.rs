//! Eviction: whether the server may delete names when its memory is full.
//!
//! Owns how a server's policy is read, and the warning about it. Never fails: without the
//! right to ask, there is no warning.

use redis::Value;
use tokio::time::Instant;

use crate::connection::Connection;

/// The warning for users, if the server's policy may delete names.
pub(crate) async fn warning(connection: &Connection, until: Instant) -> Option<String> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let Ok(answer) = connection.ask(until, info).await else {
        // fakeredis closes the connection after a command that it does not know. The next call
        // would notice that, and could not tell whether it was run.
        connection.disconnect();
        return None;
    };
    let mut text = String::new();
    collect(&answer, &mut text);
    about(&text)
}

/// The texts of a reply; in a cluster, one per node.
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
        "the server's maxmemory-policy should be noeviction, got {policy}: when its memory is \
         full, it deletes names of running hosts"
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
