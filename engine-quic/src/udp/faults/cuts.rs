//! What cuts drop, and how it arrives when they end.
//!
//! Owns the steps at both ends. Never decides whether a cut is in force: the table does.

use std::io::IoSliceMut;
use std::task::{Context, Waker};

use quinn::udp::RecvMeta;
use tokio::time::Instant;

use crate::udp::faults::host::{HostFaults, State};
use crate::udp::faults::queue::Datagram;
use crate::udp::faults::recovery::Recovery;

impl HostFaults {
    /// Sends and hands in again what was kept for cuts that have ended, on connections that have to send then.
    /// Returns the reader to wake.
    pub(super) fn look_at_cuts(
        &self,
        state: &mut State,
        recovering: &mut Vec<Recovery>,
        now: Instant,
    ) -> Option<Waker> {
        let State {
            peers,
            saved,
            arrived,
            ..
        } = state;
        let (mut again, mut look_at) = (Vec::new(), None);
        let mut later = |until: Option<Instant>| look_at = look_at.into_iter().chain(until).min();
        for peer in peers.iter_mut() {
            match &peer.there {
                _ if peer.unsent.is_empty() => {}
                Some(link) if link.is_cut(now) => later(link.cut_until(now)),
                link => {
                    recovering.extend(peer.recover(now));
                    let unsent = peer.unsent.take(saved).into_iter();
                    again.extend(unsent.map(|datagram| (link.clone(), datagram)));
                }
            }
            match &peer.back {
                _ if peer.unread.is_empty() => {}
                Some(link) if link.is_cut(now) => later(link.cut_until(now)),
                _ => {
                    recovering.extend(peer.recover(now));
                    arrived.extend(peer.unread.take(saved));
                }
            }
        }
        state.look_at = look_at;
        for (link, datagram) in again {
            let Some(link) = link else {
                self.queue(state, now, datagram);
                continue;
            };
            for at in link.send(datagram.contents.len(), now).sent_at() {
                self.queue(state, at, datagram.clone());
            }
        }
        self.settle(state);
        (!state.arrived.is_empty()).then(|| state.reader.take())?
    }

    /// Hands in a datagram that arrived during a cut that has ended. If there is none, remembers who
    /// reads.
    pub(crate) fn read_arrived(
        &self,
        cx: &Context<'_>,
        buf: &mut IoSliceMut<'_>,
        meta: &mut RecvMeta,
    ) -> bool {
        let mut state = self.state.lock();
        let Some(datagram) = state.arrived.pop_front() else {
            match &mut state.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return false;
        };
        let length = datagram.contents.len().min(buf.len());
        buf[..length].copy_from_slice(&datagram.contents[..length]);
        meta.addr = datagram.peer;
        (meta.len, meta.stride) = (length, length);
        (meta.ecn, meta.dst_ip) = (datagram.ecn, datagram.local_ip);
        self.settle(&state);
        true
    }

    /// Drops what came from peers that are cut off. Returns whether it dropped something.
    pub(crate) fn drop_cut(
        &self,
        bufs: &[IoSliceMut<'_>],
        metas: &mut [RecvMeta],
        now: Instant,
    ) -> bool {
        let mut state = self.state.lock();
        let mut dropped = false;
        for (buf, meta) in bufs.iter().zip(metas) {
            let State {
                peers,
                saved,
                look_at,
                ..
            } = &mut *state;
            let Some(peer) = peers.get_mut(meta.addr) else {
                continue;
            };
            let Some(link) = peer.back.as_ref().filter(|link| link.is_cut(now)) else {
                continue;
            };
            let contents = &buf[..meta.len];
            for contents in contents.chunks(meta.stride.max(1)) {
                let datagram = Datagram {
                    contents: contents.into(),
                    peer: meta.addr,
                    ecn: meta.ecn,
                    local_ip: meta.dst_ip,
                };
                peer.unread.keep(datagram, saved);
            }
            *look_at = look_at.iter().copied().chain(link.cut_until(now)).min();
            // The reader skips what is empty.
            meta.len = 0;
            dropped = true;
        }
        if dropped {
            self.wake_if_earlier(&state);
        }
        dropped
    }
}

impl State {
    /// Keeps a datagram that a cut dropped.
    pub(super) fn keep_unsent(&mut self, datagram: Datagram, now: Instant) {
        let Some(peer) = self.peers.get_mut(datagram.peer) else {
            return;
        };
        let until = peer.there.as_ref().and_then(|link| link.cut_until(now));
        peer.unsent.keep(datagram, &mut self.saved);
        self.look_at = self.look_at.into_iter().chain(until).min();
    }
}
