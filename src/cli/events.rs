//! The events of the demonstration: printed as they happen, and compared with
//! what was predicted.
//!
//! Owns [`Stage`] and both output formats. Never makes anything happen.

use std::fmt::Write;

use serde_json::Value;
use virtnet::{Addr, Conn, OpError};

use super::end::{End, one_line, print, print_json};

/// Where the events appear, and what there was of them.
pub(crate) struct Stage {
    json: bool,
    hosts: u64,
    connections: u64,
    errors: u64,
    bytes: u64,
}

/// More about an event than its addresses.
enum Note {
    None,
    Bytes(u64),
    Error(String),
}

impl Stage {
    pub(crate) fn new(json: bool) -> Stage {
        Stage {
            json,
            hosts: 0,
            connections: 0,
            errors: 0,
            bytes: 0,
        }
    }

    /// Explains what follows, to people.
    pub(crate) fn say(&self, line: &str) -> Result<(), End> {
        if self.json { Ok(()) } else { print(line) }
    }

    pub(crate) fn host(&mut self, host: &virtnet::Host, predicted: &str) -> Result<(), End> {
        self.hosts += 1;
        self.event("host", host.name(), "", Note::None, predicted)
    }

    pub(crate) fn listen(&self, at: &Addr, predicted: &str) -> Result<(), End> {
        self.event("listen", &at.to_string(), "", Note::None, predicted)
    }

    /// A dial came to nothing, and the error says from where to where.
    pub(crate) fn error(&mut self, err: &OpError, predicted: &str) -> Result<(), End> {
        self.errors += 1;
        let [src, dst] =
            [err.src(), err.addr()].map(|addr| addr.map_or_else(String::new, Addr::to_string));
        let note = Note::Error(err.cause().to_string());
        self.event("error", &src, &dst, note, predicted)
            .map_err(|end| match end {
                End::Failed(line) => End::Failed(format!("{line}: {}", one_line(err))),
                signal => signal,
            })
    }

    /// A dial to `dialed` was accepted.
    pub(crate) fn accept(
        &mut self,
        dialed: &Addr,
        ends: (&Conn, &Conn),
        predicted: [&str; 2],
    ) -> Result<(), End> {
        self.connections += 1;
        let (src, dst) = (ends.0.local_addr(), ends.0.peer_addr());
        self.between("dial", src, dialed, predicted[0])?;
        self.between("accept", src, dst, predicted[1])?;
        // The accepting side must say the same of the connection.
        let (src, dst) = (ends.1.peer_addr(), ends.1.local_addr());
        self.check("accept", &src.to_string(), &dst.to_string(), predicted[1])
    }

    pub(crate) fn write(&self, at: &Conn, bytes: u64, predicted: &str) -> Result<(), End> {
        let (src, dst) = (at.local_addr().to_string(), at.peer_addr().to_string());
        self.event("write", &src, &dst, Note::Bytes(bytes), predicted)
    }

    pub(crate) fn read(&mut self, at: &Conn, bytes: u64, predicted: &str) -> Result<(), End> {
        self.bytes += bytes;
        let (src, dst) = (at.peer_addr().to_string(), at.local_addr().to_string());
        self.event("read", &src, &dst, Note::Bytes(bytes), predicted)
    }

    /// The reader at `at` has seen the other side's end-of-file.
    pub(crate) fn end(&self, at: &Conn, predicted: &str) -> Result<(), End> {
        self.between("end", at.peer_addr(), at.local_addr(), predicted)
    }

    pub(crate) fn shutdown(&self, at: &Conn, predicted: &str) -> Result<(), End> {
        self.between("shutdown", at.local_addr(), at.peer_addr(), predicted)
    }

    pub(crate) fn close(&self, at: &Addr, to: Option<&Addr>, predicted: &str) -> Result<(), End> {
        let to = to.map_or_else(String::new, Addr::to_string);
        self.event("close", &at.to_string(), &to, Note::None, predicted)
    }

    /// The last words.
    pub(crate) fn summary(&self) -> Result<(), End> {
        let Stage {
            hosts,
            connections,
            errors,
            bytes,
            ..
        } = *self;
        if self.json {
            let counts = [
                ("hosts", hosts),
                ("connections", connections),
                ("errors", errors),
                ("bytes", bytes),
            ];
            return print_json(
                &addressed("summary", "", ""),
                &counts.map(|(key, n)| (key, n.into())),
            );
        }
        print("")?;
        print(&format!(
            "{hosts} hosts, {connections} connections, {errors} failed dials, {bytes} bytes \
             delivered: every address as predicted"
        ))
    }

    fn between(&self, event: &str, src: &Addr, dst: &Addr, predicted: &str) -> Result<(), End> {
        self.event(
            event,
            &src.to_string(),
            &dst.to_string(),
            Note::None,
            predicted,
        )
    }

    fn event(
        &self,
        event: &str,
        src: &str,
        dst: &str,
        note: Note,
        predicted: &str,
    ) -> Result<(), End> {
        if self.json {
            let more = match note {
                Note::None => vec![],
                Note::Bytes(bytes) => vec![("bytes", bytes.into())],
                Note::Error(error) => vec![("error", error.into())],
            };
            print_json(&addressed(event, src, dst), &more)?;
        } else {
            print(line(event, src, dst, &note).trim_end())?;
        }
        self.check(event, src, dst, predicted)
    }

    fn check(&self, event: &str, src: &str, dst: &str, predicted: &str) -> Result<(), End> {
        let addresses = if dst.is_empty() {
            src.to_owned()
        } else {
            format!("{src}->{dst}")
        };
        if addresses == predicted {
            return Ok(());
        }
        Err(End::Failed(format!(
            "not as predicted: {event} {addresses}, not {predicted}"
        )))
    }
}

fn addressed(event: &str, src: &str, dst: &str) -> [(&'static str, Value); 3] {
    [
        ("event", event.into()),
        ("src", src.into()),
        ("dst", dst.into()),
    ]
}

fn line(event: &str, src: &str, dst: &str, note: &Note) -> String {
    let arrow = if dst.is_empty() { "  " } else { "->" };
    let mut line = format!("{event:<8}  {src:<4} {arrow} {dst:<4}");
    // Writing to a String succeeds.
    let _ = match note {
        Note::None => Ok(()),
        Note::Bytes(bytes) => write!(line, "  {bytes} bytes"),
        Note::Error(error) => write!(line, "  {error}"),
    };
    line
}
