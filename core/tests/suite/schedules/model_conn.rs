//! The model of connections: two directions, two ends, and the expected result of each
//! read and write. Never stores data: each byte follows from its position.

use virtnet_core::Cause;

use super::model::{Holder, Model, Outcome, Place};

/// One direction.
#[derive(Default)]
pub(crate) struct Dir {
    capacity: usize,
    pub(crate) written: usize,
    pub(crate) read: usize,
    ended: bool,
    unread: bool,
    pub(crate) cut: bool,
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) host: usize,
    pub(crate) port: u16,
    pub(crate) peer: Place,
    pub(crate) down: Option<Cause>,
    /// A dial or an accept returned the end. Until then, every close cuts it.
    pub(crate) handed: bool,
    /// It was shut down for writing.
    shut: bool,
    pub(crate) rx: usize,
    pub(crate) tx: usize,
}

/// The byte at that position of a direction.
pub(crate) fn byte_at(dir: usize, at: usize) -> u8 {
    (dir * 89 + at * 7 + at / 256) as u8
}

impl Model {
    pub(crate) fn new_dir(&mut self, capacity: usize) -> usize {
        self.dirs.push(Dir {
            capacity,
            ..Dir::default()
        });
        self.dirs.len() - 1
    }

    pub(crate) fn new_end(
        &mut self,
        host: usize,
        port: u16,
        peer: Place,
        rx: usize,
        tx: usize,
    ) -> usize {
        let ports = &mut self.hosts[host].ports;
        ports.insert(port, Holder::Connected(peer));
        self.ref_host(host);
        self.ends.push(End {
            host,
            port,
            peer,
            down: None,
            handed: false,
            shut: false,
            rx,
            tx,
        });
        self.ends.len() - 1
    }

    /// The end goes down: its port is free, its peer sees it.
    pub(crate) fn down_end(&mut self, e: usize, cause: Cause) {
        let End {
            host,
            port,
            handed,
            rx,
            tx,
            ..
        } = self.ends[e];
        if self.ends[e].down.is_none() {
            self.ends[e].down = Some(cause);
            self.hosts[host].ports.remove(&port);
            match handed {
                true => self.drop_stream(rx, tx),
                false => self.cut_stream(rx, tx),
            }
        }
    }

    /// Its owner cuts it.
    pub(crate) fn abort_end(&mut self, e: usize) {
        if self.ends[e].down.is_none() {
            self.ends[e].handed = false;
            self.down_end(e, Cause::SocketDown);
        }
    }

    /// The end was dropped.
    pub(crate) fn drop_end(&mut self, e: usize) {
        self.down_end(e, Cause::SocketDown);
        self.unref_host(self.ends[e].host);
    }

    pub(crate) fn drop_stream(&mut self, rx: usize, tx: usize) {
        self.dirs[rx].unread = true;
        self.dirs[tx].ended = true;
    }

    /// No caller ever got the end, or its owner cut it.
    pub(crate) fn cut_stream(&mut self, rx: usize, tx: usize) {
        for dir in [rx, tx] {
            self.dirs[dir].cut = true;
        }
    }

    /// The writing half was dropped, and the reading half was not.
    pub(crate) fn drop_writer(&mut self, e: usize) {
        let End { tx, .. } = self.ends[e];
        self.dirs[tx].ended = true;
    }

    pub(crate) fn read(&self, e: usize, room: usize) -> Outcome {
        let End { down, rx, .. } = self.ends[e];
        let dir = &self.dirs[rx];
        match (down, dir.written - dir.read) {
            (Some(cause), _) => Outcome::Fails(cause),
            (None, _) if dir.cut => Outcome::Fails(Cause::ConnectionCut),
            (None, 0) if dir.ended => Outcome::Bytes(0),
            (None, 0) => Outcome::Pending,
            (None, there) => Outcome::Bytes(there.min(room)),
        }
    }

    pub(crate) fn write(&self, e: usize, some: usize) -> Outcome {
        let End { down, shut, tx, .. } = self.ends[e];
        let dir = &self.dirs[tx];
        match (down, dir.capacity - (dir.written - dir.read)) {
            (Some(cause), _) => Outcome::Fails(cause),
            (None, _) if shut => Outcome::Fails(Cause::BrokenPipe),
            (None, _) if dir.cut => Outcome::Fails(Cause::ConnectionCut),
            (None, _) if dir.unread => Outcome::Fails(Cause::BrokenPipe),
            (None, 0) => Outcome::Pending,
            (None, room) => Outcome::Bytes(some.min(room)),
        }
    }

    pub(crate) fn shutdown(&mut self, e: usize) -> Outcome {
        let End { down, shut, tx, .. } = self.ends[e];
        if let Some(cause) = down {
            return Outcome::Fails(cause);
        } else if self.dirs[tx].cut && !shut {
            return Outcome::Fails(Cause::ConnectionCut);
        }
        self.dirs[tx].ended = true;
        self.ends[e].shut = true;
        Outcome::Done
    }
}
