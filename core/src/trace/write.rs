//! Events as lines of JSON.
//!
//! Owns the lines of a trace file: its first, one for each event, its last; and how text is escaped. Never
//! writes to a file.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::trace::event::{End, Event, EventKind};
use crate::trace::merge::{Trace, Traced};
use crate::{Addr, Cause};

/// The version of the form of trace files, in their first line.
pub const FILE_VERSION: u64 = 1;

/// One object, of which each value is written as it comes.
struct Object<'a> {
    line: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    fn new(line: &'a mut String) -> Object<'a> {
        line.push('{');
        Object { line, empty: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.empty) {
            self.line.push(',');
        }
        let _ = write!(self.line, "\"{key}\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(value, self.line);
    }

    fn number(&mut self, key: &str, value: impl Into<u128>) {
        self.key(key);
        let _ = write!(self.line, "{}", value.into());
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        let _ = write!(self.line, "{value}");
    }

    fn texts(&mut self, key: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        self.key(key);
        self.line.push('[');
        for (place, value) in values.into_iter().enumerate() {
            if place > 0 {
                self.line.push(',');
            }
            quote(value.as_ref(), self.line);
        }
        self.line.push(']');
    }

    /// Seconds and nine digits, as text: its nanoseconds are more than the numbers of many programs that read JSON can
    /// hold.
    fn time(&mut self, key: &str, time: Duration) {
        let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
        self.text(key, &format!("{seconds}.{nanos:09}"));
    }

    fn addr(&mut self, key: &str, addr: &Addr) {
        self.text(key, &addr.to_string());
    }

    fn cause(&mut self, cause: Cause) {
        self.text("cause", &cause.name());
    }

    fn end(&mut self, end: &End) {
        self.addr("local", &end.local);
        self.addr("peer", &end.peer);
        self.flag("dialed", end.dialed);
        self.number("nth", end.nth);
    }

    fn close(self) {
        self.line.push_str("}\n");
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// A JSON string. All but what must be escaped stays as it is, in UTF-8.
fn quote(text: &str, line: &mut String) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            // Control characters; and the two that end a line for programs that are not JSON's.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

/// The first line of the file of one subnetwork.
pub(super) fn first_line(network: &str, process: &str, line: &mut String) {
    let mut object = Object::new(line);
    object.number("virtnet_trace", FILE_VERSION);
    object.text("network", network);
    object.text("process", process);
    object.close();
}

/// The first line of a batch of the live trace.
pub(super) struct BatchHead<'a> {
    pub(super) network: &'a str,
    pub(super) process: &'a str,
    /// Which batch of its subnetwork, from 1.
    pub(super) batch: u64,
    /// How many events were in the batches before it.
    pub(super) before: u64,
    /// How many were dropped so far.
    pub(super) dropped: u64,
    /// When its subnetwork began to record: since 1970.
    pub(super) began: Duration,
}

/// The first line of a batch.
pub(super) fn batch_line(head: &BatchHead<'_>, line: &mut String) {
    let mut object = Object::new(line);
    object.number("virtnet_trace", FILE_VERSION);
    object.text("network", head.network);
    object.text("process", head.process);
    object.number("batch", head.batch);
    object.number("before", head.before);
    object.number("dropped", head.dropped);
    object.time("began", head.began);
    object.close();
}

/// The line that begins the short lines of one host's events in a batch; `names` are those of the hosts in them.
pub(super) fn group_line(host: &str, names: &[Arc<str>], line: &mut String) {
    let mut object = Object::new(line);
    object.text("events_of", host);
    object.texts("names", names);
    object.close();
}

/// The line in which a subnetwork says that it has sent all that had happened when it was asked.
pub(super) fn answers_line(asks: &[String], line: &mut String) {
    let mut object = Object::new(line);
    object.texts("answers", asks);
    object.close();
}

/// The last line: how many events are not in the file.
pub(super) fn last_line(dropped: u64, line: &mut String) {
    let mut object = Object::new(line);
    object.flag("end", true);
    object.number("dropped", dropped);
    object.close();
}

/// The line of an event.
pub(super) fn event_line(event: &Event, line: &mut String) {
    let mut object = Object::new(line);
    write_event(event, &mut object);
    object.close();
}

impl Trace {
    /// The trace as the lines of a file, as `virtnet trace merge` writes it: JSON, one object a line, the
    /// events in causal order. Each has its number in the trace (`id`), its subnetwork (`process`), and the ids of the
    /// two that it follows (`previous`, `cause`).
    ///
    /// `trace::read` reads it again, with the feature `trace-files`.
    pub fn to_lines(&self, network: &str) -> String {
        let mut lines = String::new();
        let mut first = Object::new(&mut lines);
        first.number("virtnet_trace", FILE_VERSION);
        first.text("network", network);
        first.flag("merged", true);
        first.close();
        for (id, traced) in self.events().iter().enumerate() {
            traced_line(id, traced, &mut lines);
        }
        last_line(self.dropped(), &mut lines);
        lines
    }
}

/// The line of an event of the live trace.
#[cfg(feature = "trace-files")]
pub(super) fn live_line(process: &str, event: &Event, line: &mut String) {
    let mut object = Object::new(line);
    object.text("process", process);
    write_event(event, &mut object);
    object.close();
}

/// The line of an event of a merged trace.
fn traced_line(id: usize, traced: &Traced, line: &mut String) {
    let mut object = Object::new(line);
    let id_of = |index: usize| index as u64 + 1;
    object.number("id", id_of(id));
    object.text("process", &traced.process);
    if let Some(previous) = traced.previous {
        object.number("previous", id_of(previous));
    }
    if let Some(cause) = traced.cause {
        object.number("cause_id", id_of(cause));
    }
    write_event(&traced.event, &mut object);
    object.close();
}

fn write_event(event: &Event, object: &mut Object<'_>) {
    object.text("host", &event.host);
    object.number("number", event.number);
    object.time("wall", event.wall);
    object.number("elapsed_ns", event.elapsed.as_nanos());
    object.text("event", name(&event.kind));
    write_kind(&event.kind, object);
}

/// The value of `event`.
fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::HostMade => "host_made",
        EventKind::HostClosed => "host_closed",
        EventKind::HostCrashed => "host_crashed",
        EventKind::HostLost => "host_lost",
        EventKind::Listening { .. } => "listening",
        EventKind::ListenerClosed { .. } => "listener_closed",
        EventKind::Dialing { .. } => "dialing",
        EventKind::Connected { .. } => "connected",
        EventKind::DialFailed { .. } => "dial_failed",
        EventKind::DialGivenUp { .. } => "dial_given_up",
        EventKind::Accepted { .. } => "accepted",
        EventKind::FirstByteSent { .. } => "first_byte_sent",
        EventKind::FirstByteReceived { .. } => "first_byte_received",
        EventKind::Data { .. } => "data",
        EventKind::EndSent { .. } => "end_sent",
        EventKind::EndReceived { .. } => "end_received",
        EventKind::ReadFailed { .. } => "read_failed",
        EventKind::WriteFailed { .. } => "write_failed",
        EventKind::Closed { .. } => "closed",
        EventKind::FaultsInForce { .. } => "faults_in_force",
        EventKind::FaultCounted { .. } => "fault_counted",
        EventKind::Note { .. } => "note",
    }
}

/// What an event has besides its name.
fn write_kind(kind: &EventKind, object: &mut Object<'_>) {
    match kind {
        EventKind::HostMade
        | EventKind::HostClosed
        | EventKind::HostCrashed
        | EventKind::HostLost => {}
        EventKind::Listening { addr } | EventKind::ListenerClosed { addr } => {
            object.addr("addr", addr);
        }
        EventKind::Dialing { src, dst, first } => {
            object.addr("src", src);
            object.addr("dst", dst);
            object.number("first", *first);
        }
        EventKind::DialFailed { src, dst, cause } => {
            object.addr("src", src);
            object.addr("dst", dst);
            object.cause(*cause);
        }
        EventKind::DialGivenUp { src, dst } => {
            object.addr("src", src);
            object.addr("dst", dst);
        }
        EventKind::Connected { end, dst } => {
            object.end(end);
            object.addr("dst", dst);
        }
        EventKind::Accepted { end, listener } => {
            object.end(end);
            object.addr("listener", listener);
        }
        EventKind::FirstByteSent { end } | EventKind::FirstByteReceived { end } => object.end(end),
        EventKind::Data {
            end,
            sent,
            offset,
            len,
            bytes,
        } => {
            object.end(end);
            object.flag("sent", *sent);
            object.number("offset", *offset);
            object.number("len", *len);
            object.text("hex", &hex(bytes));
        }
        EventKind::EndSent { end, bytes } | EventKind::EndReceived { end, bytes } => {
            object.end(end);
            object.number("bytes", *bytes);
        }
        EventKind::ReadFailed { end, bytes, cause }
        | EventKind::WriteFailed { end, bytes, cause } => {
            object.end(end);
            object.number("bytes", *bytes);
            object.cause(*cause);
        }
        EventKind::Closed {
            end,
            sent,
            received,
        } => {
            object.end(end);
            object.number("sent", *sent);
            object.number("received", *received);
        }
        EventKind::FaultsInForce { version, rules } => {
            object.number("version", *version);
            object.texts("rules", rules);
        }
        EventKind::FaultCounted { rule, matched, hit } => {
            object.text("rule", rule);
            object.number("matched", *matched);
            object.number("hit", *hit);
        }
        EventKind::Note { text } => object.text("text", text),
    }
}
