//! The side of a supervisor: it is found by its host's name, takes requests, and answers them.
//!
//! Owns [`Supervisor`], its document, and which request is next. Never does what is
//! asked for.

mod planned;
mod taking;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use self::taking::Taking;
use super::document::{Action, HostState, LIFETIME, Progress, REQUESTS, SupervisorDoc, line};
use super::error::{Reason, SupervisionError};
use super::request::documents;
use super::{Calls, Supervision};
use crate::control::orders::{Ordered, Wanted};
use crate::control::{NO_NUMBER, random_id};
use crate::{Failure, Host, SubNetwork};

/// The pause after a failure of the registry.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an answer may take to be written while the registry fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How many requests a supervisor remembers, so that it does none again if somebody puts the text back.
const REMEMBERED: usize = 1_024;

/// What was asked for. Answer it with [`Supervisor::done`] or [`Supervisor::refuse`].
#[derive(Debug)]
pub struct Request(Source);

/// Where a request comes from.
#[derive(Debug)]
enum Source {
    Document(Taking),
    /// The plan of faults wants something; then the program has this state as far as the plan is concerned.
    Plan(Action, Wanted),
}

impl Request {
    /// What is to be done.
    pub fn action(&self) -> Action {
        match &self.0 {
            Source::Document(taking) => taking.taken.action,
            Source::Plan(action, _) => *action,
        }
    }

    /// Who asks, for people.
    pub fn by(&self) -> &str {
        match &self.0 {
            Source::Document(taking) => &taking.taken.by,
            Source::Plan(..) => "the plan of faults",
        }
    }
}

/// Takes the requests for one host. As long as it lives and is polled, [`Supervision`] finds it.
///
/// Dropping it says nothing: it is found for up to 10 s longer. [`end`](Supervisor::end) says so.
pub struct Supervisor {
    calls: Calls,
    doc: SupervisorDoc,
    renewal: Instant,
    /// The change number of requests that was seen last.
    seen: u64,
    /// A request that is being taken.
    taking: Option<Taking>,
    /// The keys of the last that were.
    taken: VecDeque<String>,
    /// What the plan of faults wants.
    ordered: Ordered,
    /// What of that was done.
    done: Wanted,
}

impl SubNetwork {
    /// The programs of the network's hosts, on whichever subnetworks they are: to kill, pause, resume and
    /// restart them.
    pub fn supervision(&self) -> Supervision {
        let owner = Arc::clone(&self.directory);
        Supervision::new(self.supervision_calls(), Some(owner))
    }

    /// Lets others ask for the program of this host to be killed, paused, resumed and restarted.
    /// Returns when they find it.
    ///
    /// The host may crash meanwhile; it is still found by its name.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`] whose reason is [`Reason::NoDocuments`] or [`Reason::Registry`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, nobody answers those who ask within the next 10 s.
    pub async fn supervise(&self, host: &Host) -> Result<Supervisor, SupervisionError> {
        let mut supervisor = Supervisor {
            calls: self.supervision_calls(),
            doc: SupervisorDoc {
                id: random_id(),
                host: host.name().to_owned(),
                state: HostState::Running,
            },
            renewal: Instant::now(),
            seen: NO_NUMBER,
            taking: None,
            taken: VecDeque::new(),
            ordered: Ordered::new(Arc::clone(&self.control), host.name()),
            done: Wanted::default(),
        };
        if supervisor.calls.registry.documents().is_none() {
            return Err(supervisor.failed(Reason::NoDocuments));
        }
        let written = supervisor.write().await;
        match written {
            Ok(()) => Ok(supervisor),
            Err(why) => Err(supervisor.failed(why.into())),
        }
    }

    fn supervision_calls(&self) -> Calls {
        let context = Arc::clone(&self.directory.context);
        Calls::new(Arc::clone(&context.registry), Some(context))
    }
}

impl Supervisor {
    /// Waits for the next request.
    ///
    /// While the registry is down, this goes on waiting.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`] when the subnetwork is down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no request: the next call returns it.
    pub async fn next(&mut self) -> Result<Request, SupervisionError> {
        loop {
            match self.try_next().await {
                Ok(Some(request)) => return Ok(request),
                Ok(None) => {}
                Err(why) => {
                    self.check_down()?;
                    tracing::debug!(host = self.doc.host, %why, "cannot watch for requests");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// It is done, and the program's state is this one.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`] if the registry does not take the answer: whoever asked is told that it was
    /// not finished.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the answer may not be written.
    pub async fn done(
        &mut self,
        request: Request,
        state: HostState,
    ) -> Result<(), SupervisionError> {
        self.answer(request, state, Progress::Done).await
    }

    /// It is not done, for this reason, and the program's state is this one.
    ///
    /// # Errors
    ///
    /// Those of [`done`](Supervisor::done).
    ///
    /// # Cancel safety
    ///
    /// That of [`done`](Supervisor::done).
    pub async fn refuse(
        &mut self,
        request: Request,
        state: HostState,
        why: &str,
    ) -> Result<(), SupervisionError> {
        let refused = Progress::Refused(line(why));
        self.answer(request, state, refused).await
    }

    /// Says what the program does now, if that has changed without a request. It is written by the
    /// next call of [`next`](Supervisor::next).
    pub fn set_state(&mut self, state: HostState) {
        if self.doc.state != state {
            self.doc.state = state;
            self.renewal = Instant::now();
        }
    }

    /// The host has no supervisor any more. Requests that nobody has taken are refused.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`] if the registry does not answer.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, it may be found for up to 10 s longer.
    pub async fn end(self) -> Result<(), SupervisionError> {
        let ended = self.try_end().await;
        ended.map_err(|why| self.failed(why.into()))
    }

    fn failed(&self, reason: Reason) -> SupervisionError {
        SupervisionError::new(None, &self.doc.host, reason)
    }

    fn check_down(&self) -> Result<(), SupervisionError> {
        let context = self.calls.context.as_ref();
        match context.and_then(|context| context.down.get()) {
            Some(why) => Err(self.failed(why.clone().into())),
            None => Ok(()),
        }
    }

    /// Writes its own document.
    async fn write(&mut self) -> Result<(), Failure> {
        let (key, text) = (SupervisorDoc::key(&self.doc.id), self.doc.text());
        let written = self.calls.run(async move |registry| {
            let docs = documents(&*registry)?;
            Ok(docs.put(&key, &text, Some(LIFETIME)).await?)
        });
        written.await?;
        self.renewal = Instant::now() + LIFETIME / 3;
        Ok(())
    }

    /// The next request, if there is one after the next change or renewal.
    async fn try_next(&mut self) -> Result<Option<Request>, Failure> {
        // Also after all documents have vanished.
        if Instant::now() >= self.renewal || self.seen == 0 {
            self.write().await?;
        }
        if let Some((action, then)) = self.ordered_action() {
            return Ok(Some(Request(Source::Plan(action, then))));
        }
        if self.taking.is_none() {
            let seen = self.seen;
            let changed = self.calls.run(async move |registry| {
                Ok(documents(&*registry)?.changed(REQUESTS, seen).await?)
            });
            let order = self.ordered.order();
            let number = tokio::select! {
                number = timeout_at(self.renewal, changed) => number,
                () = order.changed(self.done) => return Ok(None),
            };
            let Ok(number) = number else {
                return Ok(None);
            };
            let number = number?;
            let listed = self
                .calls
                .run(async |registry| Ok(documents(&*registry)?.list(REQUESTS).await?));
            self.taking = self.first(&listed.await?);
            if self.taking.is_none() {
                self.seen = number;
            }
        }
        let taken = self.take().await?;
        Ok(taken.map(|taken| Request(Source::Document(taken))))
    }

    async fn answer(
        &mut self,
        request: Request,
        state: HostState,
        progress: Progress,
    ) -> Result<(), SupervisionError> {
        self.set_state(state);
        let request = match request.0 {
            Source::Document(taking) => taking,
            Source::Plan(_, then) => {
                self.ordered_done(then, progress);
                return Ok(());
            }
        };
        let by = Instant::now() + ANSWER_WITHIN;
        loop {
            let answered = self.try_answer(&request, &progress).await;
            let Err(why) = answered else { return Ok(()) };
            self.check_down()?;
            if Instant::now() >= by {
                return Err(self.failed(why.into()));
            }
            sleep(PAUSE).await;
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervisor({})", self.doc.host)
    }
}
