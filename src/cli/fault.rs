//! `virtnet fault` and `virtnet faults`: setting, healing and showing faults.
//!
//! Owns how words of the command line become a rule, the file of a plan, and the lines of what is
//! set. Never enforces a fault: the members do.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use virtnet::faults::{Faults, Plan, Rule, RuleStatus};

use super::exit::Exit;
use super::options::{Options, seconds};
use super::output::{print, print_json, print_stderr, warn};
use super::session::Signals;

/// What to do with faults.
#[derive(Debug, Subcommand)]
pub(crate) enum Fault {
    /// Cut what FROM sends to TO: silence, like a pulled cable
    Cut(Set),
    /// Hold what FROM sends to TO: nothing is lost, nothing ends, all goes on after healing
    Hold(Set),
    /// Refuse FROM's dials to TO
    Refuse(Set),
    /// Reset the connections that FROM dialed to TO
    Reset(Set),
    /// Delay what FROM sends to TO: 50ms [jitter 10ms] [tail 1% 200ms]
    Delay(Set),
    /// Limit what FROM sends to TO: 10MB/s
    Rate(Set),
    /// Lose a part of FROM's datagrams to TO: 10%
    Lose(Set),
    /// Duplicate a part of FROM's datagrams to TO: 1%
    Duplicate(Set),
    /// Reorder a part of FROM's datagrams to TO: 1% by 20ms
    Reorder(Set),
    /// Flip a bit in a part of the bytes that TO receives from FROM: 0.001%
    Corrupt(Set),
    /// Pause the program of HOST, as `virtnet host pause`; it goes on when this is healed
    Pause(SetProgram),
    /// Kill the program of HOST, as `virtnet host kill`; it is restarted when this is healed
    Kill(SetProgram),
    /// Set all rules of a plan file
    ///
    /// A file that ends in .toml has `rules`, an array of strings, and maybe `seed`, a
    /// number. Any other has one rule per line, and maybe a line such as `seed 7`.
    Apply {
        /// The plan file
        file: PathBuf,
        #[command(flatten)]
        end: End,
    },
    /// Heal all faults of the network, or those between two hosts
    ///
    /// Returns when all processes have acknowledged it and each healed pair of hosts answers
    /// again. Warns of rules that never matched anything.
    Heal {
        /// Only faults that were set between this host
        #[arg(requires = "other")]
        host: Option<String>,
        /// ... and this one, in either direction
        other: Option<String>,
    },
}

/// A rule on the command line.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The host that sends, or a pattern such as 'node-*'
    from: String,
    /// The host that receives, or a pattern
    to: String,
    /// How much, such as 50ms or 10%; then maybe: port N, dials 1-2, after 64KiB
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// In the other direction, too
    #[arg(long)]
    both: bool,
    /// The seed of its decisions
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    end: End,
}

/// A rule for programs on the command line.
#[derive(Debug, Args)]
pub(crate) struct SetProgram {
    /// The host of `virtnet run`, or a pattern such as 'node-*'
    host: String,
    #[command(flatten)]
    end: End,
}

/// When a fault that is set ends.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct End {
    /// How long it stays
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    time: Option<Duration>,
    /// It stays until somebody heals it, also if no process of the network is left
    #[arg(long)]
    until_healed: bool,
}

impl Fault {
    /// The word with which a rule begins, and its arguments.
    fn set(&self) -> Option<(&'static str, &Set)> {
        Some(match self {
            Fault::Cut(set) => ("cut", set),
            Fault::Hold(set) => ("hold", set),
            Fault::Refuse(set) => ("refuse", set),
            Fault::Reset(set) => ("reset", set),
            Fault::Delay(set) => ("delay", set),
            Fault::Rate(set) => ("rate", set),
            Fault::Lose(set) => ("lose", set),
            Fault::Duplicate(set) => ("duplicate", set),
            Fault::Reorder(set) => ("reorder", set),
            Fault::Corrupt(set) => ("corrupt", set),
            Fault::Pause(_) | Fault::Kill(_) => return None,
            Fault::Apply { .. } | Fault::Heal { .. } => return None,
        })
    }
}

pub(crate) async fn fault(
    options: Options,
    fault: Fault,
    signals: &mut Signals,
) -> Result<(), Exit> {
    // Before anything is connected to: a wrong word is a usage error.
    let plan = match (&fault, fault.set()) {
        (_, Some((word, set))) => Some((rules(word, set)?, &set.end)),
        (Fault::Pause(set), _) => Some((program("pause", set)?, &set.end)),
        (Fault::Kill(set), _) => Some((program("kill", set)?, &set.end)),
        (Fault::Apply { file, end }, _) => Some((read(file)?, end)),
        _ => None,
    };
    let observer = options.shared_config()?.observer();
    let faults = signals.or(observer.faults()).await??;
    let done = async {
        match (plan, &fault) {
            (Some((plan, end)), _) => set(&faults, plan, end).await,
            (None, Fault::Heal { host, other }) => {
                heal(&faults, host.as_deref().zip(other.as_deref())).await
            }
            (None, _) => Ok(()),
        }
    };
    signals.or(done).await?
}

async fn set(faults: &Faults, plan: Plan, end: &End) -> Result<(), Exit> {
    match end.time {
        Some(time) => faults.apply_for(plan, time).await?,
        None => faults.apply_until_healed(plan).await?,
    }
    Ok(())
}

async fn heal(faults: &Faults, between: Option<(&str, &str)>) -> Result<(), Exit> {
    // Warns of rules that never matched anything.
    match between {
        Some((one, other)) => faults.heal_between(one, other).await?,
        None => faults.heal().await?,
    };
    Ok(())
}

/// A host's name or pattern, as in a rule.
fn quoted(name: &str) -> String {
    match name.contains(char::is_whitespace) {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    }
}

/// The rule for a host's program.
fn program(word: &str, set: &SetProgram) -> Result<Plan, Exit> {
    let rule = format!("{word} {}", quoted(&set.host)).parse::<Rule>();
    let rule = rule.map_err(|err| Exit::Usage(err.to_string()))?;
    Ok(rule.into())
}

/// The rule that the words make, and its other direction if that is asked for.
fn rules(word: &str, set: &Set) -> Result<Plan, Exit> {
    let rule = |from: &str, to: &str| {
        let text = format!(
            "{word} {} -> {} {}",
            quoted(from),
            quoted(to),
            set.words.join(" ")
        );
        let rule = text.trim_end().parse::<Rule>();
        rule.map_err(|err| Exit::Usage(err.to_string()))
    };
    let mut plan = Plan::new().seed(set.seed).with(rule(&set.from, &set.to)?);
    if set.both {
        plan = plan.with(rule(&set.to, &set.from)?);
    }
    Ok(plan)
}

/// Reads a plan file.
fn read(path: &Path) -> Result<Plan, Exit> {
    let fail = |why: &dyn std::fmt::Display| Exit::Usage(format!("{path:?}: {why}"));
    let text = std::fs::read_to_string(path).map_err(|err| fail(&err))?;
    if path.extension().is_none_or(|ending| ending != "toml") {
        return text.parse().map_err(|err| fail(&err));
    }
    let table = text.parse::<toml::Table>().map_err(|err| fail(&err))?;
    let mut lines = Vec::new();
    for (key, value) in &table {
        match (&**key, value) {
            ("seed", toml::Value::Integer(seed)) => lines.insert(0, format!("seed {seed}")),
            ("rules", toml::Value::Array(rules)) => {
                for rule in rules {
                    let rule = rule.as_str();
                    let rule = rule.ok_or_else(|| fail(&"expected strings in `rules`"))?;
                    lines.push(rule.to_owned());
                }
            }
            _ => {
                let what = format!(
                    "expected `seed`, a number, and `rules`, an array of strings, got `{key}`"
                );
                return Err(fail(&what));
            }
        }
    }
    lines.join("\n").parse().map_err(|err| fail(&err))
}

pub(crate) async fn faults(
    options: Options,
    json: bool,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let observer = options.shared_config()?.observer();
    let faults = signals.or(observer.faults()).await??;
    let status = signals.or(faults.status()).await??;
    for member in &status.members {
        let hosts = member.hosts.join(", ");
        if !member.current {
            warn(&format!(
                "the process of {hosts} has not acknowledged the plan"
            ));
        } else if !member.answered && !status.rules.is_empty() {
            warn(&format!(
                "the process of {hosts} did not answer; its counts are missing"
            ));
        }
    }
    if status.rules.is_empty() && !json {
        print_stderr(&format!("virtnet: no faults on {}", observer.describe()?));
    }
    if json {
        return status.rules.iter().try_for_each(print_object);
    }
    let rows: Vec<_> = status.rules.iter().map(row).collect();
    let lines = match io::stdout().is_terminal() {
        true => aligned(rows),
        false => rows.iter().map(|row| row.join("\t")).collect(),
    };
    lines.iter().try_for_each(|line| print(line))
}

fn print_object(status: &RuleStatus) -> Result<(), Exit> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).ok();
    let lease = status.lease.and_then(millis);
    print_json(
        &[
            ("rule", status.rule.to_string().into()),
            ("matched", status.matched.into()),
            ("hit", status.hit.into()),
            ("holder", (&*status.holder).into()),
            ("lease_ms", lease.map_or(Value::Null, Value::from)),
        ],
        &[],
    )
}

fn row(status: &RuleStatus) -> [String; 4] {
    let stays = match status.lease {
        Some(lease) => format!("{:.1}s", lease.as_secs_f64()),
        None => "until healed".to_owned(),
    };
    [
        status.rule.to_string(),
        status.matched.to_string(),
        status.hit.to_string(),
        stays,
    ]
}

/// Lines of aligned columns with a heading; no lines without rows.
fn aligned(mut rows: Vec<[String; 4]>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    rows.insert(0, ["RULE", "MATCHED", "HIT", "LEASE"].map(str::to_owned));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let [one, two, three] = [0, 1, 2].map(width);
    let line = |[rule, matched, hit, lease]: &[String; 4]| {
        format!("{rule:<one$}  {matched:>two$}  {hit:>three$}  {lease}")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_a_rule() {
        let set = |words: &[&str], both| Set {
            from: "α x".to_owned(),
            to: "β".to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            both,
            seed: 7,
            end: End {
                time: None,
                until_healed: true,
            },
        };
        let plan = rules("delay", &set(&["50ms", "jitter", "1ms"], true)).unwrap();
        let text =
            "seed 7\ndelay \"α x\" -> β 50ms jitter 1ms\ndelay β -> \"α x\" 50ms jitter 1ms\n";
        assert_eq!(plan.to_string(), text);
        let Err(Exit::Usage(line)) = rules("cut", &set(&["50ms"], false)) else {
            panic!("a cut takes no time");
        };
        assert!(line.contains("unexpected \"50ms\""), "{line}");
    }
}
