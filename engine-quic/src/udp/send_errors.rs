//! What the system refused to send, and why.
//!
//! Owns the memory of it, for each destination the last. Never decides what comes of
//! it: a datagram that was refused is repeated as one that was lost, and a dial asks
//! here why nothing came back.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Destinations that are remembered; for one more, the oldest is forgotten.
const MAX_DESTINATIONS: usize = 256;

/// The last send_errors of one socket. Costs nothing while all is sent.
#[derive(Debug, Default)]
pub(crate) struct SendErrors {
    last: Mutex<HashMap<SocketAddr, SendError>>,
    more: Notify,
}

#[derive(Debug, Clone, Copy)]
struct SendError {
    /// The number of the system's error.
    error: i32,
    at: Instant,
}

impl SendErrors {
    pub(crate) fn record(&self, to: SocketAddr, err: &io::Error) {
        let Some(error) = err.raw_os_error() else {
            return;
        };
        let refused = SendError {
            error,
            at: Instant::now(),
        };
        let before = {
            let mut last = self.last.lock();
            let to = canonical(to);
            if last.len() >= MAX_DESTINATIONS && !last.contains_key(&to) {
                let oldest = last.iter().min_by_key(|(_, refused)| refused.at);
                if let Some(oldest) = oldest.map(|(to, _)| *to) {
                    last.remove(&oldest);
                }
            }
            last.insert(to, refused)
        };
        if before.is_none_or(|before| before.error != error) {
            tracing::debug!(%to, %err, "the system refuses to send");
        }
        self.more.notify_waiters();
    }

    /// Why the system refused to send to `to` the last time, if that was not before
    /// `since`.
    pub(crate) fn last_since(&self, to: SocketAddr, since: Instant) -> Option<io::Error> {
        let last = self.last.lock();
        let refused = last.get(&canonical(to))?;
        (refused.at >= since).then(|| io::Error::from_raw_os_error(refused.error))
    }

    /// Waits until the system refuses to send to `to` and `confirm` finds that it will
    /// go on to; returns what it found.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(crate) async fn wait_confirmed(
        &self,
        to: SocketAddr,
        mut since: Instant,
        confirm: impl Fn() -> Option<io::Error>,
    ) -> io::Error {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            // From here on, so that none comes unseen.
            more.as_mut().enable();
            let now = Instant::now();
            if self.last_since(to, since).is_some()
                && let Some(err) = confirm()
            {
                return err;
            }
            since = now;
            more.await;
        }
    }
}

/// A socket for both versions of IP sends to IPv4 addresses as if they were of the
/// other.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn place(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn the_last_refusal_of_each_destination_is_known() {
        let (send_errors, began) = (SendErrors::default(), Instant::now());
        let mapped = "[::ffff:127.0.0.1]:1".parse().unwrap();
        send_errors.record(mapped, &io::Error::from_raw_os_error(1));
        let known = |to, since| {
            let known: Option<io::Error> = send_errors.last_since(to, since);
            known.and_then(|err| err.raw_os_error())
        };
        assert_eq!(known(place(1), began), Some(1));
        send_errors.record(place(1), &io::Error::from_raw_os_error(101));
        assert_eq!(known(mapped, began), Some(101));
        assert_eq!(known(place(2), began), None);
        assert_eq!(
            known(place(1), Instant::now() + Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let (send_errors, began) = (SendErrors::default(), Instant::now());
        let most = MAX_DESTINATIONS as u16;
        for port in 1..=most + 1 {
            send_errors.record(place(port), &io::Error::from_raw_os_error(1));
        }
        assert_eq!(send_errors.last.lock().len(), MAX_DESTINATIONS);
        assert!(send_errors.last_since(place(1), began).is_none());
        assert!(send_errors.last_since(place(most + 1), began).is_some());
    }

    #[tokio::test]
    async fn a_refusal_is_judged_at_once() {
        let (send_errors, began) = (SendErrors::default(), Instant::now());
        let wait_confirmed =
            send_errors.wait_confirmed(place(1), began, || Some(io::Error::from_raw_os_error(101)));
        let later = async {
            tokio::task::yield_now().await;
            // Another's first.
            send_errors.record(place(2), &io::Error::from_raw_os_error(1));
            tokio::task::yield_now().await;
            send_errors.record(place(1), &io::Error::from_raw_os_error(1));
        };
        let (err, ()) = tokio::join!(wait_confirmed, later);
        assert_eq!(err.raw_os_error(), Some(101));
    }
}
