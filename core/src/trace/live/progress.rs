//! How far a reader of the live trace is: what it has had, what it missed, and who has answered.
//!
//! Owns [`Progress`]. Never keeps an event, and never waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::TracePosition;
use crate::trace::event::Event;
use crate::trace::live::batch::Batch;
use crate::trace::live::error::LiveTraceError;

/// How far a reader is.
#[derive(Debug)]
pub(super) struct Progress {
    network: Arc<str>,
    /// The place of the last batch that it has had.
    pub(super) at: TracePosition,
    /// It reads from the beginning: then it has missed what came before the first batch of a subnetwork.
    is_whole: bool,
    senders: BTreeMap<Arc<str>, Sent>,
    /// How many batches there must have been that it has not had.
    lost: u64,
    /// What it asked for, and who has answered.
    ask: Option<String>,
    answered: BTreeSet<Arc<str>>,
}

/// What it has had of a subnetwork.
#[derive(Debug, Default)]
struct Sent {
    /// The number of the next batch, and how many events are before it.
    next: u64,
    before: u64,
    /// How many events and batches it has missed.
    missed: u64,
    lost: u64,
    /// How many events the subnetwork dropped; and had, before this reader began.
    dropped: u64,
    dropped_before: u64,
}

impl Progress {
    /// At the beginning, or, if it is given, after a batch.
    pub(super) fn new(network: &Arc<str>, after: Option<TracePosition>) -> Progress {
        Progress {
            network: Arc::clone(network),
            at: after.unwrap_or_default(),
            is_whole: after.is_none(),
            senders: BTreeMap::new(),
            lost: 0,
            ask: None,
            answered: BTreeSet::new(),
        }
    }

    /// Takes a batch. Returns its subnetwork and its events; none, if it has had the batch before, as one may be sent twice.
    pub(super) fn take(
        &mut self,
        at: TracePosition,
        text: &str,
    ) -> Result<(Arc<str>, Vec<Event>), LiveTraceError> {
        let parsed = Batch::parse(&self.network, text);
        let batch = parsed.map_err(|problem| LiveTraceError::Damaged { at, problem })?;
        if !self.at.is_followed_by(at) && (self.is_whole || self.at != TracePosition::default()) {
            self.lost += match self.at.stream == at.stream || self.at.stream == 0 {
                true => at.number.saturating_sub(self.at.number + 1),
                // Nobody knows how many there were.
                false => 1,
            };
        }
        self.at = at;
        if let Some(ask) = &self.ask
            && batch.answers.iter().any(|answer| **answer == **ask)
        {
            self.answered.insert(Arc::clone(&batch.process));
        }
        let is_whole = self.is_whole;
        let sent = self.senders.entry(Arc::clone(&batch.process));
        let sent = sent.or_insert_with(|| match is_whole {
            true => Sent {
                next: 1,
                ..Sent::default()
            },
            false => Sent {
                next: batch.number,
                before: batch.before,
                dropped_before: batch.dropped,
                ..Sent::default()
            },
        });
        if batch.number < sent.next {
            return Ok((batch.process, Vec::new()));
        }
        sent.lost += batch.number - sent.next;
        sent.missed += batch.before.saturating_sub(sent.before);
        sent.next = batch.number + 1;
        sent.before = batch.before + batch.events.len() as u64;
        sent.dropped = batch.dropped;
        Ok((batch.process, batch.events))
    }

    /// How many events it has missed at least, as their subnetworks or the registry dropped them.
    pub(super) fn dropped(&self) -> u64 {
        let senders = self.senders.values();
        let known: u64 = senders
            .clone()
            .map(|sent| sent.missed + sent.dropped.saturating_sub(sent.dropped_before))
            .sum();
        let lost: u64 = senders.map(|sent| sent.lost).sum();
        // Batches of subnetworks of which nothing came later.
        known + self.lost.saturating_sub(lost)
    }

    /// It asks now.
    pub(super) fn asks(&mut self, ask: String) {
        self.ask = Some(ask);
        self.answered.clear();
    }

    /// Whether this member has answered.
    pub(super) fn has_answered(&self, member: &str) -> bool {
        self.answered.contains(member)
    }
}

#[cfg(test)]
mod tests;
