//! Sending what a subnetwork records to the live trace.
//!
//! Owns the batches of one subnetwork, its document as a member, and its answers. It is run by the subnetwork's
//! task. Never blocks a host, and never waits longer than the registry's calls take.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::trace::live::compact::Unsent;
use crate::trace::live::outbox::Outbox;
use crate::trace::live::{ASKS, MEMBER, MEMBERS};
use crate::trace::recorder::Recorder;
use crate::trace::write::{BatchHead, answers_line, batch_line, last_line};
use crate::{Documents, Failure, MAX_TRACE_BATCH, Registry, RegistryError, Traces};

/// How long events wait for others to be sent with them.
const EVERY: Duration = Duration::from_millis(20);

/// How long it waits after a failure.
const RETRY: Duration = Duration::from_millis(250);

/// How often the member's document is written.
const BEAT: Duration = Duration::from_secs(1);

/// How long the end may take, when the subnetwork closes.
const FAREWELL: Duration = Duration::from_secs(3);

/// The most bytes of events in a batch. The rest is for answers.
const MOST: usize = MAX_TRACE_BATCH - 64 * 1024;

/// So many answers are in one batch.
const ANSWERS: usize = 256;

/// Sends what one subnetwork records.
pub(crate) struct Sender {
    recorder: Arc<Recorder>,
    registry: Arc<dyn Registry>,
    /// Events that are sent next.
    queue: VecDeque<Unsent>,
    /// A batch that is being sent, and may have been.
    batch: Option<String>,
    batches: u64,
    /// How many events were in batches.
    sent: u64,
    /// Who asked, and was not answered.
    asked: Vec<String>,
    /// Who asked before the queue was filled: they are answered when it is sent.
    answers: Vec<String>,
    answered: BTreeSet<String>,
    /// Nothing more will come, and then that this was said.
    ends: bool,
    ended: bool,
}

impl Sender {
    pub(crate) fn new(recorder: Arc<Recorder>, registry: Arc<dyn Registry>) -> Sender {
        Sender {
            recorder,
            registry,
            queue: VecDeque::new(),
            batch: None,
            batches: 0,
            sent: 0,
            asked: Vec::new(),
            answers: Vec::new(),
            answered: BTreeSet::new(),
            ends: false,
            ended: false,
        }
    }

    /// Sends without end, once it is recorded live. It can be dropped at any time: nothing is lost that
    /// [`finish`](Sender::finish) can still send.
    pub(crate) async fn run(&mut self) -> Infallible {
        let recorder = Arc::clone(&self.recorder);
        let registry = Arc::clone(&self.registry);
        let outbox = recorder.outbox_made().await;
        let (Some(traces), Some(documents)) = (registry.traces(), registry.documents()) else {
            outbox.join();
            return pending().await;
        };
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due: Option<Instant> = None;
        let mut seen = 0;
        let mut change = documents.changed(ASKS, seen);
        loop {
            let flushed = tokio::select! {
                _ = beat.tick() => {
                    self.beat(documents).await;
                    outbox.join();
                    continue;
                }
                changed = &mut change => {
                    let asks = match changed {
                        Ok(number) => {
                            seen = number;
                            documents.list(ASKS).await
                        }
                        Err(why) => Err(why),
                    };
                    change = match asks {
                        Ok(asks) => {
                            self.asks(&asks);
                            documents.changed(ASKS, seen)
                        }
                        Err(why) => {
                            tracing::debug!(%why, "asks for the live trace");
                            // It looks at all of them again.
                            seen = 0;
                            let again = documents.changed(ASKS, seen);
                            Box::pin(async move {
                                sleep(RETRY).await;
                                again.await
                            })
                        }
                    };
                    self.flush(traces, outbox, false).await
                }
                () = outbox.told(), if due.is_none() => {
                    due = Some(Instant::now() + EVERY);
                    continue;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.flush(traces, outbox, false).await
                }
            };
            due = flushed.is_err().then(|| Instant::now() + RETRY);
            if let Err(why) = flushed {
                tracing::debug!(%why, "the live trace waits");
            }
        }
    }

    /// Sends what is left, says that it was all, and takes the member's document back, within a bound. Returns why not
    /// everything was sent.
    pub(crate) async fn finish(&mut self) -> Option<Failure> {
        let (recorder, registry) = (Arc::clone(&self.recorder), Arc::clone(&self.registry));
        let outbox = recorder.outbox()?;
        let (traces, documents) = (registry.traces()?, registry.documents()?);
        let last = timeout(FAREWELL, async {
            self.flush(traces, outbox, true).await?;
            match self.member() {
                Some(member) => documents.remove(&member).await,
                None => Ok(()),
            }
        });
        let why = match last.await {
            Ok(Ok(())) => return None,
            Ok(Err(why)) => why.to_string(),
            Err(_) => format!("it took longer than {FAREWELL:?}"),
        };
        Some(Failure::other(format!(
            "the live trace is incomplete: {why}"
        )))
    }

    /// The key of this member's document.
    fn member(&self) -> Option<String> {
        let (_, process) = self.recorder.names()?;
        Some(format!("{MEMBERS}/{process}"))
    }

    async fn beat(&self, documents: &dyn Documents) {
        if let Some(member) = self.member()
            && let Err(why) = documents.put(&member, "", Some(MEMBER)).await
        {
            tracing::debug!(%why, "the live trace's member is not listed");
        }
    }

    /// Answers those who ask, each once.
    fn asks(&mut self, asks: &[(String, String)]) {
        let ids = asks.iter().filter_map(|(key, _)| key.split_once('/'));
        let ids: BTreeSet<_> = ids.map(|(_, id)| id.to_owned()).collect();
        let new = ids.iter().filter(|id| !self.answered.contains(*id));
        self.asked.extend(new.take(ANSWERS).cloned());
        self.answered = ids;
    }

    /// Sends all that has happened until now, and with `ends` that nothing more will come.
    async fn flush(
        &mut self,
        traces: &dyn Traces,
        outbox: &Outbox,
        ends: bool,
    ) -> Result<(), RegistryError> {
        // What could not be sent before comes first: until then the outbox keeps the rest, so both are bounded.
        self.send(traces, outbox).await?;
        outbox.looks();
        self.queue.extend(self.recorder.take_unsent());
        self.answers.append(&mut self.asked);
        self.ends = ends;
        self.send(traces, outbox).await
    }

    async fn send(&mut self, traces: &dyn Traces, outbox: &Outbox) -> Result<(), RegistryError> {
        loop {
            if self.batch.is_none() {
                self.batch = self.next_batch(outbox);
            }
            let Some(batch) = &self.batch else {
                return Ok(());
            };
            traces.append(batch).await?;
            self.batch = None;
        }
    }

    /// The next batch, if there is something to say.
    fn next_batch(&mut self, outbox: &Outbox) -> Option<String> {
        let says_end = self.ends && !self.ended;
        if self.queue.is_empty() && self.answers.is_empty() && !says_end {
            return None;
        }
        let (network, process) = self.recorder.names()?;
        let (mut events, mut count) = (Vec::new(), 0);
        while let Some(unsent) = self.queue.front_mut() {
            let written = unsent.write(self.recorder.began(), &mut events, MOST);
            count += written.events;
            (0..written.too_large).for_each(|_| outbox.drop_one());
            if !unsent.events.is_empty() {
                break;
            }
            self.queue.pop_front();
        }
        self.batches += 1;
        let head = BatchHead {
            network: &network,
            process: &process,
            batch: self.batches,
            before: self.sent,
            dropped: outbox.dropped(),
            began: self.recorder.began(),
        };
        let mut batch = String::new();
        batch_line(&head, &mut batch);
        batch.push_str(std::str::from_utf8(&events).expect("lines are text"));
        self.sent += count;
        if self.queue.is_empty() {
            let later = self.answers.split_off(self.answers.len().min(ANSWERS));
            let answers = std::mem::replace(&mut self.answers, later);
            if !answers.is_empty() {
                answers_line(&answers, &mut batch);
            }
            if says_end {
                last_line(outbox.dropped(), &mut batch);
                self.ended = true;
            }
        }
        Some(batch)
    }
}
