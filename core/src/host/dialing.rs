//! One dial, between engine and registry: looked up, connected, and looked up once more
//! where the answer led nowhere.
//!
//! Owns the one bound that all of it has. Never takes a port, and never decides what the
//! other side says.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::subnet::Context;
use crate::{Addr, ByteStream, Cause, Engine, Failure, Registry, RegistryError};

/// After which part of its bound a dial that has come to nothing yet asks whether the host
/// is elsewhere by now: what is left must do for reaching it there.
const LOOK_AGAIN: u32 = 3;

type Dialed = Result<(ByteStream, Addr), Failure>;

/// What the second look at the registry says: another answer, none, or the same.
type Look = Result<Option<String>, RegistryError>;

impl Context {
    /// Looks `dst` up in the registry and has the engine connect `src` to it.
    pub(crate) async fn dial(&self, src: Addr, dst: Addr) -> Dialed {
        let engine = Arc::clone(self.engine());
        let within = engine.dial_bound();
        let dialing = Dialing {
            registry: Arc::clone(&self.registry),
            engine,
            src,
            dst,
            // No bound is one that no clock can tell.
            bound: within.and_then(|within| {
                let start = Instant::now();
                let (by, look) = (start.checked_add(within)?, start + within / LOOK_AGAIN);
                Some(Bound { within, look, by })
            }),
        };
        self.run(dialing.run()).await
    }
}

/// What became of the first try.
enum First {
    Dialed((ByteStream, Addr)),
    Elsewhere(String),
    /// It failed; and what the second look said, if there was one already.
    Failed(Failure, Option<Look>),
}

/// How long all of a dial may take until the other side gives a sign of life.
#[derive(Clone, Copy)]
struct Bound {
    within: Duration,
    /// When the registry is asked again.
    look: Instant,
    by: Instant,
}

struct Dialing {
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
    src: Addr,
    dst: Addr,
    bound: Option<Bound>,
}

impl Dialing {
    async fn run(self) -> Dialed {
        let hostdata = self.query().await?;
        tracing::debug!(hostdata, "host found");
        let (failure, looked) = match self.try_first(&hostdata).await {
            First::Dialed(dialed) => return Ok(dialed),
            First::Elsewhere(hostdata) => return self.connect(&hostdata).await,
            First::Failed(failure, looked) => (failure, looked),
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
            Ok(Some(hostdata)) => self.connect(&hostdata).await,
            // It was: the host is gone.
            Err(gone) if gone.cause() == Cause::NoSuchHost => Err(gone.into()),
            Ok(None) | Err(_) => Err(failure),
        }
    }

    /// Tries the first answer, until a second look says that the host is elsewhere: whatever
    /// is at the old place is let go of then.
    async fn try_first(&self, hostdata: &str) -> First {
        let mut first = pin!(self.connect(hostdata));
        let (dialed, looked) = tokio::select! {
            biased;
            dialed = &mut first => (dialed, None),
            looked = self.look_early(hostdata) => match looked {
                Ok(Some(elsewhere)) => return First::Elsewhere(elsewhere),
                looked => (first.await, Some(looked)),
            },
        };
        match dialed {
            Ok(dialed) => First::Dialed(dialed),
            Err(failure) => First::Failed(failure, looked),
        }
    }

    async fn query(&self) -> Result<String, Failure> {
        let query = self.registry.query(self.dst.host());
        match (self.in_time(query).await, self.bound) {
            (Some(answer), _) => Ok(answer?),
            (None, bound) => {
                let (host, within) = (self.dst.host(), bound.map(|bound| bound.within));
                let within = within.unwrap_or_default();
                let text = format!("the registry did not say within {within:?} where {host:?} is");
                Err(Failure::wrap(Cause::RegistryDown, text))
            }
        }
    }

    async fn connect(&self, hostdata: &str) -> Dialed {
        let Dialing {
            engine, src, dst, ..
        } = self;
        match self.bound {
            Some(bound) => engine.vnet_dial_by(src, dst, hostdata, bound.by).await,
            None => engine.vnet_dial(src, dst, hostdata).await,
        }
    }

    /// The second look of a dial that has come to nothing yet, when it is time for it.
    async fn look_early(&self, answer: &str) -> Look {
        let Some(bound) = self.bound else {
            return pending().await;
        };
        sleep_until(bound.look).await;
        tracing::debug!("nothing yet: asking the registry again");
        self.registry.requery(self.dst.host(), answer).await
    }

    /// What a call to the registry comes to, unless the dial's time is over first.
    async fn in_time<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        match self.bound {
            Some(bound) => timeout_at(bound.by, call).await.ok(),
            None => Some(call.await),
        }
    }
}
