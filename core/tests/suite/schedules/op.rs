//! Running operations: polled when the seed decides, and compared with the model each time.
//! Never polls one recursively, and never waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use virtnet_core::{Addr, Cause, Conn, Host, OpError};

use super::model::Outcome;
use super::sim::{Handle, Mark, Sim, place_of};
use super::world::{Id, Way};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    Dial(usize),
    Accept(usize),
    NewHost(usize),
    Close(usize),
    Read(usize, usize),
    Write(usize, usize),
}

type Future_<T> = Pin<Box<dyn Future<Output = Result<T, OpError>>>>;

/// The future to poll. Reads and writes are polled on the handle.
pub(crate) enum Work {
    Dial(Future_<Conn>),
    Accept(Future_<(Conn, Addr)>),
    NewHost(Future_<Host>),
    Close(Future_<()>),
    Stream,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Op {
    pub(crate) id: Id,
    pub(crate) what: What,
    work: Work,
    flag: Arc<Flag>,
    fresh: bool,
}

impl Op {
    pub(crate) fn is_woken(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) -> Option<usize> {
        match self.what {
            What::Read(e, _) | What::Write(e, _) => Some(e),
            _ => None,
        }
    }
}

impl Sim {
    pub(crate) fn next_id(&mut self) -> Id {
        self.last += 1;
        self.last
    }

    /// An operation starts: it is polled for the first time.
    pub(crate) fn start(&mut self, id: Id, what: What, work: Work) {
        let op = Op {
            id,
            what,
            work,
            flag: Arc::default(),
            fresh: true,
        };
        self.poll(op);
    }

    /// Polls the operation, which then is still running or has ended.
    pub(crate) fn poll(&mut self, mut op: Op) {
        op.flag.0.store(false, Ordering::Relaxed);
        self.world.state().current = op.id;
        let waker = Waker::from(Arc::clone(&op.flag));
        let cx = &mut Context::from_waker(&waker);
        let outcome = match (op.what, &mut op.work) {
            (What::Dial(h), Work::Dial(dial)) => self.poll_dial(op.id, h, op.fresh, dial, cx),
            (What::Accept(_), Work::Accept(accept)) => self.poll_accept(op.id, accept, cx),
            (What::NewHost(s), Work::NewHost(making)) => self.poll_making(op.id, s, making, cx),
            (What::Close(s), Work::Close(close)) => self.poll_close(s, close, cx),
            (What::Read(e, room), _) => self.poll_read(e, room, cx),
            (What::Write(e, some), _) => self.poll_write(e, some, cx),
            _ => unreachable!("each has its own work"),
        };
        self.trace.push(Mark::Polled(op.id, outcome));
        let fresh = std::mem::replace(&mut op.fresh, false);
        match outcome {
            Outcome::Pending => self.ops.push(op),
            outcome => {
                self.world.forget(op.id);
                let what = match op.what {
                    What::Dial(_) => "dial",
                    What::Accept(_) => "accept",
                    What::NewHost(_) => "new host",
                    What::Close(_) => "close",
                    What::Read(..) if outcome == Outcome::Bytes(0) => "end-of-file",
                    What::Read(..) => "read",
                    What::Write(..) => "write",
                };
                let cause = match outcome {
                    Outcome::Fails(cause) => Some(cause),
                    _ => None,
                };
                self.counts.add(what, cause);
                if !fresh && cause.is_some() {
                    self.count("failed while blocked");
                }
            }
        }
    }

    fn poll_dial(
        &mut self,
        id: Id,
        h: usize,
        fresh: bool,
        dial: &mut Future_<Conn>,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let down = self.model.hosts[h].down;
        if !fresh && down.is_none() {
            self.model.poll_line(id);
        }
        let polled = dial.as_mut().poll(cx);
        self.hear();
        let expected = match down {
            Some(cause) => Outcome::Fails(cause),
            None => self.model.poll_dial(id),
        };
        let open = self.model.dials[&id].answer;
        assert_eq!(open, None, "dial {id} did not get what it was to get");
        let (src, to) = {
            let dial = &self.model.dials[&id];
            (self.model.place(h, dial.port), (dial.to.0, dial.peer_port))
        };
        match polled {
            Poll::Pending => assert_eq!(expected, Outcome::Pending, "dial {id}"),
            Poll::Ready(Err(err)) => {
                assert_eq!(Outcome::Fails(err.cause()), expected, "dial {id}: {err}");
                if down.is_none() {
                    assert_eq!(err.src().map(place_of), Some(src));
                }
                self.model.end_dial(id);
                self.model.unref_host(h);
            }
            Poll::Ready(Ok(conn)) => {
                assert_eq!(expected, Outcome::Done, "dial {id}: {conn:?}");
                let e = self.model.dialed(id);
                assert_eq!(place_of(conn.local_addr()), src);
                assert_eq!(place_of(conn.peer_addr()), to);
                self.keep(e, conn);
                self.model.unref_host(h);
            }
        }
        expected
    }

    fn poll_accept(
        &mut self,
        id: Id,
        accept: &mut Future_<(Conn, Addr)>,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let expected = self.model.poll_accept(id);
        match accept.as_mut().poll(cx) {
            Poll::Pending => assert_eq!(expected, Outcome::Pending, "accept {id}"),
            Poll::Ready(Err(err)) => {
                assert_eq!(Outcome::Fails(err.cause()), expected, "accept {id}: {err}");
                self.model.end_accept(id, false);
            }
            Poll::Ready(Ok((conn, peer))) => {
                let Outcome::End(e) = expected else {
                    panic!("accept {id}: {conn:?} is {expected:?}");
                };
                let end = &self.model.ends[e];
                let local = self.model.place(end.host, end.port);
                assert_eq!(place_of(conn.local_addr()), local);
                assert_eq!(place_of(conn.peer_addr()), end.peer);
                assert_eq!(&peer, conn.peer_addr());
                self.keep(e, conn);
                self.model.end_accept(id, true);
            }
        }
        expected
    }

    fn poll_making(
        &mut self,
        id: Id,
        s: usize,
        making: &mut Future_<Host>,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let polled = making.as_mut().poll(cx);
        self.hear();
        let expected = self.model.poll_making(id);
        match polled {
            Poll::Pending => assert_eq!(expected, Outcome::Pending, "new host {id}"),
            Poll::Ready(Err(err)) => {
                assert_eq!(Outcome::Fails(err.cause()), expected, "new host: {err}");
                self.model.end_making(id, false);
                self.model.unref_subnet(s);
            }
            Poll::Ready(Ok(host)) => {
                assert_eq!(expected, Outcome::Done, "{host:?}");
                let h = self.model.end_making(id, true);
                assert_eq!(h, Some(self.hosts.len()));
                self.hosts.push(Some(host));
                self.model.unref_subnet(s);
            }
        }
        expected
    }

    fn poll_close(&mut self, s: usize, close: &mut Future_<()>, cx: &mut Context<'_>) -> Outcome {
        self.model.down_subnet(s);
        let Poll::Ready(closed) = close.as_mut().poll(cx) else {
            return Outcome::Pending;
        };
        let (by_engine, ended) = self.ended[s];
        assert!(ended, "close returned before it was done");
        let [engine, registry] = self.world.state().members[s].close_fails;
        let expected = match (by_engine || engine, registry) {
            (true, _) => Outcome::Fails(Cause::Other),
            (false, true) => Outcome::Fails(Cause::RegistryDown),
            (false, false) => Outcome::Done,
        };
        let outcome = closed
            .as_ref()
            .map_or_else(|err| Outcome::Fails(err.cause()), |()| Outcome::Done);
        assert_eq!(outcome, expected, "{closed:?}");
        let said = closed.err().map(|err| err.to_string()).unwrap_or_default();
        for (failed, text) in [
            (by_engine, "cable"),
            (engine, "engine"),
            (registry, "registry"),
        ] {
            assert_eq!(said.contains(text), failed, "{said}");
        }
        self.model.unref_subnet(s);
        outcome
    }

    /// Whether it can make progress according to the model.
    pub(crate) fn is_ready(&self, op: &Op) -> bool {
        match op.what {
            What::Dial(_) => {
                let watchful = self.world.state().fates[&op.id].way == Way::Watchful;
                self.model.is_dial_ready(op.id, watchful) || self.world.is_open(op.id)
            }
            What::Accept(_) => self.model.is_accept_ready(op.id),
            What::NewHost(_) => self.model.is_making_done(op.id) || self.world.is_open(op.id),
            // Its end is seen only at the end of the run.
            What::Close(_) => false,
            What::Read(e, room) => self.model.read(e, room) != Outcome::Pending,
            What::Write(e, some) => self.model.write(e, some) != Outcome::Pending,
        }
    }

    fn keep(&mut self, e: usize, conn: Conn) {
        while self.ends.len() <= e {
            self.ends.push(Handle::None);
        }
        self.ends[e] = Handle::Whole(conn);
    }
}
