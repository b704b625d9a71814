//! The events of `virtnet demo`: printed as they happen, and compared with the prediction.
//!
//! Owns [`EventPrinter`] and both output formats. Never dials, accepts or closes.

use std::fmt::Write;

use serde_json::Value;
use virtnet::{Addr, Conn, OpError};

use super::exit::{Exit, one_line};
use super::output::{print, print_json};

/// Prints events, compares them with the prediction, and counts them.
pub(crate) struct EventPrinter {
    json: bool,
    hosts: u64,
    connections: u64,
    errors: u64,
    bytes: u64,
}

/// What an event has besides its addresses.
enum Detail {
    None,
    Bytes(u64),
    Error(String),
}

impl EventPrinter {
    pub(crate) fn new(json: bool) -> EventPrinter {
        EventPrinter {
            json,
            hosts: 0,
            connections: 0,
            errors: 0,
            bytes: 0,
        }
    }

    /// Prints a heading for people; JSON has none.
    pub(crate) fn heading(&self, line: &str) -> Result<(), Exit> {
        if self.json { Ok(()) } else { print(line) }
    }

    pub(crate) fn host(&mut self, host: &virtnet::Host, predicted: &str) -> Result<(), Exit> {
        self.hosts += 1;
        self.event("host", host.name(), "", Detail::None, predicted)
    }

    pub(crate) fn listen(&self, at: &Addr, predicted: &str) -> Result<(), Exit> {
        self.event("listen", &at.to_string(), "", Detail::None, predicted)
    }

    /// A dial failed; the error names both addresses.
    pub(crate) fn error(&mut self, err: &OpError, predicted: &str) -> Result<(), Exit> {
        self.errors += 1;
        let [src, dst] =
            [err.src(), err.addr()].map(|addr| addr.map_or_else(String::new, Addr::to_string));
        let detail = Detail::Error(err.cause().to_string());
        self.event("error", &src, &dst, detail, predicted)
            .map_err(|end| match end {
                Exit::Failed(line) => Exit::Failed(format!("{line}: {}", one_line(err))),
                signal => signal,
            })
    }

    /// A dial to `dialed` was accepted.
    pub(crate) fn accept(
        &mut self,
        dialed: &Addr,
        ends: (&Conn, &Conn),
        predicted: [&str; 2],
    ) -> Result<(), Exit> {
        self.connections += 1;
        let (src, dst) = (ends.0.local_addr(), ends.0.peer_addr());
        self.between("dial", src, dialed, predicted[0])?;
        self.between("accept", src, dst, predicted[1])?;
        // The accepting side must report the same addresses.
        let (src, dst) = (ends.1.peer_addr(), ends.1.local_addr());
        self.check("accept", &src.to_string(), &dst.to_string(), predicted[1])
    }

    pub(crate) fn write(&self, at: &Conn, bytes: u64, predicted: &str) -> Result<(), Exit> {
        let (src, dst) = (at.local_addr().to_string(), at.peer_addr().to_string());
        self.event("write", &src, &dst, Detail::Bytes(bytes), predicted)
    }

    pub(crate) fn read(&mut self, at: &Conn, bytes: u64, predicted: &str) -> Result<(), Exit> {
        self.bytes += bytes;
        let (src, dst) = (at.peer_addr().to_string(), at.local_addr().to_string());
        self.event("read", &src, &dst, Detail::Bytes(bytes), predicted)
    }

    /// The reader of `at` has read the peer's end-of-file.
    pub(crate) fn end(&self, at: &Conn, predicted: &str) -> Result<(), Exit> {
        self.between("end", at.peer_addr(), at.local_addr(), predicted)
    }

    pub(crate) fn shutdown(&self, at: &Conn, predicted: &str) -> Result<(), Exit> {
        self.between("shutdown", at.local_addr(), at.peer_addr(), predicted)
    }

    pub(crate) fn close(&self, at: &Addr, to: Option<&Addr>, predicted: &str) -> Result<(), Exit> {
        let to = to.map_or_else(String::new, Addr::to_string);
        self.event("close", &at.to_string(), &to, Detail::None, predicted)
    }

    /// The last line: the counts.
    pub(crate) fn summary(&self) -> Result<(), Exit> {
        let EventPrinter {
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

    fn between(&self, event: &str, src: &Addr, dst: &Addr, predicted: &str) -> Result<(), Exit> {
        self.event(
            event,
            &src.to_string(),
            &dst.to_string(),
            Detail::None,
            predicted,
        )
    }

    fn event(
        &self,
        event: &str,
        src: &str,
        dst: &str,
        detail: Detail,
        predicted: &str,
    ) -> Result<(), Exit> {
        if self.json {
            let more = match detail {
                Detail::None => vec![],
                Detail::Bytes(bytes) => vec![("bytes", bytes.into())],
                Detail::Error(error) => vec![("error", error.into())],
            };
            print_json(&addressed(event, src, dst), &more)?;
        } else {
            print(line(event, src, dst, &detail).trim_end())?;
        }
        self.check(event, src, dst, predicted)
    }

    fn check(&self, event: &str, src: &str, dst: &str, predicted: &str) -> Result<(), Exit> {
        let addresses = if dst.is_empty() {
            src.to_owned()
        } else {
            format!("{src}->{dst}")
        };
        if addresses == predicted {
            return Ok(());
        }
        Err(Exit::Failed(format!(
            "event {event}: expected {predicted}, got {addresses}"
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

fn line(event: &str, src: &str, dst: &str, detail: &Detail) -> String {
    let arrow = if dst.is_empty() { "  " } else { "->" };
    let mut line = format!("{event:<8}  {src:<4} {arrow} {dst:<4}");
    // Writing to a String succeeds.
    let _ = match detail {
        Detail::None => Ok(()),
        Detail::Bytes(bytes) => write!(line, "  {bytes} bytes"),
        Detail::Error(error) => write!(line, "  {error}"),
    };
    line
}
