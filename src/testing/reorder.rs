//! The orders of events on which a test relies without saying so.
//!
//! Owns [`Reorder`]: the runs of a test in which one event is late. Never holds an event itself: a breakpoint does.

mod report;

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

pub use self::report::{Finding, Report};
use super::own;
use crate::breakpoint::{At, Breakpoint, BreakpointError};
use crate::trace::{EventKind, LiveTrace, LiveTraceError, Pattern, Recording, Trace, Traced};
use crate::{Config, OpenError, SettingError};

/// How long nothing happens before a late event goes on.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a run may take.
const WITHIN: Duration = Duration::from_secs(30);

/// How many events are delayed.
const MOST: usize = 256;

/// Runs a test once as it is, and once more for each event that the network carried from one host to another, with just that event
/// late: everything that does not depend on it comes first. Where the test then fails, it relies on an order that
/// nothing guarantees.
///
/// Each run has a network of its own, of which the test gets the [`Config`]. The events come from the live trace, so the test may
/// start other processes of that network, which record live ([`Config::trace_live`], `VIRTNET_TRACE=live`).
///
/// An event is late until nothing has happened on the network for a [pause](Reorder::pause), so a run takes that much
/// longer. Events that are late are dials, answers to dials, and what an end of a connection sends
/// ([`At::of`]).
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use virtnet::Config;
/// use virtnet::testing::Reorder;
///
/// async fn what_was_written_is_read(config: Config) -> Result<(), Box<dyn std::error::Error>> {
///     let net = config.open().await?;
///     let (store, one) = (net.new_host("store").await?, net.new_host("one").await?);
///     let (other, listener) = (net.new_host("other").await?, store.listen("")?);
///     let value = Arc::new(AtomicU8::new(0));
///     let serve = async {
///         loop {
///             let ((mut conn, _), value) = (listener.accept().await?, Arc::clone(&value));
///             tokio::spawn(async move {
///                 match conn.read_u8().await? {
///                     0 => conn.write_u8(value.load(SeqCst)).await,
///                     new => Ok(value.store(new, SeqCst)),
///                 }
///             });
///         }
///     };
///     let clients = async {
///         let mut write = one.dial("store:1").await?;
///         // No answer: so it may arrive later than what comes next.
///         write.write_u8(7).await?;
///         let mut read = other.dial("store:1").await?;
///         read.write_u8(0).await?;
///         match read.read_u8().await? {
///             7 => Ok(()),
///             got => Err(format!("expected 7, got {got}").into()),
///         }
///     };
///     tokio::select! { served = serve => served, done = clients => done }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let report = Reorder::new()?.run(what_was_written_is_read).await?;
/// let relied: Vec<_> = report.relied_on().collect();
/// assert_eq!(relied.len(), 1, "{report}");
/// assert_eq!(relied[0].event, "one:1 -> store:2 sent first byte");
/// assert_eq!(relied[0].failure.as_deref(), Some("expected 7, got 0"));
/// // In a test of your own: report.finish()?
/// assert!(report.finish().is_err());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Reorder {
    config: Config,
    pause: Duration,
    within: Duration,
    most: usize,
    ignored: Vec<Pattern>,
}

/// Why the orders of a test could not be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReorderError {
    /// The test fails with no event late.
    #[error("the test fails as it is: {0}")]
    Fails(String),
    /// Two runs with no event late differ: [ignore](Reorder::ignore) what the test does not decide.
    #[error("two runs of the test differ as it is: in the first (-) and in the second (+)\n{0}")]
    Differs(String),
    /// The network could not be observed.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The live trace could not be read.
    #[error("{0}")]
    Trace(#[from] LiveTraceError),
    /// An event could not be made late.
    #[error("{0}")]
    Breakpoint(#[from] BreakpointError),
}

/// How a run went.
struct Run {
    failure: Option<String>,
    trace: Trace,
}

impl Reorder {
    /// With the settings of the environment, as in [`config`](super::config()).
    ///
    /// # Errors
    ///
    /// Those of [`Config::from_env`].
    pub fn new() -> Result<Reorder, SettingError> {
        Ok(Reorder::with(Config::from_env()?))
    }

    /// With these settings, but a new network for each run.
    pub fn with(config: Config) -> Reorder {
        Reorder {
            config,
            pause: PAUSE,
            within: WITHIN,
            most: MOST,
            ignored: vec![Pattern::from("* faults *"), Pattern::from("* fault \"*")],
        }
    }

    /// A late event goes on when nothing has happened on the network for so long. The default is 100 ms. If programs wait for
    /// longer by themselves, set more.
    pub fn pause(mut self, pause: Duration) -> Reorder {
        self.pause = pause;
        self
    }

    /// How long a run may take, by default 30 s. A test that takes longer has failed.
    pub fn within(mut self, within: Duration) -> Reorder {
        self.within = within;
        self
    }

    /// How many events are delayed at most, by default 256. The report names what was left out.
    pub fn most(mut self, most: usize) -> Reorder {
        self.most = most;
        self
    }

    /// Events like this are neither delayed nor compared.
    pub fn ignore(mut self, event: impl Into<Pattern>) -> Reorder {
        self.ignored.push(event.into());
        self
    }

    /// Runs the test: twice as it is, and once for each event. It fails if it returns an error, panics or takes too long.
    ///
    /// # Errors
    ///
    /// [`ReorderError`]: the test has to succeed, and to do the same in two runs, with no event late.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the run of the test that is under way.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn run<F, T, E>(&self, mut test: F) -> Result<Report, ReorderError>
    where
        F: FnMut(Config) -> T,
        T: Future<Output = Result<(), E>>,
        E: Display,
    {
        let first = self.once(&mut test, None).await?;
        let again = self.once(&mut test, None).await?;
        if let Some(why) = first.failure.or(again.failure) {
            return Err(ReorderError::Fails(why));
        }
        let as_it_is = first.trace;
        if let Some(diff) = as_it_is.difference(&again.trace, &self.ignored) {
            return Err(ReorderError::Differs(diff));
        }
        let mut report = Report::default();
        let mut done: Vec<At> = Vec::new();
        for index in self.causes(&as_it_is) {
            let event = as_it_is.events()[index].event.to_string();
            let Some(at) = at(&as_it_is, index) else {
                report.left_out.push(event);
                continue;
            };
            if done.contains(&at) {
                continue;
            }
            if done.len() == self.most {
                report.left_out.push(event);
                continue;
            }
            let run = self.once(&mut test, Some(at.clone())).await?;
            let difference = as_it_is.difference(&run.trace, &self.ignored);
            if run.failure.is_some() || difference.is_some() {
                report.findings.push(Finding {
                    came_first: self.came_first(&as_it_is, index, &run.trace),
                    event,
                    failure: run.failure,
                    difference,
                });
            }
            done.push(at);
        }
        report.delayed = done.len();
        Ok(report)
    }

    /// The events that led to one of another host.
    fn causes(&self, trace: &Trace) -> Vec<usize> {
        let causes = trace.events().iter().filter_map(|traced| traced.cause);
        let mut causes: Vec<_> = causes
            .filter(|index| !self.ignores(trace, *index))
            .collect();
        causes.sort_unstable();
        causes.dedup();
        causes
    }

    fn ignores(&self, trace: &Trace, index: usize) -> bool {
        let event = &trace.events()[index].event;
        self.ignored.iter().any(|pattern| pattern.matches(event))
    }

    async fn once<F, T, E>(&self, test: &mut F, late: Option<At>) -> Result<Run, ReorderError>
    where
        F: FnMut(Config) -> T,
        T: Future<Output = Result<(), E>>,
        E: Display,
    {
        let config = own(self.config.clone(), &super::test());
        let config = config.record(Recording::new()).trace_live();
        let observer = config.clone().observer();
        let trace = observer.live_trace().await?;
        let faults = observer.faults().await?;
        let late = match late {
            // It is not over before the test is.
            Some(at) => Some(Breakpoint::set(&faults, at, self.within * 2).await?),
            None => None,
        };
        let running = async {
            let mut test = pin!(caught(async { test(config).await }));
            let late = self.go_on_late(late, &trace);
            let failure = tokio::select! {
                biased;
                done = &mut test => done,
                late = late => {
                    late?;
                    test.await
                }
            };
            Ok::<_, ReorderError>(failure)
        };
        let failure = match timeout(self.within, running).await {
            Ok(done) => done?.err(),
            Err(_) => Some(format!("it did not end within {:?}", self.within)),
        };
        let trace = trace.collect(self.within).await?;
        Ok(Run { failure, trace })
    }

    /// Lets an event go on when nothing else happens.
    async fn go_on_late(
        &self,
        late: Option<Breakpoint>,
        trace: &LiveTrace,
    ) -> Result<(), ReorderError> {
        let Some(late) = late else { return Ok(()) };
        match late.reached().await {
            // It does not happen in this run.
            Err(BreakpointError::NotReached { .. }) => return Ok(()),
            reached => reached?,
        }
        match trace.quiet(self.pause, self.within).await {
            Err(LiveTraceError::TimedOut(_)) => {}
            quiet => quiet?,
        }
        Ok(late.go_on().await?)
    }

    /// What came before the effect of an event that was late, at the host of that effect, and did not when it was not late.
    fn came_first(&self, as_it_is: &Trace, index: usize, late: &Trace) -> Vec<String> {
        let Some(effect) = effect(as_it_is, index) else {
            return Vec::new();
        };
        let host = &as_it_is.events()[effect].event.host;
        let at_host = |trace: &Trace, end: usize| -> Vec<String> {
            let events = trace.events()[..end].iter().enumerate();
            let events = events.filter(|(_, traced)| traced.event.host == *host);
            let events = events.filter(|(index, _)| !self.ignores(trace, *index));
            events.map(|(_, traced)| traced.event.to_string()).collect()
        };
        let mut before = at_host(as_it_is, effect);
        let late_effect = same(as_it_is, index, late).and_then(|cause| self::effect(late, cause));
        let mut first = at_host(late, late_effect.unwrap_or(late.events().len()));
        first.retain(|line| match before.iter().position(|other| other == line) {
            Some(place) => {
                before.swap_remove(place);
                false
            }
            None => true,
        });
        first
    }
}

/// Where that waits what an event leads to at another host; `None` if a breakpoint cannot tell it from an earlier one.
fn at(trace: &Trace, index: usize) -> Option<At> {
    let event = &trace.events()[index].event;
    let at = At::of(event)?;
    match &event.kind {
        EventKind::Dialing { src, dst, .. } => {
            let is_same = |traced: &&Traced| match &traced.event.kind {
                EventKind::Dialing {
                    src: from, dst: to, ..
                } => (from, to) == (src, dst),
                _ => false,
            };
            let number = trace.events()[..=index].iter().filter(is_same).count();
            at.nth(number as u64).ok()
        }
        kind => (kind.end()?.nth == 1).then_some(at),
    }
}

/// The first event of which this one is the cause.
fn effect(trace: &Trace, cause: usize) -> Option<usize> {
    let mut events = trace.events().iter();
    events.position(|traced| traced.cause == Some(cause))
}

/// The event of another run that has the same line, counted among those with this line.
fn same(trace: &Trace, index: usize, other: &Trace) -> Option<usize> {
    let line = trace.events()[index].event.to_string();
    let is_same = |traced: &Traced| traced.event.to_string() == line;
    let earlier = trace.events()[..index].iter();
    let earlier = earlier.filter(|traced| is_same(traced)).count();
    let others = other.events().iter().enumerate();
    let mut others = others.filter(|(_, traced)| is_same(traced));
    others.nth(earlier).map(|(index, _)| index)
}

/// Runs a test, and tells why it failed; a panic is a failure.
async fn caught<E: Display>(test: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let mut test = pin!(test);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| test.as_mut().poll(cx)));
        match polled {
            Ok(polled) => polled.map_err(|why| why.to_string()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Poll::Ready(Err(format!(
                    "it panicked: {}",
                    text.unwrap_or("without text")
                )))
            }
        }
    })
    .await
}
