//! A plan that is set as long as a value lives.
//!
//! Owns [`FaultGuard`] and [`Healed`]. Never waits, except to heal.

use std::fmt;

use crate::control::error::FaultError;
use crate::control::faults::Faults;
use crate::faults::Rule;

/// A plan that is set: it is healed when this is dropped, in the background.
///
/// If its process dies or is cut off from the registry, all members heal it when its lease is over
/// ([`Faults::lease`]).
#[must_use = "dropping it heals the plan"]
pub struct FaultGuard {
    faults: Faults,
    part: String,
    /// Dropping it heals.
    armed: bool,
}

/// What healing found ([`FaultGuard::heal`]).
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Healed {
    /// The rules that never matched anything: perhaps they name hosts that do not talk, or none.
    /// What a process counted that has ended meanwhile is not known.
    pub unmatched: Vec<Rule>,
}

impl FaultGuard {
    pub(crate) fn new(faults: &Faults, part: &str) -> FaultGuard {
        FaultGuard {
            faults: faults.clone(),
            part: part.to_owned(),
            armed: true,
        }
    }

    /// Which part of the network's plan it is: the `holder` of its rules in a status.
    pub(crate) fn part(&self) -> &str {
        &self.part
    }

    /// Heals the plan. Returns when all subnetworks concerned have acknowledged that, and each
    /// healed pair of hosts has answered.
    ///
    /// Rules that never matched anything are returned, and logged as warnings.
    ///
    /// # Errors
    ///
    /// [`FaultError::NotAcknowledged`], [`FaultError::NotRecovered`], [`FaultError::Registry`]: the
    /// plan is then healed in the background, or when its lease is over; [`FaultError::Down`].
    ///
    /// # Cancel safety
    ///
    /// Healing goes on in the background when the future is dropped.
    pub async fn heal(mut self) -> Result<Healed, FaultError> {
        let part = self.part.clone();
        let healed = self.faults.heal_parts(move |there| there.id == part).await;
        if !matches!(healed, Err(FaultError::Registry(_) | FaultError::Down(_))) {
            self.disarm();
        }
        healed
    }

    /// Has the plan end by its lease.
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
        self.faults.control().let_go(&self.part);
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if self.armed {
            self.faults.control().release(&self.part);
        }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultGuard({})", self.part)
    }
}
