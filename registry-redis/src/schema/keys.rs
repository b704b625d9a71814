//! Keys: how the names of a network and of a host become a Redis key, and back; and the keys of
//! documents and of the live trace.
//!
//! Owns the key schema: `virtnet:{<network>}:<hostname>`, one key per host;
//! `virtnet:{<network>}::hosts`, the network's index; `virtnet:{<network>}::document:<key>`, one
//! key per document, and for each topic its index, `virtnet:{<network>}::documents:<topic>`, and
//! its change number, `virtnet:{<network>}::changes:<topic>`; and `virtnet:{<network>}::trace`, the
//! live trace. Never talks to Redis, and does not know the values.
//!
//! In the names of networks and hosts these characters are percent-encoded:
//!
//! - `{`, `}`, `:` and `%`, which would change how the key is parsed. The part in
//!   the first pair of braces decides the slot of a Redis Cluster; a name must
//!   not be able to move its network's keys to another one;
//! - `*`, `?`, `[`, `]` and `\`, which would make the prefix a pattern, in `SCAN` and
//!   in the key patterns of an ACL;
//! - whitespace and control characters, which cannot be seen or typed.
//!
//! All other characters stay as they are, so that `redis-cli --raw` shows `α`.

use percent_encoding::{percent_decode, percent_encode_byte};

/// What is between the network and the topic in the key of a change number. No host's key has it:
/// encoded names contain no colon.
const CHANGES: &str = "}::changes:";

/// What is behind the network in the key of the live trace.
const TRACE: &str = "}::trace";

/// The keys of one network.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(network: &str) -> Keys {
        let prefix = format!("virtnet:{{{}}}:", encode(network));
        Keys { prefix }
    }

    /// The key of a host.
    pub(crate) fn host(&self, hostname: &str) -> String {
        format!("{}{}", self.prefix, encode(hostname))
    }

    /// A key that no host can have, because no name is empty. It serves to test rights.
    pub(crate) fn probe(&self) -> &str {
        &self.prefix
    }

    /// The network's name, as it is in the keys.
    pub(crate) fn network(&self) -> &str {
        let name = self.prefix.strip_prefix("virtnet:{");
        let name = name.and_then(|name| name.strip_suffix("}:"));
        name.unwrap_or(&self.prefix)
    }

    /// The key of the network's index. No host has it: encoded names contain no colon.
    pub(crate) fn index(&self) -> String {
        format!("{}:hosts", self.prefix)
    }

    /// The key of a document. Neither its own key nor its topic has a character that is encoded.
    pub(crate) fn document(&self, key: &str) -> String {
        format!("{}:document:{key}", self.prefix)
    }

    /// The key of a topic's index.
    pub(crate) fn documents(&self, topic: &str) -> String {
        format!("{}:documents:{topic}", self.prefix)
    }

    /// The key of a topic's change number.
    pub(crate) fn changes(&self, topic: &str) -> String {
        format!("{}:changes:{topic}", self.prefix)
    }

    /// The key of the live trace.
    pub(crate) fn trace(&self) -> String {
        format!("{}:trace", self.prefix)
    }

    /// The member of the index for a host.
    pub(crate) fn member(&self, hostname: &str) -> String {
        encode(hostname)
    }

    /// The host of a member of the index, if the member is valid.
    pub(crate) fn hostname(&self, member: &[u8]) -> Option<String> {
        let hostname = percent_decode(member).decode_utf8().ok()?.into_owned();
        // A host has one key: other encodings of its name, and malformed ones, are not ours.
        let is_ours = !hostname.is_empty() && encode(&hostname).as_bytes() == member;
        is_ours.then_some(hostname)
    }
}

/// Whether a key is that of a change number, of whichever network.
pub(crate) fn is_changes(key: &[u8]) -> bool {
    let mut parts = key.windows(CHANGES.len());
    parts.any(|part| part == CHANGES.as_bytes())
}

/// Whether a key is that of a live trace, of whichever network.
pub(crate) fn is_trace(key: &[u8]) -> bool {
    key.ends_with(TRACE.as_bytes())
}

fn is_special(c: char) -> bool {
    c.is_whitespace() || c.is_control() || r"{}:%*?[]\".contains(c)
}

fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for c in name.chars() {
        if is_special(c) {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            encoded.extend(bytes.map(percent_encode_byte));
        } else {
            encoded.push(c);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_key_reads_like_its_names() {
        let keys = Keys::new("quicα");
        assert_eq!(keys.host("β-1.example"), "virtnet:{quicα}:β-1.example");
        assert_eq!(keys.probe(), "virtnet:{quicα}:");
        assert_eq!(keys.index(), "virtnet:{quicα}::hosts");
        assert_eq!(keys.network(), "quicα");
        assert_eq!(keys.document("t/a"), "virtnet:{quicα}::document:t/a");
        assert_eq!(keys.documents("t"), "virtnet:{quicα}::documents:t");
        assert_eq!(keys.changes("t"), "virtnet:{quicα}::changes:t");
        assert_eq!(keys.trace(), "virtnet:{quicα}::trace");
    }

    #[test]
    fn what_could_mean_something_else_is_encoded() {
        let keys = Keys::new("a}b{c");
        assert_eq!(keys.host("x:y"), "virtnet:{a%7Db%7Bc}:x%3Ay");
        assert_eq!(keys.host("100%"), "virtnet:{a%7Db%7Bc}:100%25");
        assert_eq!(
            keys.host("a b\n\u{a0}"),
            "virtnet:{a%7Db%7Bc}:a%20b%0A%C2%A0"
        );
        assert_eq!(Keys::new(r"*?[]\").probe(), "virtnet:{%2A%3F%5B%5D%5C}:");
    }

    /// All strings of up to four characters of an alphabet that holds every
    /// special character's kind, the encoding's own digits, and plain ones.
    fn names() -> Vec<String> {
        let alphabet = [
            "{", "}", "%", ":", "*", "\\", " ", "\u{85}", "2", "5", "A", "α",
        ];
        let mut names = vec![String::new()];
        let mut last = names.clone();
        for _ in 0..4 {
            let longer = |name: &String| alphabet.map(|c| format!("{name}{c}"));
            last = last.iter().flat_map(longer).collect();
            names.extend_from_slice(&last);
        }
        names
    }

    #[test]
    fn the_encoding_is_injective_and_comes_back() {
        let keys = Keys::new("n");
        let mut seen = HashMap::new();
        for name in names() {
            let key = keys.host(&name);
            assert_eq!(
                keys.hostname(keys.member(&name).as_bytes()),
                Some(name.clone()).filter(|name| !name.is_empty()),
                "{key}"
            );
            if let Some(other) = seen.insert(key, name.clone()) {
                panic!("{name:?} and {other:?} have the same key");
            }
        }
    }

    #[test]
    fn network_and_host_cannot_be_confused() {
        let names: Vec<_> = names()
            .into_iter()
            .filter(|n| n.chars().count() < 3)
            .collect();
        let mut seen = HashMap::new();
        for network in names.iter().filter(|n| !n.is_empty()) {
            let keys = Keys::new(network);
            for host in &names {
                let key = keys.host(host);
                assert_eq!(slot_part(&key), encode(network), "{key}");
                if let Some(other) = seen.insert(key, (network, host)) {
                    panic!("{network:?} {host:?} and {other:?} have the same key");
                }
            }
        }
    }

    /// What a Redis Cluster hashes: between the first `{` and the next `}`.
    fn slot_part(key: &str) -> &str {
        let (_, rest) = key.split_once('{').unwrap();
        rest.split_once('}').unwrap().0
    }

    #[test]
    fn foreign_members_are_no_hosts() {
        let keys = Keys::new("n");
        // Not an encoding, or not as this code writes them: a raw space or
        // colon, lower-case digits, a character that needs no encoding, bytes
        // that are no UTF-8.
        for member in ["", "%", "%4", "%zz", "a b", ":hosts", "%3a", "%41", "%FF"] {
            assert_eq!(keys.hostname(member.as_bytes()), None, "{member}");
        }
        assert_eq!(keys.hostname(b"\xff"), None);
    }

    #[test]
    fn the_index_is_no_hosts_key() {
        let keys = Keys::new("n");
        assert!(names().iter().all(|name| keys.host(name) != keys.index()));
        assert_ne!(keys.host(":hosts"), keys.index());
    }

    #[test]
    fn documents_are_no_hosts() {
        let keys = Keys::new("n");
        let ours = ["hosts", "hosts/hosts", "document", "t/-"].map(|key| {
            let topic = virtnet_core::document_topic(key);
            [
                keys.document(key),
                keys.documents(topic),
                keys.changes(topic),
            ]
        });
        let ours = ours.as_flattened();
        for key in ours {
            assert_ne!(*key, keys.index());
            assert!(
                key.starts_with(keys.probe()) && slot_part(key) == "n",
                "{key}"
            );
            assert_eq!(is_changes(key.as_bytes()), key.contains("changes"), "{key}");
            let name = key.strip_prefix(keys.probe()).unwrap();
            assert_eq!(keys.hostname(name.as_bytes()), None, "{key}");
            assert_ne!(keys.host(name), *key);
        }
        let trace = keys.trace();
        assert!(is_trace(trace.as_bytes()) && !is_changes(trace.as_bytes()));
        assert!(trace != keys.index() && slot_part(&trace) == "n");
        let others = ["trace", ":trace", "}::trace"].map(|name| {
            let document = keys.document("trace");
            [keys.host(name), keys.changes("trace"), document]
        });
        let mut others = others.as_flattened().iter();
        assert!(!others.any(|key| is_trace(key.as_bytes())));
        for network in ["}::changes:", "n"] {
            let keys = Keys::new(network);
            for host in ["}::changes:t", ":changes:t", "x"] {
                assert!(!is_changes(keys.host(host).as_bytes()), "{network} {host}");
            }
            assert!(is_changes(keys.changes("t").as_bytes()));
        }
    }
}
