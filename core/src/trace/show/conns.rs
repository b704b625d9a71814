//! Which events belong to one connection, at either end.
//!
//! Owns how that is found. Never decides which event led to which: the merged trace says so.

use std::collections::HashMap;

use crate::Addr;
use crate::trace::show::lines::Lines;
use crate::trace::{End, EventKind, Trace};

/// A connection, or a dial that came to nothing.
pub(super) struct Conn<'a> {
    /// The dialing port.
    pub(super) src: &'a Addr,
    /// The dialed address. If the dial was not recorded, that of the accepting end.
    pub(super) dst: &'a Addr,
    /// The dialing end, if it connected.
    pub(super) dialer: Option<&'a End>,
    /// The accepting end, if its event is known to be of this connection.
    pub(super) acceptor: Option<&'a End>,
}

/// All connections of a trace.
pub(super) struct Conns<'a> {
    pub(super) all: Vec<Conn<'a>>,
    of: Vec<Option<usize>>,
    /// Dials without an answer, by line and port: a port has one at a time.
    open: HashMap<(usize, &'a Addr), usize>,
    ends: HashMap<(usize, &'a End), usize>,
}

impl<'a> Conns<'a> {
    pub(super) fn new(trace: &'a Trace, lines: &Lines) -> Conns<'a> {
        let mut conns = Conns {
            all: Vec::new(),
            of: Vec::with_capacity(trace.events().len()),
            open: HashMap::new(),
            ends: HashMap::new(),
        };
        for (index, traced) in trace.events().iter().enumerate() {
            let cause = traced.cause.and_then(|cause| conns.of[cause]);
            let conn = conns.find(lines.of(index), &traced.event.kind, cause);
            conns.of.push(conn);
        }
        conns
    }

    /// The connection of an event, if it is about one.
    pub(super) fn of(&self, event: usize) -> Option<usize> {
        self.of[event]
    }

    fn find(&mut self, line: usize, kind: &'a EventKind, cause: Option<usize>) -> Option<usize> {
        let found = match kind {
            EventKind::Dialing { src, dst, .. } => {
                let conn = self.add(src, dst);
                self.open.insert((line, src), conn);
                conn
            }
            EventKind::DialFailed { src, dst, .. } | EventKind::DialGivenUp { src, dst } => {
                let open = self.open.remove(&(line, src));
                open.unwrap_or_else(|| self.add(src, dst))
            }
            EventKind::Connected { end, dst } => {
                let open = self.open.remove(&(line, &end.local)).or(cause);
                let conn = open.unwrap_or_else(|| self.add(&end.local, dst));
                self.all[conn].dialer = Some(end);
                self.ends.insert((line, end), conn);
                conn
            }
            EventKind::Accepted { end, listener } => {
                let conn = cause.unwrap_or_else(|| self.add(&end.peer, listener));
                self.all[conn].acceptor = Some(end);
                self.ends.insert((line, end), conn);
                conn
            }
            kind => {
                let end = kind.end()?;
                match self.ends.get(&(line, end)) {
                    Some(conn) => *conn,
                    None => self.half_known(line, end),
                }
            }
        };
        Some(found)
    }

    fn add(&mut self, src: &'a Addr, dst: &'a Addr) -> usize {
        self.all.push(Conn {
            src,
            dst,
            dialer: None,
            acceptor: None,
        });
        self.all.len() - 1
    }

    /// The record begins in the middle of this connection.
    fn half_known(&mut self, line: usize, end: &'a End) -> usize {
        let (conn, dialer, acceptor) = match end.dialed {
            true => (self.add(&end.local, &end.peer), Some(end), None),
            false => (self.add(&end.peer, &end.local), None, Some(end)),
        };
        self.all[conn].dialer = dialer;
        self.all[conn].acceptor = acceptor;
        self.ends.insert((line, end), conn);
        conn
    }
}

impl Conn<'_> {
    /// The address of the accepting end, or the dialed one.
    pub(super) fn accepting(&self) -> &Addr {
        let dialer = self.dialer.map(|end| &end.peer);
        let acceptor = self.acceptor.map(|end| &end.local);
        dialer.or(acceptor).unwrap_or(self.dst)
    }

    /// `β:1 -> α:2`, with the number of the connection if it is not the first between these.
    pub(super) fn label(&self) -> String {
        let nth = self.dialer.or(self.acceptor).map_or(1, |end| end.nth);
        match nth {
            1 => format!("{} -> {}", self.src, self.accepting()),
            nth => format!("{} -> {} #{nth}", self.src, self.accepting()),
        }
    }
}
