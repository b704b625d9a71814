//! A trace as the log that ShiViz draws.
//!
//! Owns the vector clocks, and the format's two lines an event. Never looks at times.

use std::collections::BTreeMap;
use std::fmt;

use crate::trace::Trace;
use crate::trace::show::lines::Lines;
use crate::trace::show::text::{json_string, one_line};

/// A trace as a log with vector clocks, made by [`Trace::shiviz`].
#[derive(Debug, Clone, Copy)]
pub struct Shiviz<'a>(&'a Trace);

/// The regular expression by which ShiViz reads the log of [`Trace::shiviz`].
pub const SHIVIZ_REGEX: &str = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)";

impl Trace {
    /// The trace as a log for [ShiViz](https://bestchai.bitbucket.io/shiviz/): the host and its
    /// vector clock in one line, the event in the next.
    ///
    /// Give ShiViz [`SHIVIZ_REGEX`] as the regular expression. Spaces, quotes, braces, `\`, `%` and
    /// control characters in a host's name are written as in a URL, such as `%20`.
    ///
    /// Clocks are computed here, from the trace: an event's own entry is how many events its
    /// host had, the others how many of each host led to it.
    pub fn shiviz(&self) -> Shiviz<'_> {
        Shiviz(self)
    }
}

impl fmt::Display for Shiviz<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shiviz(trace) = self;
        let lines = Lines::new(trace);
        let names: Vec<_> = lines.labels.iter().map(|label| escaped(label)).collect();
        let mut clocks = Clocks::new(trace);
        for (index, traced) in trace.events().iter().enumerate() {
            let line = lines.of(index);
            let clock = clocks.next(trace, index, line);
            let mut json = String::new();
            for (line, count) in &clock {
                json.push(if json.is_empty() { '{' } else { ',' });
                json_string(&mut json, &names[*line]);
                json.push(':');
                json.push_str(&count.to_string());
            }
            clocks.keep(index, clock);
            writeln!(f, "{} {json}}}", names[line])?;
            writeln!(f, "{}", one_line(&traced.event.to_string()))?;
        }
        Ok(())
    }
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for char in name.chars() {
        let special = char.is_whitespace() || char.is_control();
        if special || matches!(char, '%' | '{' | '}' | '"' | '\\' | '\u{feff}') {
            let mut bytes = [0; 4];
            let bytes = char.encode_utf8(&mut bytes).bytes();
            escaped.extend(bytes.map(|byte| format!("%{byte:02X}")));
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// How many events of each line led to an event, itself included.
type Clock = BTreeMap<usize, u64>;

/// The clocks that are still needed by later events.
struct Clocks {
    needed: Vec<u32>,
    kept: Vec<Option<Clock>>,
}

impl Clocks {
    fn new(trace: &Trace) -> Clocks {
        let mut needed = vec![0; trace.events().len()];
        for traced in trace.events() {
            for cause in traced.previous.into_iter().chain(traced.cause) {
                needed[cause] += 1;
            }
        }
        Clocks {
            kept: vec![None; needed.len()],
            needed,
        }
    }

    /// The clock of an event, whose causes were given before.
    fn next(&mut self, trace: &Trace, index: usize, line: usize) -> Clock {
        let traced = &trace.events()[index];
        let mut clock = traced.previous.map_or_else(Clock::new, |it| self.take(it));
        if let Some(cause) = traced.cause {
            for (line, count) in self.take(cause) {
                let here = clock.entry(line).or_default();
                *here = count.max(*here);
            }
        }
        *clock.entry(line).or_default() += 1;
        clock
    }

    /// Without a copy if it is the last that asks.
    fn take(&mut self, index: usize) -> Clock {
        self.needed[index] -= 1;
        let kept = &mut self.kept[index];
        let clock = match self.needed[index] {
            0 => kept.take(),
            _ => kept.clone(),
        };
        clock.expect("it is kept until the last has asked")
    }

    fn keep(&mut self, index: usize, clock: Clock) {
        if self.needed[index] > 0 {
            self.kept[index] = Some(clock);
        }
    }
}
