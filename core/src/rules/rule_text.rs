//! The text of a rule: `cut α -> β port 5432 for 10s`.
//!
//! Owns the grammar, both ways, and [`RuleError`]. Never knows which parts go together:
//! [`Rule::check`] does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::addr::name::clipped;
use crate::rules::rule::{Chance, Fault, Pattern, Rule, Scope};

/// A rule that is not one. Its text shows the rule and what was expected.
///
/// ```
/// let err = "cut α β".parse::<virtnet_core::faults::Rule>().unwrap_err();
/// assert_eq!(err.to_string(), r#"fault rule "cut α β": expected "->" after the first host, got "β""#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault rule {rule:?}: {problem}")]
pub struct RuleError {
    rule: String,
    problem: String,
}

impl RuleError {
    pub(crate) fn new(rule: &str, problem: impl Into<String>) -> RuleError {
        RuleError {
            rule: clipped(rule),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, ports) = (self.fault.word(), self.scope);
        let (from, to) = match ports {
            Scope::Conn(from, to) => (Some(from), Some(to)),
            _ => (None, None),
        };
        write!(
            f,
            "{word} {} -> {}",
            end(&self.from, from),
            end(&self.to, to)
        )?;
        match self.fault {
            Fault::Delay {
                floor,
                jitter,
                tail,
            } => {
                write!(f, " {floor:?}")?;
                if !jitter.is_zero() {
                    write!(f, " jitter {jitter:?}")?;
                }
                if let Some((part, mean)) = tail {
                    write!(f, " tail {part} {mean:?}")?;
                }
            }
            Fault::Rate(rate) => write!(f, " {}/s", Bytes(rate))?,
            Fault::Lose(part) | Fault::Duplicate(part) | Fault::Corrupt(part) => {
                write!(f, " {part}")?;
            }
            Fault::Reorder(part, by) => write!(f, " {part} by {by:?}")?,
            Fault::Cut | Fault::Hold | Fault::Refuse | Fault::Reset => {}
        }
        if let Scope::Port(port) = self.scope {
            write!(f, " port {port}")?;
        }
        match self.dials {
            Some((first, last)) if first == last => write!(f, " dials {first}")?,
            Some((first, last)) => write!(f, " dials {first}-{last}")?,
            None => {}
        }
        if self.after > 0 {
            write!(f, " after {}", Bytes(self.after))?;
        }
        match self.lasting {
            Some(time) => write!(f, " for {time:?}"),
            None => Ok(()),
        }
    }
}

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

impl Fault {
    /// The word with which its rules begin.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Cut => "cut",
            Fault::Hold => "hold",
            Fault::Refuse => "refuse",
            Fault::Reset => "reset",
            Fault::Delay { .. } => "delay",
            Fault::Rate(_) => "rate",
            Fault::Lose(_) => "lose",
            Fault::Duplicate(_) => "duplicate",
            Fault::Reorder(..) => "reorder",
            Fault::Corrupt(_) => "corrupt",
        }
    }
}

/// One end of a rule: the pattern, quoted or in brackets if it has to be, and a port.
fn end(pattern: &Pattern, port: Option<u16>) -> String {
    let name = &pattern.0;
    let mut text = if name.contains(char::is_whitespace) || name == "->" {
        format!("\"{name}\"")
    } else if name.contains(':') {
        format!("[{name}]")
    } else {
        name.clone()
    };
    if let Some(port) = port {
        text.push_str(&format!(":{port}"));
    }
    text
}

impl fmt::Display for Chance {
    /// In percent, such as `0.5%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At most seven decimals, which is all that there is.
        let percent = format!("{:.7}", self.part() * 100.0);
        write!(
            f,
            "{}%",
            percent.trim_end_matches('0').trim_end_matches('.')
        )
    }
}

/// A number of bytes, in the largest unit that divides it.
struct Bytes(u64);

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |unit: &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(unit.1);
        let (unit, size) = UNITS.iter().find(divides).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
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

    fn expect<T>(
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
        let (from, from_port) = self.expect("the host that sends", read_end)?;
        self.expect("\"->\" after the first host", |word| {
            (word == "->").then_some(())
        })?;
        let (to, to_port) = self.expect("the host that receives", read_end)?;
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
                    *jitter = self.expect("a time such as 10ms", read_time)?;
                }
                (
                    "tail",
                    Rule {
                        fault: Fault::Delay { tail, .. },
                        ..
                    },
                ) => {
                    let part = self.expect("a part such as 1%", read_percent)?;
                    *tail = Some((part, self.expect("a time such as 200ms", read_time)?));
                }
                ("port", rule) if rule.scope == Scope::All => {
                    let port = self.expect("a port from 1", |word| word.parse().ok())?;
                    rule.scope = Scope::Port(port);
                }
                ("dials", rule) => {
                    rule.dials = Some(self.expect("numbers of dials such as 2-3", read_range)?);
                }
                ("after", rule) => {
                    rule.after = self.expect("a number of bytes such as 64KiB", read_bytes)?;
                }
                ("for", rule) => {
                    rule.lasting = Some(self.expect("a time such as 10s", read_time)?);
                }
                _ => return Err(format!("unexpected {:?}", clipped(word))),
            }
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
                floor: self.expect("a time such as 50ms", read_time)?,
                jitter: Duration::ZERO,
                tail: None,
            },
            "rate" => {
                let read = |word: &str| read_bytes(word.strip_suffix("/s")?);
                Fault::Rate(self.expect("a rate such as 10MB/s", read)?)
            }
            "lose" => Fault::Lose(self.expect(percent, read_percent)?),
            "duplicate" => Fault::Duplicate(self.expect(percent, read_percent)?),
            "corrupt" => Fault::Corrupt(self.expect(percent, read_percent)?),
            "reorder" => {
                let part = self.expect(percent, read_percent)?;
                self.expect("\"by\"", |word| (word == "by").then_some(()))?;
                Fault::Reorder(part, self.expect("a time such as 20ms", read_time)?)
            }
            _ => {
                return Err(format!(
                    "expected cut, hold, refuse, reset, delay, rate, lose, duplicate, reorder or \
                     corrupt, got {:?}",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_back_from_its_text() {
        let ms = Duration::from_millis;
        for (rule, text) in [
            (Rule::cut("α", "β"), "cut α -> β"),
            (Rule::cut("*", "β").port(5432), "cut * -> β port 5432"),
            (
                Rule::hold("β", "α").conn(3, 4).after(1 << 16),
                "hold β:3 -> α:4 after 64KiB",
            ),
            (
                Rule::refuse("a b", "x").dials(1..=2),
                "refuse \"a b\" -> x dials 1-2",
            ),
            (Rule::refuse("α", "β").dials(3..=3), "refuse α -> β dials 3"),
            (
                Rule::reset("::1", "β").lasting(ms(1_500)),
                "reset [::1] -> β for 1.5s",
            ),
            (
                Rule::delay("α", "n*", ms(50))
                    .jitter(ms(10))
                    .tail(0.01, ms(200)),
                "delay α -> n* 50ms jitter 10ms tail 1% 200ms",
            ),
            (Rule::rate("α", "β", 10_000_000), "rate α -> β 10MB/s"),
            (Rule::rate("α", "β", 1_001), "rate α -> β 1001B/s"),
            (Rule::lose("α", "β", 0.1), "lose α -> β 10%"),
            (Rule::duplicate("α", "β", 0.005), "duplicate α -> β 0.5%"),
            (
                Rule::reorder("α", "β", 0.5, ms(20)),
                "reorder α -> β 50% by 20ms",
            ),
            (Rule::corrupt("α", "β", 1e-9), "corrupt α -> β 0.0000001%"),
        ] {
            assert_eq!(rule.to_string(), text);
            assert_eq!(text.parse(), Ok(rule), "{text}");
        }
    }

    #[test]
    fn names_with_spaces_and_colons_are_read_back() {
        for name in ["a b", "::1", "é*", "->x", "a\u{a0}b"] {
            let rule = Rule::cut(name, name).conn(1, 2);
            assert_eq!(rule.to_string().parse(), Ok(rule), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for (text, problem) in [
            ("", "expected the host that sends at the end"),
            ("cut", "expected the host that sends at the end"),
            ("cut α", "expected \"->\" after the first host at the end"),
            ("snip α -> β", "expected cut, hold, refuse"),
            ("cut α -> β 5s", "unexpected \"5s\""),
            ("delay α -> β", "expected a time such as 50ms at the end"),
            (
                "delay α -> β 50",
                "expected a time such as 50ms, got \"50\"",
            ),
            (
                "lose α -> β 101%",
                "expected a part such as 10%, got \"101%\"",
            ),
            (
                "rate α -> β 10MB",
                "expected a rate such as 10MB/s, got \"10MB\"",
            ),
            ("rate α -> β 0B/s", "expected more than 0"),
            ("cut α:1 -> β", "expected ports of both ends"),
            (
                "cut α -> β port 70000",
                "expected a port from 1, got \"70000\"",
            ),
            ("delay α -> β 1s port 7", "belong to no port"),
            ("cut α -> β dials 0", "expected numbers of dials from 1"),
            (
                "reset α -> β dials 1",
                "dials can be cut, held or refused only",
            ),
            (
                "refuse α -> β after 1kB",
                "only cut, hold, reset and corrupt",
            ),
            ("cut α -> β for 25h", "at most a day"),
        ] {
            let err = text.parse::<Rule>().expect_err(text).to_string();
            assert!(err.contains(problem), "{text}: {err}");
            assert!(err.contains(&format!("{text:?}")), "{err}");
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, matches) in [
            ("α", "α", true),
            ("α", "αα", false),
            ("*", "", true),
            ("n*", "node", true),
            ("n*", "an", false),
            ("*e", "node", true),
            ("n*d*", "node", true),
            ("n*d*d", "nd", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(
                Pattern(pattern.into()).matches(name),
                matches,
                "{pattern} {name}"
            );
        }
    }
}
