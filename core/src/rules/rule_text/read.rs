//! Reading the text of a rule.
//!
//! Owns the grammar, and what an error says was expected. Never writes a rule out.

use std::str::FromStr;
use std::time::Duration;

use super::{RuleError, UNITS};
use crate::addr::name::clipped;
use crate::rules::rule::{Chance, Fault, Pattern, Rule, Scope};

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        let rule = Words::new(text).rule();
        let rule = rule.map_err(|problem| RuleError::new(text, problem))?;
        match rule.check() {
            Ok(()) => Ok(rule),
            // As it was given, not as it is written out.
            Err(err) => Err(RuleError::new(text, err.problem)),
        }
    }
}

/// The words of a rule that were not read yet.
struct Words<'a> {
    left: &'a str,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        Words { left: text.trim() }
    }

    fn next(&mut self) -> Option<&'a str> {
        // A quoted name may contain whitespace.
        let end = match self.left.strip_prefix('"').and_then(|rest| rest.find('"')) {
            Some(quote) => self.left[quote + 2..]
                .find(char::is_whitespace)
                .map(|at| at + quote + 2),
            None => self.left.find(char::is_whitespace),
        };
        let (word, left) = self.left.split_at(end.unwrap_or(self.left.len()));
        self.left = left.trim_start();
        (!word.is_empty()).then_some(word)
    }

    fn read<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, String> {
        let word = self.next();
        let value = word.and_then(read);
        value.ok_or_else(|| match word {
            Some(word) => format!("expected {what}, got {:?}", clipped(word)),
            None => format!("expected {what} at the end"),
        })
    }

    fn rule(mut self) -> Result<Rule, String> {
        let word = self.next().unwrap_or_default();
        let fault_word = word;
        match word {
            "pause" => return self.on_programs(Rule::pause),
            "kill" => return self.on_programs(Rule::kill),
            _ => {}
        }
        let (from, from_port) = self.read("the host that sends", read_end)?;
        self.read("\"->\" after the first host", |word| {
            (word == "->").then_some(())
        })?;
        let (to, to_port) = self.read("the host that receives", read_end)?;
        let fault = self.fault(fault_word)?;
        let scope = match (from_port, to_port) {
            (None, None) => Scope::All,
            (Some(from), Some(to)) => Scope::Conn(from, to),
            _ => return Err("expected ports of both ends of a connection, or \"port N\"".into()),
        };
        let mut rule = Rule {
            fault,
            from,
            to,
            scope,
            dials: None,
            after: 0,
            lasting: None,
        };
        while let Some(word) = self.next() {
            match (word, &mut rule) {
                (
                    "jitter",
                    Rule {
                        fault: Fault::Delay { jitter, .. },
                        ..
                    },
                ) => {
                    *jitter = self.read("a time such as 10ms", read_time)?;
                }
                (
                    "tail",
                    Rule {
                        fault: Fault::Delay { tail, .. },
                        ..
                    },
                ) => {
                    let part = self.read("a part such as 1%", read_percent)?;
                    *tail = Some((part, self.read("a time such as 200ms", read_time)?));
                }
                ("port", rule) if rule.scope == Scope::All => {
                    let port = self.read("a port from 1", |word| word.parse().ok())?;
                    rule.scope = Scope::Port(port);
                }
                ("dials", rule) => {
                    rule.dials = Some(self.read("numbers of dials such as 2-3", read_range)?);
                }
                ("after", rule) => {
                    rule.after = self.read("a number of bytes such as 64KiB", read_bytes)?;
                }
                ("for", rule) => {
                    rule.lasting = Some(self.read("a time such as 10s", read_time)?);
                }
                _ => return Err(format!("unexpected {:?}", clipped(word))),
            }
        }
        Ok(rule)
    }

    /// A rule for the programs of hosts.
    fn on_programs(mut self, rule: impl Fn(&str) -> Rule) -> Result<Rule, String> {
        let host = |word| match read_end(word)? {
            (host, None) => Some(host),
            _ => None,
        };
        let mut rule = rule(&self.read("a host", host)?.0);
        while let Some(word) = self.next() {
            if word != "for" {
                return Err(format!("unexpected {:?}", clipped(word)));
            }
            rule.lasting = Some(self.read("a time such as 10s", read_time)?);
        }
        Ok(rule)
    }

    fn fault(&mut self, word: &str) -> Result<Fault, String> {
        let percent = "a part such as 10%";
        Ok(match word {
            "cut" => Fault::Cut,
            "hold" => Fault::Hold,
            "refuse" => Fault::Refuse,
            "reset" => Fault::Reset,
            "delay" => Fault::Delay {
                floor: self.read("a time such as 50ms", read_time)?,
                jitter: Duration::ZERO,
                tail: None,
            },
            "rate" => {
                let read = |word: &str| read_bytes(word.strip_suffix("/s")?);
                Fault::Rate(self.read("a rate such as 10MB/s", read)?)
            }
            "lose" => Fault::Lose(self.read(percent, read_percent)?),
            "duplicate" => Fault::Duplicate(self.read(percent, read_percent)?),
            "corrupt" => Fault::Corrupt(self.read(percent, read_percent)?),
            "reorder" => {
                let part = self.read(percent, read_percent)?;
                self.read("\"by\"", |word| (word == "by").then_some(()))?;
                Fault::Reorder(part, self.read("a time such as 20ms", read_time)?)
            }
            _ => {
                return Err(format!(
                    "expected cut, hold, refuse, reset, delay, rate, lose, duplicate, reorder, \
                     corrupt, pause or kill, got {:?}",
                    clipped(word)
                ));
            }
        })
    }
}

/// A pattern, plain, in brackets or in quotes, and maybe a port.
fn read_end(word: &str) -> Option<(Pattern, Option<u16>)> {
    let close = match word.as_bytes().first()? {
        b'[' => Some(']'),
        b'"' => Some('"'),
        _ => None,
    };
    let (name, rest) = match close {
        Some(close) => word[1..].split_once(close)?,
        None => word.split_at(word.find(':').unwrap_or(word.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    let usable = !name.is_empty() && name != "->";
    usable.then(|| (Pattern(name.to_owned()), port))
}

/// A decimal number in digits, and the unit behind it.
fn read_number(word: &str) -> Option<(f64, &str)> {
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = word.split_at(end.unwrap_or(word.len()));
    Some((number.parse().ok()?, unit))
}

/// A time such as `50ms` or `1.5s`, as `Duration`'s debug text shows it.
fn read_time(word: &str) -> Option<Duration> {
    let (number, unit) = read_number(word)?;
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

fn read_percent(word: &str) -> Option<Chance> {
    let part = word.strip_suffix('%')?.parse::<f64>().ok()?;
    (0.0..=100.0)
        .contains(&part)
        .then(|| Chance::new(part / 100.0))
}

/// A number of bytes such as `1000`, `64KiB` or `10MB`.
fn read_bytes(word: &str) -> Option<u64> {
    let end = word.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = word.split_at(end.unwrap_or(word.len()));
    let factor = match unit {
        "" => 1,
        _ => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn read_range(word: &str) -> Option<(u64, u64)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some((first.parse().ok()?, last.parse().ok()?))
}
