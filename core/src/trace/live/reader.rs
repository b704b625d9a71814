//! Reading the live trace: all of it, or as it comes.
//!
//! Owns [`LiveTrace`] and [`Following`], and the asking by which a reader gets what members still hold. It has no task:
//! each call reads what it needs. Never records.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::trace::event::Event;
use crate::trace::live::error::LiveTraceError;
use crate::trace::live::progress::Progress;
use crate::trace::live::{ASKS, MEMBERS};
use crate::trace::merge::{Record, Trace};
use crate::trace::write::live_line;
use crate::{Documents, Registry, TracePosition, Traces};

/// How often who has not answered is listed again.
const LOOK: Duration = Duration::from_millis(250);

/// The pause after a failure of the registry.
const PAUSE: Duration = Duration::from_millis(100);

/// The lifetime of a question.
const ASK: Duration = Duration::from_secs(30);

/// What happens on a network, while it happens: the events of all its subnetworks that record live
/// ([`Recording::live`](crate::trace::Recording::live)), on whichever machines.
///
/// [`SubNetwork::live_trace`](crate::SubNetwork::live_trace) returns it. It is read from the network's registry. It keeps that
/// subnetwork open, unless it is closed; then the registry is down.
///
/// ```
/// # use std::time::Duration;
/// use virtnet_core::pipe::PipeNetwork;
/// use virtnet_core::trace::Recording;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = PipeNetwork::new("pipet")?;
/// // These could be in two processes.
/// let (here, there) = (network.subnetwork(), network.subnetwork());
/// for net in [&here, &there] {
///     net.record_with(&Recording::new().live())?;
/// }
/// let trace = here.live_trace()?;
///
/// // Before what leads to it.
/// let mut connected = trace.until("β:1 -> α:2 connected").await?;
/// let (alpha, beta) = (here.new_host("α").await?, there.new_host("β").await?);
/// let listener = alpha.listen(":1")?;
/// let (dialed, accepted) = tokio::try_join!(beta.dial("α:1"), listener.accept())?;
/// connected.within(Duration::from_secs(10)).await?;
///
/// trace
///     .collect(Duration::from_secs(10))
///     .await?
///     .check()
///     .before("α:2 <- β:1 accepted", "β:1 -> α:2 connected")
///     .allow_others()
///     .finish()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LiveTrace {
    network: Arc<str>,
    registry: Arc<dyn Registry>,
    /// What must not be dropped before.
    _owner: Option<Arc<dyn Any + Send + Sync>>,
}

/// An event of the live trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveEvent {
    /// The event.
    pub event: Event,
    /// The subnetwork that recorded it.
    pub process: Arc<str>,
}

impl LiveEvent {
    /// It as a JSON object in one line, without the line's end: as in a trace file, and with its `process`.
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        live_line(&self.process, &self.event, &mut line);
        line.truncate(line.trim_end().len());
        line
    }
}

impl LiveTrace {
    /// The live trace of a network, of which this is a registry.
    ///
    /// # Errors
    ///
    /// [`LiveTraceError::NotShared`] if the registry has none.
    pub fn new(network: &str, registry: Arc<dyn Registry>) -> Result<LiveTrace, LiveTraceError> {
        if registry.traces().is_none() || registry.documents().is_none() {
            return Err(LiveTraceError::NotShared);
        }
        Ok(LiveTrace {
            network: network.into(),
            registry,
            _owner: None,
        })
    }

    /// The same; it keeps `owner`.
    pub(crate) fn keeping(mut self, owner: Arc<dyn Any + Send + Sync>) -> LiveTrace {
        self._owner = Some(owner);
        self
    }

    /// All that has happened on the network until now, merged: every subnetwork that records live is asked for what it has
    /// not sent yet.
    ///
    /// A process that was killed is waited for: up to 5 s, after which it counts as gone, and its last events are
    /// missing. A subnetwork that closed has sent everything.
    ///
    /// # Errors
    ///
    /// [`LiveTraceError::Silent`] if a subnetwork does not answer `within` that time, such as one whose process is stopped;
    /// those of the registry, if it is down for all of that time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind but a small document at the registry, which expires.
    pub async fn collect(&self, within: Duration) -> Result<Trace, LiveTraceError> {
        let mut all = All::default();
        let mut progress = Progress::new(&self.network, None);
        self.catch_up(&mut progress, within, |process, event| {
            all.add(process, event);
        })
        .await?;
        self.merged(all, &progress)
    }

    /// What has been sent until now, merged, without asking or waiting for anybody. Events that led to others
    /// may be missing.
    ///
    /// # Errors
    ///
    /// Those of the registry.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn so_far(&self) -> Result<Trace, LiveTraceError> {
        let mut all = All::default();
        let mut progress = Progress::new(&self.network, None);
        self.read_to_end(&mut progress, |process, event| all.add(process, event))
            .await?;
        self.merged(all, &progress)
    }

    /// The events that come from now on, in the order in which they are sent.
    ///
    /// # Errors
    ///
    /// Those of the registry.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn follow(&self) -> Result<Following, LiveTraceError> {
        let last = self.traces().last().await?;
        Ok(self.following(Some(last)))
    }

    /// The same, beginning with the first one that the registry still has.
    pub fn follow_from_start(&self) -> Following {
        self.following(None)
    }

    fn following(&self, after: Option<TracePosition>) -> Following {
        Following {
            progress: Progress::new(&self.network, after),
            trace: self.clone(),
        }
    }

    fn merged(&self, all: All, progress: &Progress) -> Result<Trace, LiveTraceError> {
        let records = all.0.into_iter().map(|(process, events)| Record {
            network: Arc::clone(&self.network),
            process,
            events,
            dropped: 0,
        });
        let mut trace = Trace::merge(records)?;
        trace.dropped = progress.dropped();
        Ok(trace)
    }

    pub(super) fn traces(&self) -> &dyn Traces {
        self.registry.traces().expect("it was there before")
    }

    fn documents(&self) -> &dyn Documents {
        self.registry.documents().expect("they were there before")
    }

    pub(super) fn network(&self) -> &Arc<str> {
        &self.network
    }

    /// Reads what there is.
    async fn read_to_end(
        &self,
        progress: &mut Progress,
        mut each: impl FnMut(&Arc<str>, Event),
    ) -> Result<(), LiveTraceError> {
        let end = self.traces().last().await?;
        loop {
            let batches = self.traces().read(progress.at).await?;
            if batches.is_empty() {
                return Ok(());
            }
            take(progress, batches, &mut each)?;
            // Not further, as members may send all the time.
            if progress.at.stream == end.stream && progress.at.number >= end.number {
                return Ok(());
            }
        }
    }

    /// Reads what comes next, and waits for it until `until`. Returns whether there was something. While the registry is down, it
    /// waits too.
    pub(super) async fn read_next(
        &self,
        progress: &mut Progress,
        until: Instant,
        each: impl FnMut(&Arc<str>, Event),
    ) -> Result<bool, LiveTraceError> {
        loop {
            let read = timeout_at(until, self.traces().next(progress.at)).await;
            match read.map(|read| read.map_err(LiveTraceError::from)) {
                Err(_) => return Ok(false),
                Ok(Ok(batches)) => return take(progress, batches, each).map(|()| true),
                Ok(Err(why)) if why.is_passing() && Instant::now() + PAUSE < until => {
                    sleep(PAUSE).await;
                }
                Ok(Err(why)) => return Err(why),
            }
        }
    }

    /// Reads all that had happened when it was called: asks all members for it.
    pub(super) async fn catch_up(
        &self,
        progress: &mut Progress,
        within: Duration,
        mut each: impl FnMut(&Arc<str>, Event),
    ) -> Result<(), LiveTraceError> {
        let until = deadline(within);
        let key = format!("{ASKS}/{:016x}", random());
        loop {
            let caught = self.answers(&key, progress, (until, within), &mut each);
            let caught = caught.await;
            match &caught {
                Err(why) if why.is_passing() && Instant::now() + PAUSE < until => {
                    sleep(PAUSE).await;
                }
                _ => {
                    // If it fails, it expires.
                    let _ = self.documents().remove(&key).await;
                    return caught;
                }
            }
        }
    }

    async fn answers(
        &self,
        key: &str,
        progress: &mut Progress,
        (until, within): (Instant, Duration),
        each: &mut impl FnMut(&Arc<str>, Event),
    ) -> Result<(), LiveTraceError> {
        progress.asks(key.rsplit('/').next().unwrap_or(key).to_owned());
        self.documents().put(key, "", Some(ASK)).await?;
        let mut waits_for = self.members().await?;
        loop {
            self.read_to_end(progress, &mut *each).await?;
            waits_for.retain(|member| !progress.has_answered(member));
            if waits_for.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let members = waits_for.into_iter().collect();
                return Err(LiveTraceError::Silent { within, members });
            }
            let look = until.min(Instant::now() + LOOK);
            if !self.read_next(progress, look, &mut *each).await? {
                // Those that closed sent everything before; those that were killed never will.
                let members = self.members().await?;
                waits_for.retain(|member| members.contains(member));
                // Somebody may have flushed the server.
                let is_there = self.documents().replace(key, None, "", Some(ASK));
                is_there.await?;
            }
        }
    }

    /// The subnetworks that record live.
    async fn members(&self) -> Result<BTreeSet<Arc<str>>, LiveTraceError> {
        let members = self.documents().list(MEMBERS).await?;
        let members = members.iter().filter_map(|(key, _)| key.split_once('/'));
        Ok(members.map(|(_, process)| process.into()).collect())
    }
}

impl std::fmt::Debug for LiveTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LiveTrace({})", self.network)
    }
}

/// The events of each subnetwork.
#[derive(Default)]
struct All(BTreeMap<Arc<str>, Vec<Event>>);

impl All {
    fn add(&mut self, process: &Arc<str>, event: Event) {
        let events = self.0.entry(Arc::clone(process)).or_default();
        events.push(event);
    }
}

/// The events of the live trace as they come: [`LiveTrace::follow`].
///
/// Those of one host are in their order; those of several hosts may come in another order than that of
/// causes and effects, by some 20 ms. A [`Trace`] is always in causal order.
#[derive(Debug)]
pub struct Following {
    trace: LiveTrace,
    progress: Progress,
}

impl Following {
    /// Waits for the next events, without a bound.
    ///
    /// # Errors
    ///
    /// Those of the registry. It can be called again after a moment, and goes on where it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Result<Vec<LiveEvent>, LiveTraceError> {
        let mut events = Vec::new();
        while events.is_empty() {
            let batches = self.trace.traces().next(self.progress.at).await?;
            let add = |process: &Arc<str>, event| {
                let process = Arc::clone(process);
                events.push(LiveEvent { event, process });
            };
            take(&mut self.progress, batches, add)?;
        }
        Ok(events)
    }

    /// How many events are missing so far: they were dropped where they happened, or at the registry.
    pub fn dropped(&self) -> u64 {
        self.progress.dropped()
    }
}

/// Takes batches, and hands out their events.
fn take(
    progress: &mut Progress,
    batches: Vec<(TracePosition, String)>,
    mut each: impl FnMut(&Arc<str>, Event),
) -> Result<(), LiveTraceError> {
    for (at, text) in batches {
        let (process, events) = progress.take(at, &text)?;
        events.into_iter().for_each(|event| each(&process, event));
    }
    Ok(())
}

/// When that time is over; far away, if the clock cannot tell.
pub(super) fn deadline(within: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + within.min(FAR)
}

fn random() -> u64 {
    // The system seeds it.
    RandomState::new().build_hasher().finish()
}
