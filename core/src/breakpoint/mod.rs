//! Breakpoints: an event of the network waits for the test's word before it goes on to other hosts.
//!
//! Owns [`At`], where a breakpoint may be, and [`Breakpoint`]. Never holds anything itself: it sets a rule of faults, `hold`,
//! which the hosts concerned enforce, on whichever machines.

mod at;
mod error;

pub use at::At;
pub use error::BreakpointError;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::faults::{FaultGuard, Faults};

/// How often the hosts are asked whether something is held.
const LOOK: Duration = Duration::from_millis(10);

/// An event that waits for the test's word: a dial, the answer to it, or what one end of a connection sends.
///
/// What a program does itself takes place: the dial has its port, the accept is done, the bytes are written. What waits is what
/// this leads to at the *other* host. So the test decides which of two events comes first, on real sockets, also if
/// they are on different machines: it may set a breakpoint from any process that has [`Faults`].
///
/// It has a bound, after which the event goes on by itself and [`go_on`](Breakpoint::go_on) fails. Dropping it lets the event go on,
/// too, in the background.
///
/// ```
/// use std::time::Duration;
/// use virtnet_core::breakpoint::{At, Breakpoint};
/// # use virtnet_core::pipe::PipeNetwork;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let net = PipeNetwork::new("pipet")?.subnetwork();
/// let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
/// let gamma = net.new_host("γ").await?;
/// let listener = alpha.listen(":1")?;
///
/// // β dials first, and γ is accepted first.
/// let bound = Duration::from_secs(30);
/// let dial = Breakpoint::set(&net.faults(), At::dial("β:1 -> α:1")?, bound).await?;
/// let dialing = tokio::spawn(async move { beta.dial("α:1").await });
/// dial.reached().await?;
/// let (_first, (accepted, _)) = tokio::try_join!(gamma.dial("α:1"), listener.accept())?;
/// assert_eq!(accepted.peer_addr(), "γ:1");
///
/// dial.go_on().await?;
/// let (accepted, _) = listener.accept().await?;
/// assert_eq!(accepted.peer_addr(), "β:1");
/// dialing.await??;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping it lets the event go on"]
pub struct Breakpoint {
    at: At,
    guard: FaultGuard,
    faults: Faults,
    bound: Duration,
    /// Before any host could hold something.
    since: Instant,
}

impl Breakpoint {
    /// Sets a breakpoint, before what leads to the event. Returns when all processes that have one of its hosts enforce it; hosts that
    /// are made later have it before their caller has them.
    ///
    /// After `bound`, from 1 ns to a day, the event goes on by itself.
    ///
    /// # Errors
    ///
    /// [`BreakpointError::Faults`] with those of [`Faults::apply`], also for a bound that is none.
    ///
    /// # Cancel safety
    ///
    /// That of [`Faults::apply`].
    pub async fn set(
        faults: &Faults,
        at: At,
        bound: Duration,
    ) -> Result<Breakpoint, BreakpointError> {
        let since = Instant::now();
        let guard = faults.apply(at.rule().clone().lasting(bound)).await?;
        Ok(Breakpoint {
            at,
            guard,
            faults: faults.clone(),
            bound,
            since,
        })
    }

    /// Where it is.
    pub fn at(&self) -> &At {
        &self.at
    }

    /// Waits until something is held: a dial has its port and waits; its answer is there and waits; or the other end waits for
    /// bytes, or for the end, that are held. (Whether they were sent already, the trace tells.) It asks the hosts every
    /// 10 ms.
    ///
    /// # Errors
    ///
    /// [`BreakpointError::NotReached`] if nothing was held before the breakpoint's bound was over;
    /// [`BreakpointError::Faults`] with those of [`Faults::status`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn reached(&self) -> Result<(), BreakpointError> {
        // A rule lasts for a day at most, so this is a time.
        let until = self.since + self.bound;
        let held = async {
            loop {
                let status = self.faults.status().await?;
                let mut rules = status.rules.iter();
                if rules.any(|rule| rule.holder == self.guard.part() && rule.hit > 0) {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        };
        let (at, bound) = (&self.at, self.bound);
        let not_reached = || BreakpointError::NotReached {
            at: at.to_string(),
            bound,
        };
        timeout_at(until, held)
            .await
            .unwrap_or_else(|_| Err(not_reached()))
    }

    /// Lets the event go on, and everything after it. Returns when all hosts concerned have let it go.
    ///
    /// # Errors
    ///
    /// [`BreakpointError::Over`] if its bound was over before: the event may have gone on by itself.
    /// [`BreakpointError::Faults`] with those of [`FaultGuard::heal`]; the event then goes on in the background.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the event goes on in the background.
    pub async fn go_on(self) -> Result<(), BreakpointError> {
        let is_over = self.since.elapsed() >= self.bound;
        self.guard.heal().await?;
        match is_over {
            false => Ok(()),
            true => Err(BreakpointError::Over {
                at: self.at.to_string(),
                bound: self.bound,
            }),
        }
    }
}
