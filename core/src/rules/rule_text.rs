//! The text of a rule: `cut α -> β port 5432 for 10s`.
//!
//! Owns the grammar, both ways, and [`RuleError`]. Never knows which parts go together:
//! [`Rule::check`] does.

mod read;

use std::fmt;

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
        if self.is_on_programs() {
            write!(f, "{word} {}", end(&self.from, None))?;
            return match self.lasting {
                Some(time) => write!(f, " for {time:?}"),
                None => Ok(()),
            };
        }
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
            Fault::Pause | Fault::Kill => {}
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
            Fault::Pause => "pause",
            Fault::Kill => "kill",
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

#[cfg(test)]
mod tests;
