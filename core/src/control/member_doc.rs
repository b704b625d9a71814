//! The document in which a member, one subnetwork, says what it enforces.
//!
//! Owns its text, in one or more parts. Never reads or writes a document.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::addr::name::clipped;

/// The topic of all members' documents.
pub(crate) const TOPIC: &str = "member";

const HEAD: &str = "virtnet member, form 1";

/// How many hosts one document has. A member with more has more documents, so that one more host does not
/// write all names again.
pub(crate) const HOSTS: usize = 64;

/// What a member says about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MemberDoc {
    pub(crate) id: String,
    pub(crate) hosts: Vec<String>,
    /// The version of the plan that it enforces.
    pub(crate) version: u64,
    /// Up to this version, all healed pairs of its hosts have answered.
    pub(crate) recovered: u64,
    /// Healed pairs that have not answered yet, or only some of them.
    pub(crate) silent: Vec<(String, String)>,
    /// The parts of the plan that it cannot enforce, and why.
    pub(crate) refused: Vec<(String, String)>,
    /// The last request for counts that it has seen.
    pub(crate) asked: String,
    pub(crate) counts: Vec<Count>,
    /// The parts that were healed last, with the places of the rules that matched something here.
    pub(crate) gone: Vec<(String, Vec<usize>)>,
}

/// What one rule has done at one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) part: String,
    pub(crate) place: usize,
    pub(crate) matched: u64,
    pub(crate) hit: u64,
}

/// The key of a member's document number `chunk`, from 0.
pub(crate) fn key(id: &str, chunk: usize) -> String {
    format!("{TOPIC}/{id}-{chunk}")
}

/// The text of all documents but the first: hosts only.
pub(crate) fn hosts_text<'a>(hosts: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = format!("{HEAD}\n");
    for host in hosts {
        text.extend(["host ", host, "\n"]);
    }
    text
}

impl MemberDoc {
    /// The text of the first document, with its share of the hosts.
    pub(crate) fn text(&self) -> String {
        let mut text = hosts_text(self.hosts.iter().map(String::as_str));
        // Writing to a string does not fail.
        let _ = self.write_state(&mut text);
        text
    }

    fn write_state(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "version {}", self.version)?;
        writeln!(text, "recovered {}", self.recovered)?;
        for (from, to) in &self.silent {
            // Names have no control characters.
            writeln!(text, "silent {from}\t{to}")?;
        }
        for (part, why) in &self.refused {
            let why = why.replace(char::is_control, " ");
            writeln!(text, "refused {part} {why}")?;
        }
        if !self.asked.is_empty() {
            writeln!(text, "asked {}", self.asked)?;
        }
        for count in &self.counts {
            let Count {
                part,
                place,
                matched,
                hit,
            } = count;
            writeln!(text, "count {part} {place} {matched} {hit}")?;
        }
        for (part, places) in &self.gone {
            let places: Vec<_> = places.iter().map(ToString::to_string).collect();
            writeln!(text, "gone {part} {}", places.join(","))?;
        }
        Ok(())
    }

    /// Reads one document of the member into `self`; `false` if a line is not understood.
    fn read(&mut self, text: &str) -> bool {
        let mut lines = text.lines();
        lines.next() == Some(HEAD) && lines.all(|line| self.read_line(line).is_some())
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "host" => self.hosts.push(rest.to_owned()),
            "version" => self.version = rest.parse().ok()?,
            "recovered" => self.recovered = rest.parse().ok()?,
            "silent" => self.silent.push(pair(rest, '\t')?),
            "refused" => self.refused.push(pair(rest, ' ')?),
            "asked" => rest.clone_into(&mut self.asked),
            "count" => self.counts.push(count(rest)?),
            "gone" => {
                let (part, places) = pair(rest, ' ')?;
                let places = places.split(',').filter(|place| !place.is_empty());
                let places = places.map(str::parse).collect::<Result<_, _>>().ok()?;
                self.gone.push((part, places));
            }
            _ => return None,
        }
        Some(())
    }
}

fn pair(text: &str, between: char) -> Option<(String, String)> {
    let (one, other) = text.split_once(between)?;
    Some((one.to_owned(), other.to_owned()))
}

fn count(text: &str) -> Option<Count> {
    let words: Vec<_> = text.split(' ').collect();
    let [part, place, matched, hit] = words[..] else {
        return None;
    };
    Some(Count {
        part: part.to_owned(),
        place: place.parse().ok()?,
        matched: matched.parse().ok()?,
        hit: hit.parse().ok()?,
    })
}

/// A member's state from its first document; its hosts are those of that document only.
pub(crate) fn state(id: &str, text: &str) -> MemberDoc {
    let mut members = members(vec![(key(id, 0), text.to_owned())]);
    members.pop().unwrap_or_default()
}

/// The members that have written `documents`, all documents of [`TOPIC`].
///
/// A document that cannot be read belongs to a member whose version is 0: it has acknowledged nothing.
pub(crate) fn members(documents: Vec<(String, String)>) -> Vec<MemberDoc> {
    let mut members: BTreeMap<String, MemberDoc> = BTreeMap::new();
    for (key, text) in documents {
        let name = key.split_once('/').map_or("", |(_, name)| name);
        let id = name.rsplit_once('-').map_or(name, |(id, _)| id);
        let member = members.entry(id.to_owned()).or_default();
        id.clone_into(&mut member.id);
        if !member.read(&text) {
            tracing::warn!(
                key,
                text = clipped(&text),
                "cannot read a member's document"
            );
            member.version = 0;
        }
    }
    members.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> MemberDoc {
        MemberDoc {
            id: "0f".to_owned(),
            hosts: vec!["α".to_owned(), "a b".to_owned()],
            version: 12,
            recovered: 11,
            silent: vec![("α".to_owned(), "γ δ".to_owned())],
            refused: vec![("1e".to_owned(), "no datagrams".to_owned())],
            asked: "ab".to_owned(),
            counts: vec![Count {
                part: "2d".to_owned(),
                place: 3,
                matched: 5,
                hit: 4,
            }],
            gone: vec![("3c".to_owned(), vec![0, 2]), ("4b".to_owned(), Vec::new())],
        }
    }

    #[test]
    fn a_member_is_read_back_from_its_documents() {
        let first = full();
        let text = "virtnet member, form 1\nhost α\nhost a b\nversion 12\nrecovered 11\n\
                    silent α\tγ δ\nrefused 1e no datagrams\nasked ab\ncount 2d 3 5 4\n\
                    gone 3c 0,2\ngone 4b \n";
        assert_eq!(first.text(), text);
        let documents = vec![
            (key("0f", 0), first.text()),
            (key("0f", 1), hosts_text(["ω"])),
            (key("1f", 0), MemberDoc::default().text()),
        ];
        let mut expected = first;
        expected.hosts.push("ω".to_owned());
        let other = MemberDoc {
            id: "1f".to_owned(),
            ..MemberDoc::default()
        };
        assert_eq!(members(documents), [expected, other]);
    }

    #[test]
    fn a_member_that_cannot_be_read_has_acknowledged_nothing() {
        for broken in [
            "",
            "virtnet member, form 2\n",
            "virtnet member, form 1\nx y\n",
        ] {
            let text = format!("{broken}version 7\n");
            let read = members(vec![(key("0f", 0), text)]);
            assert_eq!((read.len(), read[0].version), (1, 0), "{broken}");
        }
    }
}
