//! A part of a trace as a Mermaid sequence diagram.
//!
//! Owns which events become messages and which become notes. Never draws: viewers of Markdown do.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::trace::show::lines::Lines;
use crate::trace::show::text::one_line;
use crate::trace::{EventKind, Trace};

/// How many events a diagram has unless told otherwise.
const AT_MOST: usize = 60;
/// The longest text of a message or note, in characters. Viewers refuse long diagrams.
const LONGEST: usize = 160;
/// As many rules of faults are named in a note.
const MOST_RULES: usize = 5;

/// A sequence diagram of a part of a trace, made by [`Trace::mermaid`].
#[derive(Debug, Clone, Copy)]
pub struct Mermaid<'a> {
    trace: &'a Trace,
    around: Option<usize>,
    at_most: usize,
}

impl Trace {
    /// The trace as a [Mermaid](https://mermaid.js.org) sequence diagram, for a comment or a page
    /// in Markdown: hosts are participants. What one host sent and another received is one
    /// message; all else is a note.
    ///
    /// Viewers refuse long diagrams, so this is the first 60 events, unless
    /// [`at_most`](Mermaid::at_most) and [`around`](Mermaid::around) say otherwise.
    pub fn mermaid(&self) -> Mermaid<'_> {
        Mermaid {
            trace: self,
            around: None,
            at_most: AT_MOST,
        }
    }
}

impl Mermaid<'_> {
    /// Shows the events before and after the one with this index in
    /// [`events`](Trace::events), and marks it. An index after the last is the last.
    #[must_use]
    pub fn around(mut self, index: usize) -> Self {
        self.around = Some(index);
        self
    }

    /// Shows at most so many events; at least one.
    #[must_use]
    pub fn at_most(mut self, events: usize) -> Self {
        self.at_most = events.max(1);
        self
    }

    /// The first event and the one after the last; more of those before the marked one.
    fn excerpt(&self) -> std::ops::Range<usize> {
        let all = self.trace.events().len();
        let length = self.at_most.min(all);
        let around = self.around.unwrap_or(0).min(all.saturating_sub(1));
        let first = around.saturating_sub(length * 2 / 3).min(all - length);
        first..first + length
    }
}

impl fmt::Display for Mermaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excerpt = self.excerpt();
        let (events, lines) = (self.trace.events(), Lines::new(self.trace));
        let mut diagram = Diagram {
            trace: self.trace,
            lines: &lines,
            first: excerpt.start,
            received: vec![false; excerpt.len()],
            hosts: BTreeSet::new(),
            statements: String::new(),
        };
        for index in excerpt.clone() {
            let sent = self.trace.sent(index);
            if let Some(place) = sent.and_then(|it| it.checked_sub(excerpt.start)) {
                diagram.received[place] = true;
            }
        }
        let marked = self.around.map(|it| it.min(events.len().saturating_sub(1)));
        for index in excerpt.clone() {
            let before = diagram.statements.len();
            diagram.event(index)?;
            if marked == Some(index) {
                diagram.mark(before, index)?;
            }
        }
        writeln!(f, "sequenceDiagram")?;
        for line in &diagram.hosts {
            writeln!(
                f,
                "    participant h{line} as {}",
                escaped(&lines.labels[*line])
            )?;
        }
        diagram.left_out(f, excerpt.start, "before")?;
        f.write_str(&diagram.statements)?;
        diagram.left_out(f, events.len() - excerpt.end, "after")?;
        if self.trace.dropped() > 0 {
            diagram.note_over_all(f, &format!("{} events were dropped", self.trace.dropped()))?;
        }
        Ok(())
    }
}

/// A diagram as it is written.
struct Diagram<'a> {
    trace: &'a Trace,
    lines: &'a Lines,
    /// The first event of the excerpt.
    first: usize,
    /// For each event of the excerpt: another event of it is the receiving of what was sent.
    received: Vec<bool>,
    hosts: BTreeSet<usize>,
    statements: String,
}

impl Diagram<'_> {
    fn event(&mut self, index: usize) -> fmt::Result {
        let (traced, line) = (&self.trace.events()[index], self.lines.of(index));
        let kind = &traced.event.kind;
        if let Some(cause) = self.trace.sent(index) {
            let sent = &self.trace.events()[cause].event;
            // An accept is told to the dialer by what that sees of it.
            let (arrow, text) = match kind {
                EventKind::Connected { .. } => ("-->>", traced.event.to_string()),
                _ => ("->>", sent.to_string()),
            };
            return self.message(self.lines.of(cause), arrow, line, &text);
        }
        // Said when it is received. An accept is received by who dialed, but nobody sent it.
        let accepted = matches!(kind, EventKind::Accepted { .. });
        if self.received[index - self.first] && !accepted {
            return Ok(());
        }
        if let EventKind::Dialing { dst, .. } = kind {
            let mut all = self.trace.events().iter().enumerate();
            let to = all.rfind(|(_, other)| *other.event.host == *dst.host());
            if let Some((to, _)) = to {
                let to = self.lines.of(to);
                return self.message(line, "-x", to, &traced.event.to_string());
            }
        }
        self.note(index)
    }

    fn message(&mut self, from: usize, arrow: &str, to: usize, text: &str) -> fmt::Result {
        self.hosts.extend([from, to]);
        writeln!(
            self.statements,
            "    h{from}{arrow}h{to}: {}",
            escaped(text)
        )
    }

    fn note(&mut self, index: usize) -> fmt::Result {
        let (event, line) = (&self.trace.events()[index].event, self.lines.of(index));
        self.hosts.insert(line);
        write!(
            self.statements,
            "    Note over h{line}: {}",
            escaped(&event.to_string())
        )?;
        if let EventKind::FaultsInForce { rules, .. } = &event.kind {
            for rule in rules.iter().take(MOST_RULES) {
                write!(self.statements, "<br/>{}", escaped(rule))?;
            }
            let more = rules.len().saturating_sub(MOST_RULES);
            if more > 0 {
                write!(self.statements, "<br/>and {more} more")?;
            }
        }
        writeln!(self.statements)
    }

    /// Puts a coloured band behind what was written since.
    fn mark(&mut self, since: usize, index: usize) -> fmt::Result {
        if self.statements.len() == since {
            self.note(index)?;
        }
        self.statements
            .insert_str(since, "    rect rgb(255, 236, 179)\n");
        writeln!(self.statements, "    end")
    }

    fn left_out(&self, f: &mut fmt::Formatter<'_>, events: usize, place: &str) -> fmt::Result {
        match events {
            0 => Ok(()),
            events => self.note_over_all(f, &format!("{events} events {place}")),
        }
    }

    fn note_over_all(&self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        match (self.hosts.first(), self.hosts.last()) {
            (Some(one), Some(last)) if one != last => {
                writeln!(f, "    Note over h{one},h{last}: {text}")
            }
            (Some(one), _) => writeln!(f, "    Note over h{one}: {text}"),
            _ => Ok(()),
        }
    }
}

/// Letters, digits and a few signs as they are; anything else, which may have a meaning in Mermaid or in HTML, as
/// its number.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (place, char) in one_line(text).chars().enumerate() {
        if place == LONGEST {
            escaped.push('…');
            break;
        }
        match char {
            ' ' | ':' | '-' | '.' | ',' | '(' | ')' | '/' | '=' | '_' => escaped.push(char),
            char if char.is_alphanumeric() || char == '\u{200d}' => escaped.push(char),
            char => write!(escaped, "#{};", u32::from(char)).expect("a string takes all text"),
        }
    }
    escaped
}
