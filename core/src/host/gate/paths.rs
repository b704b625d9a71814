//! Reading and writing while a fault rule may concern the connection.
//!
//! Owns the slower paths of [`ConnInner`]. Never used while no rule concerns it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::Failure;
use crate::host::conn_inner::{ConnInner, Writer};
use crate::host::gate::{Look, Ruled, Way};
use crate::host::half::Half;

/// The result of a poll of a half; `None` if its stream was taken away.
type Polled<T> = Poll<Option<io::Result<T>>>;

impl ConnInner {
    /// Meets the rules that are in force now: another table was swapped in, or the connection has
    /// just become one. Tasks that wait for it look again, if a rule concerns or concerned it.
    pub(crate) fn meet_rules(&self) {
        if self.gate.is_quiet() {
            return;
        }
        match self.look(Way::Write, Instant::now()) {
            Look::Ends(why) => self.end_by_fault(why),
            Look::Quiet | Look::Ruled(_) => {
                self.reader.wake();
                self.writer.wake();
            }
        }
    }

    fn look(&self, way: Way, now: Instant) -> Look {
        self.gate.look((self.local(), self.peer()), way, now)
    }

    /// Reads, as far as rules allow.
    pub(crate) fn read_under_rules(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Polled<()> {
        self.under_rules(&self.reader, Way::Read, cx, |stream, cx, most, now| {
            let most = most.min(buf.remaining());
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            let read = Pin::new(stream).poll_read(cx, &mut part);
            if let Poll::Ready(Ok(())) = read {
                let fresh = part.filled_mut();
                let count = fresh.len();
                self.gate.arrived(self.gate.read.get(), fresh, now);
                self.gate.read.add(count);
                buf.advance(count);
            }
            read
        })
    }

    /// Writes, flushes or shuts down, as far as rules allow. They bound what is written by not
    /// reading it at the other end.
    pub(crate) fn write_under_rules<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Writer, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Polled<T> {
        self.under_rules(&self.writer, Way::Write, cx, |stream, cx, _, _| {
            write(stream, cx)
        })
    }

    /// Polls a half as far as rules allow, and does to the connection what they say.
    fn under_rules<S: ?Sized, T>(
        &self,
        half: &Half<S>,
        way: Way,
        cx: &mut Context<'_>,
        poll: impl FnMut(&mut S, &mut Context<'_>, usize, Instant) -> Poll<io::Result<T>>,
    ) -> Polled<T> {
        let was_silent = self.gate.is_silent();
        let polled = self.try_under_rules(half, way, cx, poll);
        // Without the half's lock: a task that waits for the other half has to know of the silence.
        if !was_silent && self.gate.is_silent() {
            match way {
                Way::Read => self.writer.wake(),
                Way::Write => self.reader.wake(),
            }
        }
        polled.unwrap_or_else(|why| {
            self.end_by_fault(why);
            Poll::Ready(None)
        })
    }

    fn try_under_rules<S: ?Sized, T>(
        &self,
        half: &Half<S>,
        way: Way,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut S, &mut Context<'_>, usize, Instant) -> Poll<io::Result<T>>,
    ) -> Result<Polled<T>, Failure> {
        let mut half = half.lock();
        loop {
            if !half.is_there() {
                return Ok(Poll::Ready(None));
            }
            let now = Instant::now();
            let ruled = match self.look(way, now) {
                Look::Ends(why) => return Err(why),
                Look::Quiet => Ruled::nothing(),
                Look::Ruled(ruled) => ruled,
            };
            let mut again = ruled.again;
            if way == Way::Write || !ruled.withheld {
                match half.poll(cx, |stream, cx| poll(stream, cx, ruled.most, now)) {
                    Poll::Pending => {}
                    Poll::Ready(Some(Err(err))) if ruled.news_withheld && is_news(&err) => {
                        self.gate.news_came(now);
                        again = match self.look(way, now) {
                            Look::Ends(why) => return Err(why),
                            Look::Quiet => continue,
                            Look::Ruled(ruled) => ruled.again,
                        };
                    }
                    done => {
                        // These may be the bytes after which a rule begins. If it ends the
                        // connection, the next poll says so.
                        self.look(Way::Write, now);
                        return Ok(done);
                    }
                }
            }
            if half.wait_until(again, cx).is_pending() {
                return Ok(Poll::Pending);
            }
        }
    }
}

/// The error tells what the peer did, and not what became of the connection below.
fn is_news(err: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        err.kind(),
        Kind::BrokenPipe | Kind::ConnectionReset | Kind::ConnectionAborted
    )
}
