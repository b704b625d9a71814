//! A plan: rules and a seed, and the document in which a network shares the plans of several
//! holders.
//!
//! Owns both texts. Never writes a document: the subnetwork does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::faults::pairs::Pair;
use crate::rules::rule::Rule;
use crate::rules::rule_text::RuleError;

/// The most rules that a network's plans have together.
pub const MAX_RULES: usize = 2_048;

/// Rules, and the seed of their decisions.
///
/// Its text has one rule per line; lines that begin with `#` are comments. A seed fixes the decisions
/// (which datagram is lost, which byte is wrong), not the order in which a program's own tasks run.
///
/// ```
/// use virtnet_core::faults::{Plan, Rule, pairs};
///
/// let mut plan = Plan::new().seed(7).with(Rule::lose("α", "β", 0.1));
/// plan = plan.for_each(pairs::isolate("γ", &["α", "β", "γ"]), Rule::cut);
/// assert_eq!(plan.rules().len(), 5);
/// assert_eq!(plan.to_string().parse(), Ok(plan));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    seed: u64,
    rules: Vec<Rule>,
}

impl Plan {
    /// Without rules, and with the seed 0.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Plan {
        self.seed = seed;
        self
    }

    /// Adds a rule.
    pub fn with(mut self, rule: Rule) -> Plan {
        self.rules.push(rule);
        self
    }

    /// Adds a rule for each pair, such as `Rule::cut`.
    pub fn for_each(
        mut self,
        pairs: impl IntoIterator<Item = Pair>,
        rule: impl Fn(&str, &str) -> Rule,
    ) -> Plan {
        let rules = pairs.into_iter().map(|(from, to)| rule(&from, &to));
        self.rules.extend(rules);
        self
    }

    /// Its rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Its seed.
    pub fn seeded(&self) -> u64 {
        self.seed
    }

    /// Whether each rule's parts go together.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        for rule in &self.rules {
            rule.check()?;
        }
        match self.rules.len() {
            count if count > MAX_RULES => Err(PlanError::TooMany(count)),
            _ => Ok(()),
        }
    }
}

impl From<Rule> for Plan {
    fn from(rule: Rule) -> Plan {
        Plan::new().with(rule)
    }
}

impl FromIterator<Rule> for Plan {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Plan {
        rules.into_iter().fold(Plan::new(), Plan::with)
    }
}

/// A plan that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A rule is not one.
    #[error("{0}")]
    Rule(#[from] RuleError),
    /// The seed is no number.
    #[error("fault plan: expected a seed such as 7, got {0:?}")]
    Seed(String),
    /// There are more than [`MAX_RULES`].
    #[error("fault plan: expected at most {MAX_RULES} rules, got {0}")]
    TooMany(usize),
    /// The document that the network shares cannot be read.
    #[error("fault plan of the network: {0}")]
    Document(String),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seed != 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Plan, PlanError> {
        let mut plan = Plan::new();
        for line in text.lines() {
            plan.read_line(line)?;
        }
        plan.check()?;
        Ok(plan)
    }
}

impl Plan {
    fn read_line(&mut self, line: &str) -> Result<(), PlanError> {
        let line = line.trim();
        if let Some(seed) = line.strip_prefix("seed ") {
            let read = seed.trim().parse();
            self.seed = read.map_err(|_| PlanError::Seed(crate::addr::name::clipped(seed)))?;
        } else if !line.is_empty() && !line.starts_with('#') {
            self.rules.push(line.parse()?);
        }
        Ok(())
    }
}

/// The first line of the document, with the version of its form.
const HEAD: &str = "virtnet fault plan, form 1";

/// The plans of all holders, as the network shares them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SharedPlan {
    /// Larger whenever rules change.
    pub(crate) version: u64,
    pub(crate) parts: Vec<Part>,
}

/// The plan of one holder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// Hex digits, random.
    pub(crate) id: String,
    /// How long it is in force without a sign of its holder; without: until healed.
    pub(crate) lease: Option<Duration>,
    /// Larger with each sign of its holder.
    pub(crate) beat: u64,
    pub(crate) plan: Plan,
}

impl SharedPlan {
    pub(crate) fn rules(&self) -> usize {
        self.parts.iter().map(|part| part.plan.rules.len()).sum()
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|there| there.id == part)
    }

    pub(crate) fn has_parts_of(&self, other: &SharedPlan) -> bool {
        other.parts.iter().all(|part| self.has(&part.id))
    }
}

impl fmt::Display for SharedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\nversion {}", self.version)?;
        for part in &self.parts {
            write!(f, "part {} ", part.id)?;
            match part.lease {
                Some(lease) => writeln!(f, "lease {} beat {}", lease.as_millis(), part.beat)?,
                None => writeln!(f, "until healed")?,
            }
            write!(f, "{}", part.plan)?;
        }
        Ok(())
    }
}

impl FromStr for SharedPlan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<SharedPlan, PlanError> {
        let document = |line: &str| PlanError::Document(format!("unexpected line {line:?}"));
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        if head != HEAD {
            let text = format!(
                "expected {HEAD:?}, got {:?}",
                crate::addr::name::clipped(head)
            );
            return Err(PlanError::Document(text));
        }
        let line = lines.next().unwrap_or_default();
        let version = line
            .strip_prefix("version ")
            .and_then(|version| version.parse().ok());
        let mut shared = SharedPlan {
            version: version.ok_or_else(|| document(line))?,
            parts: Vec::new(),
        };
        for line in lines {
            if line.starts_with("part ") {
                shared.parts.push(part(line).ok_or_else(|| document(line))?);
            } else {
                let part = shared.parts.last_mut().ok_or_else(|| document(line))?;
                part.plan.read_line(line)?;
            }
        }
        Ok(shared)
    }
}

/// The head of a part.
fn part(line: &str) -> Option<Part> {
    let words: Vec<_> = line.split(' ').collect();
    let (id, lease, beat) = match words[..] {
        ["part", id, "until", "healed"] => (id, None, 0),
        ["part", id, "lease", lease, "beat", beat] => {
            let lease = Duration::from_millis(lease.parse().ok()?);
            (id, Some(lease), beat.parse().ok()?)
        }
        _ => return None,
    };
    Some(Part {
        id: id.to_owned(),
        lease,
        beat,
        plan: Plan::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_from_its_text() {
        let text = "# a plan\nseed 7\n\n  cut α -> β\nlose α -> β 10%\n";
        let plan: Plan = text.parse().unwrap();
        assert_eq!(plan.to_string(), "seed 7\ncut α -> β\nlose α -> β 10%\n");
        assert_eq!(plan.to_string().parse(), Ok(plan));
        let err = "seed x".parse::<Plan>().unwrap_err();
        assert_eq!(
            err.to_string(),
            r#"fault plan: expected a seed such as 7, got "x""#
        );
        let many: Plan = std::iter::repeat_n(Rule::cut("α", "β"), MAX_RULES + 1).collect();
        let err = many.to_string().parse::<Plan>().unwrap_err();
        assert_eq!(err, PlanError::TooMany(MAX_RULES + 1));
    }

    #[test]
    fn what_the_network_shares_is_read_back() {
        let part = |id: &str, lease, beat, plan| Part {
            id: id.to_owned(),
            lease,
            beat,
            plan,
        };
        let lease = Some(Duration::from_millis(1_500));
        let shared = SharedPlan {
            version: 12,
            parts: vec![
                part("0f", lease, 3, Plan::from(Rule::cut("α", "β")).seed(7)),
                part("1e", None, 0, Plan::new()),
            ],
        };
        let text = shared.to_string();
        let expected = "virtnet fault plan, form 1\nversion 12\npart 0f lease 1500 beat 3\nseed 7\n\
                        cut α -> β\npart 1e until healed\n";
        assert_eq!(text, expected);
        assert_eq!(text.parse(), Ok(shared));
        for broken in [
            "",
            "virtnet fault plan, form 2\n",
            "virtnet fault plan, form 1\n",
        ] {
            broken.parse::<SharedPlan>().expect_err(broken);
        }
        for line in ["cut α -> β", "part 1", "part 1 lease x beat 1"] {
            let broken = format!("{HEAD}\nversion 1\n{line}\n");
            let err = broken.parse::<SharedPlan>().unwrap_err().to_string();
            assert!(err.contains(line), "{err}");
        }
    }
}
