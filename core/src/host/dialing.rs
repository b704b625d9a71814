//! One dial, between registry and engine: look the host up, connect, and look it up once more
//! if the first answer led nowhere.
//!
//! Owns the one time limit of all these steps. Never takes a port, and never decides whether
//! the other side accepts.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::context::Context;
use crate::host::gate::dial::DialGate;
use crate::{Addr, ByteStream, Cause, Engine, Failure, Registry, RegistryError};

/// If a dial has no result after this part of its time limit (a third), the registry is asked
/// again: the rest of the time must be enough to reach the host at its new place.
const LOOK_AGAIN: u32 = 3;

type Dialed = Result<(ByteStream, Addr), Failure>;

/// The answer to the second look at the registry: other hostdata, or `None` for the same.
type SecondLook = Result<Option<String>, RegistryError>;

/// The result of the first try.
enum FirstTry {
    Dialed((ByteStream, Addr)),
    Elsewhere(String),
    /// It failed; with the answer to the second look, if there was one already.
    Failed(Failure, Option<SecondLook>),
}

/// How long all of a dial may take until the other side gives a sign of life.
#[derive(Clone, Copy)]
struct TimeLimit {
    within: Duration,
    /// When the registry is asked again.
    look: Instant,
    by: Instant,
}

/// One dial from `src` to `dst`.
pub(crate) struct Dialing {
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
    src: Addr,
    dst: Addr,
    /// What the other side reads first.
    first: Vec<u8>,
    limit: Option<TimeLimit>,
    gate: DialGate,
}

impl TimeLimit {
    /// Without a limit, if it is too late for the clock to tell.
    fn new(engine: &dyn Engine) -> Option<TimeLimit> {
        let within = engine.dial_bound()?;
        let start = Instant::now();
        let (by, look) = (start.checked_add(within)?, start + within / LOOK_AGAIN);
        Some(TimeLimit { within, look, by })
    }
}

impl Dialing {
    pub(crate) fn new(context: &Context, src: Addr, dst: Addr, first: &[u8]) -> Dialing {
        let engine = Arc::clone(context.engine());
        Dialing {
            limit: TimeLimit::new(&*engine),
            gate: DialGate::new(&context.rules, &src, &dst),
            engine,
            registry: Arc::clone(&context.registry),
            src,
            dst,
            first: first.to_vec(),
        }
    }

    /// Looks `dst` up in the registry and has the engine connect to it; once more, if the
    /// answer was out of date.
    pub(crate) async fn look_up_and_connect(mut self) -> Dialed {
        let hostdata = self.look_up().await?;
        tracing::debug!(hostdata, "host found");
        if self.gate.has_rules() {
            let limit = self.limit.or_else(|| TimeLimit::new(&*self.engine));
            let limit = limit.map(|limit| (limit.within, limit.by));
            if Box::pin(self.gate.leave(limit)).await? {
                // A dial that was held has all its time.
                self.limit = TimeLimit::new(&*self.engine);
            }
        }
        let (failure, looked) = match self.first_try(&hostdata).await {
            FirstTry::Dialed(dialed) => return Ok(dialed),
            FirstTry::Elsewhere(hostdata) => return self.call_engine(&hostdata).await,
            FirstTry::Failed(failure, looked) => (failure, looked),
        };
        // An answer that led nowhere may have been out of date.
        let looked = match looked {
            Some(looked) => looked,
            None => {
                tracing::debug!(%failure, "asking the registry again");
                let look = self.registry.requery(self.dst.host(), &hostdata);
                self.in_time(look).await.unwrap_or(Ok(None))
            }
        };
        match looked {
            Ok(Some(hostdata)) => self.call_engine(&hostdata).await,
            // It was: the host is gone.
            Err(gone) if gone.cause() == Cause::NoSuchHost => Err(gone.into()),
            Ok(None) | Err(_) => Err(failure),
        }
    }

    async fn look_up(&self) -> Result<String, Failure> {
        let query = self.registry.query(self.dst.host());
        match (self.in_time(query).await, self.limit) {
            (Some(answer), _) => Ok(answer?),
            (None, limit) => {
                let (host, within) = (self.dst.host(), limit.map(|limit| limit.within));
                let within = within.unwrap_or_default();
                let text =
                    format!("the registry did not answer within {within:?} where {host:?} is");
                Err(Failure::wrap(Cause::RegistryDown, text))
            }
        }
    }

    /// Tries the first answer, until a second look says that the host is elsewhere: then the
    /// try is dropped.
    async fn first_try(&self, hostdata: &str) -> FirstTry {
        let mut first = pin!(self.call_engine(hostdata));
        let (dialed, looked) = tokio::select! {
            biased;
            dialed = &mut first => (dialed, None),
            looked = self.look_again_early(hostdata) => match looked {
                // Too late to reach it there: the first try may still succeed.
                Ok(Some(elsewhere)) if self.limit.is_some_and(|limit| Instant::now() < limit.by) => {
                    return FirstTry::Elsewhere(elsewhere);
                }
                looked => (first.await, Some(looked)),
            },
        };
        match dialed {
            Ok(dialed) => FirstTry::Dialed(dialed),
            Err(failure) => FirstTry::Failed(failure, looked),
        }
    }

    async fn call_engine(&self, hostdata: &str) -> Dialed {
        let (engine, src, dst) = (&self.engine, &self.src, &self.dst);
        let call = async {
            match (self.limit.map(|limit| limit.by), &self.first[..]) {
                (Some(by), []) => engine.vnet_dial_by(src, dst, hostdata, by).await,
                (None, []) => engine.vnet_dial(src, dst, hostdata).await,
                (by, first) => engine.vnet_dial_with(src, dst, hostdata, by, first).await,
            }
        };
        self.gate.under_way(call).await
    }

    /// The second look at the registry while the first try still runs, when it is time for it.
    async fn look_again_early(&self, answer: &str) -> SecondLook {
        let Some(limit) = self.limit else {
            return pending().await;
        };
        sleep_until(limit.look).await;
        tracing::debug!("nothing yet: asking the registry again");
        self.registry.requery(self.dst.host(), answer).await
    }

    /// The result of a call to the registry, or `None` if the dial's time is over first.
    async fn in_time<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        match self.limit {
            Some(limit) => timeout_at(limit.by, call).await.ok(),
            None => Some(call.await),
        }
    }
}
