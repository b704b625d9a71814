//! Counters of the outcomes of a subnetwork's dials.
//!
//! Owns the counters behind [`Dials`] and the names of outcomes. Never counts dials that came
//! in from other hosts: [`Refused`](crate::Refused) and the engine count those.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Cause, OpError};

/// The outcome of a dial that failed, by its cause, in the order of [`Cause`].
const FAILED: [(Cause, &str); 18] = [
    (Cause::NetworkDown, "network_down"),
    (Cause::HostDown, "host_down"),
    (Cause::SocketDown, "socket_down"),
    (Cause::AddrInUse, "addr_in_use"),
    (Cause::AddrNotLocal, "addr_not_local"),
    (Cause::ConnectionRefused, "connection_refused"),
    (Cause::RegistryDown, "registry_down"),
    (Cause::NoSuchHost, "no_such_host"),
    (Cause::HostAlreadyRegistered, "host_already_registered"),
    (Cause::BrokenPipe, "broken_pipe"),
    (Cause::ConnectionCut, "connection_cut"),
    (Cause::TimedOut, "timed_out"),
    (Cause::HostUnreachable, "host_unreachable"),
    (Cause::InvalidAddr, "invalid_addr"),
    (Cause::NoFreePort, "no_free_port"),
    (Cause::PermissionDenied, "permission_denied"),
    (Cause::Protocol, "protocol"),
    (Cause::Other, "other"),
];

/// The outcomes of the dials of a subnetwork's hosts ([`Stats::dials`](crate::Stats::dials)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dials {
    /// Dials that became a connection.
    pub connected: u64,
    /// Dials that were given up: their futures were dropped before they ended.
    pub cancelled: u64,
    failed: [u64; FAILED.len()],
}

impl Dials {
    /// Dials that failed because of `cause`.
    pub fn failed(&self, cause: Cause) -> u64 {
        self.failed[cause as usize]
    }

    /// All counts, by outcome: `connected`, `cancelled`, and one for each [`Cause`], such as
    /// `connection_refused`.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let ended = [("connected", self.connected), ("cancelled", self.cancelled)];
        let failed = FAILED.iter().zip(self.failed);
        ended
            .into_iter()
            .chain(failed.map(|((_, name), count)| (*name, count)))
    }
}

/// The counters behind [`Dials`].
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    connected: AtomicU64,
    cancelled: AtomicU64,
    failed: [AtomicU64; FAILED.len()],
}

impl Outcomes {
    /// Runs a dial and counts its outcome, also if it is dropped.
    pub(crate) async fn count<T>(
        &self,
        dial: impl Future<Output = Result<T, OpError>>,
    ) -> Result<T, OpError> {
        let mut outcome = Outcome(&self.cancelled);
        let dialed = dial.await;
        outcome.0 = match &dialed {
            Ok(_) => &self.connected,
            Err(err) => &self.failed[err.cause() as usize],
        };
        dialed
    }

    pub(crate) fn snapshot(&self) -> Dials {
        Dials {
            connected: self.connected.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            failed: array::from_fn(|cause| self.failed[cause].load(Relaxed)),
        }
    }
}

/// Counts one dial when it is dropped.
struct Outcome<'a>(&'a AtomicU64);

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_place_and_its_name() {
        for (place, (cause, name)) in FAILED.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{name}");
            assert_eq!(name, cause.name());
            assert_eq!(Cause::from_name(name), Some(cause));
        }
    }
}
