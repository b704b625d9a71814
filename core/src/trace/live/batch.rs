//! A batch of the live trace, read again.
//!
//! Owns which lines a batch may have. Never knows other batches.

use std::sync::Arc;
use std::time::Duration;

use crate::trace::event::Event;
use crate::trace::live::compact::Group;
use crate::trace::read::fields::Fields;
use crate::trace::read::object;
use crate::trace::write::FILE_VERSION;

/// How much of a damaged line an error shows, in characters.
const SHOWN: usize = 80;

/// What one subnetwork sent at once.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) process: Arc<str>,
    /// Which batch of its subnetwork, from 1.
    pub(super) number: u64,
    /// How many events were in the batches before it.
    pub(super) before: u64,
    /// How many events its subnetwork had dropped so far.
    pub(super) dropped: u64,
    /// When its subnetwork began to record.
    began: Duration,
    /// The host whose events come next.
    group: Option<Group>,
    pub(super) events: Vec<Event>,
    /// The asks that it answers.
    pub(super) answers: Vec<Arc<str>>,
}

impl Batch {
    /// Reads a batch of `network`; the error says what is wrong. Its events are by time.
    pub(super) fn parse(network: &Arc<str>, text: &str) -> Result<Batch, String> {
        let mut batch: Option<Batch> = None;
        for line in text.lines() {
            if let Some(batch) = &mut batch
                && let Some(group) = &batch.group
                && !line.starts_with('{')
            {
                batch.events.push(group.event(line)?);
                continue;
            }
            let object = object(line.as_bytes()).ok_or_else(|| {
                let shown: String = line.chars().take(SHOWN).collect();
                format!("expected a JSON object, got {shown:?}")
            })?;
            let fields = Fields(&object);
            match &mut batch {
                None => batch = Some(Batch::new(network, &fields)?),
                Some(batch) => batch.add(network, &fields)?,
            }
        }
        let mut batch = batch.ok_or_else(|| "expected lines, got none".to_owned())?;
        // They are sent host by host.
        batch.events.sort_by_key(|event| event.elapsed);
        Ok(batch)
    }

    fn new(network: &Arc<str>, first: &Fields<'_>) -> Result<Batch, String> {
        match first.number("virtnet_trace")? {
            FILE_VERSION => {}
            other => return Err(format!("expected version {FILE_VERSION}, got {other}")),
        }
        match first.text("network")? {
            name if *name == **network => {}
            other => return Err(format!("expected network {network:?}, got {other:?}")),
        }
        Ok(Batch {
            process: first.text("process")?.into(),
            number: first.number("batch")?,
            before: first.number("before")?,
            dropped: first.number("dropped")?,
            began: first.time("began")?,
            group: None,
            events: Vec::new(),
            answers: Vec::new(),
        })
    }

    fn add(&mut self, network: &Arc<str>, fields: &Fields<'_>) -> Result<(), String> {
        if fields.0.contains_key("end") {
            self.dropped = fields.number("dropped")?;
        } else if fields.0.contains_key("events_of") {
            self.group = Some(Group::new(network, self.began, fields)?);
        } else if fields.0.contains_key("answers") {
            self.answers = fields.texts("answers")?;
        } else {
            self.events.push(fields.event(network)?);
        }
        Ok(())
    }
}
