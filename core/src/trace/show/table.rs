//! A trace as a table: a line for each event.
//!
//! Owns the columns. Never leaves out an event.

use std::fmt;
use std::time::Duration;

use crate::trace::Trace;
use crate::trace::show::lines::Lines;
use crate::trace::show::text::{one_line, utc, width};

/// A trace as text, made by [`Trace::table`].
#[derive(Debug, Clone, Copy)]
pub struct Table<'a>(&'a Trace);

impl Trace {
    /// The trace as a table for people: number, time, the number of the event at another host that led to
    /// it, host and event, in causal order.
    ///
    /// Numbers begin at 1, as in merged files; so an event's index in [`events`](Trace::events) is its number less one.
    ///
    /// Times are in seconds since the earliest event, by the clocks of the hosts' machines. These
    /// may differ, so a time may be smaller than that of the line above. What would move a
    /// terminal's cursor is escaped.
    ///
    /// ```
    /// use virtnet_core::trace::{Event, EventKind, Record, Trace};
    /// # use std::time::Duration;
    ///
    /// # let event = |number, kind| Event {
    /// #     host: "α".into(),
    /// #     number,
    /// #     wall: Duration::from_secs(1_767_225_600 + number),
    /// #     elapsed: Duration::from_secs(number),
    /// #     kind,
    /// # };
    /// # let events = vec![event(1, EventKind::HostMade), event(2, EventKind::HostClosed)];
    /// let record = Record { network: "net".into(), process: "1".into(), events, dropped: 0 };
    /// let table = Trace::merge([record])?.table().to_string();
    /// let lines: Vec<_> = table.lines().skip(2).collect();
    /// assert_eq!(lines, [
    ///     "1  0.000000      -  α     α made",
    ///     "2  1.000000      -  α     α closed",
    /// ]);
    /// # Ok::<(), virtnet_core::trace::MergeError>(())
    /// ```
    pub fn table(&self) -> Table<'_> {
        Table(self)
    }

    /// The earliest time of an event, as the machines' clocks say.
    pub(super) fn begins(&self) -> Duration {
        let walls = self.events().iter().map(|traced| traced.event.wall);
        walls.min().unwrap_or_default()
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table(trace) = self;
        let events = trace.events();
        let (begins, lines) = (trace.begins(), Lines::new(trace));
        let seconds = |wall: Duration| {
            let since = wall - begins;
            format!("{}.{:06}", since.as_secs(), since.subsec_micros())
        };
        let labels: Vec<_> = lines.labels.iter().map(|label| one_line(label)).collect();
        let hosts = labels.iter().map(|label| width(label)).max().unwrap_or(0);
        let hosts = hosts.max("host".len());
        let numbers = events.len().to_string().len();
        let after = numbers.max("after".len());
        let latest = events.iter().map(|traced| traced.event.wall).max();
        let times = seconds(latest.unwrap_or(begins)).len().max("seconds".len());
        if !events.is_empty() {
            writeln!(f, "seconds since {}", utc(begins))?;
            let [time, cause, host] = ["seconds", "after", "host"];
            writeln!(
                f,
                "{:>numbers$}  {time:>times$}  {cause:>after$}  {host:<hosts$}  event",
                '#'
            )?;
        }
        for (index, traced) in events.iter().enumerate() {
            let time = seconds(traced.event.wall);
            let cause = traced
                .cause
                .map_or_else(|| "-".to_owned(), |it| (it + 1).to_string());
            let label = &labels[lines.of(index)];
            let number = index + 1;
            let space = hosts - width(label);
            let text = one_line(&traced.event.to_string());
            writeln!(
                f,
                "{number:>numbers$}  {time:>times$}  {cause:>after$}  {label}{:space$}  {text}",
                ""
            )?;
        }
        if trace.dropped() > 0 {
            let dropped = trace.dropped();
            writeln!(f, "{dropped} events were dropped because a record was full")?;
        }
        for contradiction in trace.contradictions() {
            writeln!(f, "{contradiction}")?;
        }
        Ok(())
    }
}
