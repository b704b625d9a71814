//! A register as a model: whether there is an order of writes and reads in which each read returns
//! the last value written, and which agrees with the order in which they really happened.
//!
//! Owns the decision. Never runs an operation. Each value is written at most once, so the decision is
//! exact and quick (Gibbons and Korach, *Testing Shared Memories*, 1997).

use std::collections::BTreeMap;

/// What a client did, on one clock, which may be coarse.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operation {
    pub(crate) value: String,
    pub(crate) is_write: bool,
    pub(crate) began: f64,
    /// `None` for a write that failed: it may take effect at any time, or never.
    pub(crate) ended: Option<f64>,
}

impl Operation {
    /// Parses a line such as `alpha write alpha-3 12.34 12.40 ok`.
    pub(crate) fn parse(line: &str) -> Result<Operation, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let wrong = || format!("expected an operation, got {line:?}");
        let [_, kind, value, began, ended, outcome] = words[..] else {
            return Err(wrong());
        };
        let time = |text: &str| text.parse::<f64>().map_err(|_| wrong());
        let (began, ended) = (time(began)?, time(ended)?);
        let (is_write, ended) = match (kind, outcome) {
            ("write", "ok") => (true, Some(ended)),
            ("write", "unknown") => (true, None),
            ("read", "ok") => (false, Some(ended)),
            _ => return Err(wrong()),
        };
        Ok(Operation {
            value: value.to_owned(),
            is_write,
            began,
            ended,
        })
    }
}

/// The time of one value: it was the register's at least from `earliest_end` to `latest_begin`, or, if
/// these are the other way round, at some moment between them.
#[derive(Debug, Clone, Copy)]
struct Zone {
    earliest_end: f64,
    latest_begin: f64,
}

impl Zone {
    fn is_forward(self) -> bool {
        self.earliest_end < self.latest_begin
    }

    /// Whether no order of the two values is possible: both have a time of their own and these overlap,
    /// or one has, and it leaves no moment for the other.
    fn contradicts(self, other: Zone) -> bool {
        (self.is_forward() || other.is_forward())
            && self.earliest_end < other.latest_begin
            && other.earliest_end < self.latest_begin
    }
}

/// Whether the operations are those of one register that had `first` before all of them; otherwise why not.
pub(crate) fn check(first: &str, operations: &[Operation]) -> Result<(), String> {
    let mut zones = BTreeMap::from([(
        first,
        Zone {
            earliest_end: f64::NEG_INFINITY,
            latest_begin: f64::NEG_INFINITY,
        },
    )]);
    let writes = operations.iter().filter(|operation| operation.is_write);
    for write in writes {
        let zone = Zone {
            earliest_end: write.ended.unwrap_or(f64::INFINITY),
            latest_begin: write.began,
        };
        if zones.insert(&write.value, zone).is_some() {
            return Err(format!("{:?} was written twice", write.value));
        }
    }
    let begins: BTreeMap<_, _> = zones.iter().map(|(value, zone)| (*value, *zone)).collect();
    for read in operations.iter().filter(|operation| !operation.is_write) {
        let ended = read.ended.unwrap_or(f64::INFINITY);
        let Some(written) = begins.get(&*read.value) else {
            return Err(format!("{:?} was read and never written", read.value));
        };
        if ended < written.latest_begin {
            return Err(format!("{:?} was read before it was written", read.value));
        }
        if let Some(zone) = zones.get_mut(&*read.value) {
            zone.earliest_end = zone.earliest_end.min(ended);
            zone.latest_begin = zone.latest_begin.max(read.began);
        }
    }
    for (at, (value, zone)) in zones.iter().enumerate() {
        let others = zones.iter().skip(at + 1);
        for (other, its_zone) in others {
            if zone.contradicts(*its_zone) {
                return Err(format!(
                    "no order of {value:?} {zone:?} and {other:?} {its_zone:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Checks a history of lines, on a register that had `0`.
#[cfg(test)]
fn checked(lines: &[&str]) -> Result<(), String> {
    let operations: Result<Vec<_>, _> = lines.iter().map(|line| Operation::parse(line)).collect();
    check("0", &operations?)
}

#[test]
fn what_one_register_does_is_accepted() {
    let histories: [&[&str]; 4] = [
        &[],
        &["a read 0 1 2 ok", "a write 1 3 4 ok", "b read 1 5 6 ok"],
        // At the same time: the read may be before or after the write.
        &["a write 1 1 9 ok", "b read 0 2 3 ok", "b read 1 4 5 ok"],
        // A write that failed has an effect, later than the next one's.
        &[
            "a write 1 1 2 unknown",
            "b write 2 3 4 ok",
            "b read 2 5 6 ok",
            "c read 1 7 8 ok",
        ],
    ];
    for lines in histories {
        assert_eq!(checked(lines), Ok(()), "{lines:?}");
    }
}

#[test]
fn what_no_register_does_is_refused() {
    let lost = ["a write 1 1 2 ok", "b read 0 3 4 ok"];
    let back = [
        "a write 1 1 2 ok",
        "a write 2 3 4 ok",
        "b read 2 5 6 ok",
        "c read 1 7 8 ok",
    ];
    let flips = [
        "a write 1 1 9 ok",
        "b write 2 1 9 ok",
        "c read 1 2 3 ok",
        "c read 2 4 5 ok",
        "c read 1 6 7 ok",
    ];
    for lines in [&lost[..], &back, &flips] {
        let refused = checked(lines).unwrap_err();
        assert!(refused.starts_with("no order of "), "{refused}");
    }
    let early = ["a read 1 1 2 ok", "a write 1 3 4 ok"];
    let early = checked(&early).unwrap_err();
    assert_eq!(early, "\"1\" was read before it was written");
    let made_up = checked(&["a read 5 1 2 ok"]).unwrap_err();
    assert_eq!(made_up, "\"5\" was read and never written");
    let twice = checked(&["a write 1 1 2 ok", "a write 1 3 4 ok"]).unwrap_err();
    assert_eq!(twice, "\"1\" was written twice");
    let cut_off = checked(&["a write 1 1"]).unwrap_err();
    assert_eq!(cut_off, "expected an operation, got \"a write 1 1\"");
}
