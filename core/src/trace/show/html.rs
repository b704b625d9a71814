//! A trace as one page that a browser shows without a server or a network.
//!
//! Owns the data that the page gets. What is done with it there is written in `page/`. Never lets a
//! name or a note end the element that it stands in.

use std::fmt::{self, Write};

use crate::trace::show::conns::Conns;
use crate::trace::show::lines::Lines;
use crate::trace::show::text::{json_string, one_line, utc};
use crate::trace::{EventKind, Trace};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPTS: [&str; 4] = [
    include_str!("page/model.js"),
    include_str!("page/layout.js"),
    include_str!("page/draw.js"),
    include_str!("page/controls.js"),
];

/// A trace as a page for the browser, made by [`Trace::html`].
#[derive(Debug, Clone, Copy)]
pub struct Html<'a>(&'a Trace);

impl Trace {
    /// The trace as one HTML page, with a space–time diagram: hosts are vertical lines, messages
    /// are arrows, faults are bands.
    ///
    /// The page needs no other file, no server and no network, so it can be opened from the
    /// artifacts of a CI run. It has about 100 bytes for each event, and no payload.
    pub fn html(&self) -> Html<'_> {
        Html(self)
    }
}

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Html(trace) = self;
        let mut rest = PAGE;
        for mark in ["/*style*/", "/*data*/", "/*script*/"] {
            let (before, after) = rest.split_once(mark).expect("the page has its marks");
            f.write_str(before)?;
            match mark {
                "/*style*/" => f.write_str(STYLE)?,
                "/*data*/" => f.write_str(&json(trace)?)?,
                _ => SCRIPTS.iter().try_for_each(|script| f.write_str(script))?,
            }
            rest = after;
        }
        f.write_str(rest)
    }
}

/// What the page draws. `page/model.js` says what the places in a list mean.
fn json(trace: &Trace) -> Result<String, fmt::Error> {
    let lines = Lines::new(trace);
    let conns = Conns::new(trace, &lines);
    let begins = trace.begins();
    let events = trace.events();
    let network = events.iter().find_map(|traced| network(&traced.event.kind));
    let mut json = String::with_capacity(events.len() * 100);
    json.push_str("{\"network\":");
    json_string(&mut json, network.unwrap_or_default());
    json.push_str(",\"begins\":");
    json_string(&mut json, &utc(begins));
    write!(json, ",\"dropped\":{},\"hosts\":[", trace.dropped())?;
    for (label, process) in lines.labels.iter().zip(&lines.processes) {
        list(&mut json, |json| {
            json_string(json, &one_line(label));
            json.push(',');
            json_string(json, &one_line(process));
        });
    }
    json.push_str("],\"conns\":[");
    for conn in &conns.all {
        separate(&mut json);
        json_string(&mut json, &one_line(&conn.label()));
    }
    json.push_str("],\"events\":[");
    for (index, traced) in events.iter().enumerate() {
        let micros = (traced.event.wall - begins).as_micros();
        let number = traced.event.number;
        let [cause, conn] = [traced.cause, conns.of(index)].map(or_minus_one);
        separate(&mut json);
        write!(json, "[{},{}", lines.of(index), group(&traced.event.kind))?;
        write!(json, ",{micros},{cause},{conn},{number},")?;
        json_string(&mut json, &one_line(&traced.event.to_string()));
        json.push(']');
    }
    json.push_str("],\"faults\":[");
    for (index, traced) in events.iter().enumerate() {
        if let EventKind::FaultsInForce { rules, .. } = &traced.event.kind {
            list(&mut json, |json| {
                json.push_str(&index.to_string());
                for rule in rules {
                    json.push(',');
                    json_string(json, &one_line(rule));
                }
            });
        }
    }
    json.push_str("]}");
    Ok(json)
}

/// The comma between two values of a list.
fn separate(json: &mut String) {
    if !json.ends_with('[') {
        json.push(',');
    }
}

fn list(json: &mut String, inside: impl FnOnce(&mut String)) {
    separate(json);
    json.push('[');
    inside(json);
    json.push(']');
}

fn or_minus_one(index: Option<usize>) -> i64 {
    index.map_or(-1, |index| i64::try_from(index).unwrap_or(-1))
}

/// How an event is drawn: its place in `kinds` of `page/model.js`.
fn group(kind: &EventKind) -> u8 {
    match kind {
        EventKind::HostMade => 0,
        EventKind::HostClosed | EventKind::HostCrashed | EventKind::HostLost => 1,
        EventKind::Listening { .. } | EventKind::ListenerClosed { .. } => 2,
        EventKind::Dialing { .. } => 3,
        EventKind::Connected { .. } | EventKind::Accepted { .. } => 4,
        EventKind::FirstByteSent { .. }
        | EventKind::FirstByteReceived { .. }
        | EventKind::Data { .. } => 5,
        EventKind::EndSent { .. } | EventKind::EndReceived { .. } | EventKind::Closed { .. } => 6,
        EventKind::DialFailed { .. }
        | EventKind::DialGivenUp { .. }
        | EventKind::ReadFailed { .. }
        | EventKind::WriteFailed { .. } => 7,
        EventKind::FaultsInForce { .. } | EventKind::FaultCounted { .. } => 8,
        EventKind::Note { .. } => 9,
    }
}

/// The network that the event's addresses are on.
pub(super) fn network(kind: &EventKind) -> Option<&str> {
    let addr = match kind {
        EventKind::Listening { addr } | EventKind::ListenerClosed { addr } => addr,
        EventKind::Dialing { src, .. }
        | EventKind::DialFailed { src, .. }
        | EventKind::DialGivenUp { src, .. } => src,
        kind => &kind.end()?.local,
    };
    Some(addr.network())
}
