//! Errors of sending datagrams.
//!
//! Owns the last error for each destination. Never handles an error: QUIC sends a refused
//! datagram again, as a lost one, and a dial asks here why no answer came.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many destinations have an entry; one more replaces the oldest.
const MAX_DESTINATIONS: usize = 256;

/// The last send errors of one socket. Costs nothing while sending succeeds.
#[derive(Debug, Default)]
pub(crate) struct SendErrors {
    last: Mutex<HashMap<SocketAddr, SendError>>,
    more: Notify,
}

#[derive(Debug, Clone, Copy)]
struct SendError {
    /// The system's error number.
    errno: i32,
    at: Instant,
}

impl SendErrors {
    pub(crate) fn record(&self, to: SocketAddr, err: &io::Error) {
        let Some(errno) = err.raw_os_error() else {
            return;
        };
        let error = SendError {
            errno,
            at: Instant::now(),
        };
        let before = {
            let mut last = self.last.lock();
            let to = canonical(to);
            if last.len() >= MAX_DESTINATIONS && !last.contains_key(&to) {
                let oldest = last.iter().min_by_key(|(_, error)| error.at);
                if let Some(oldest) = oldest.map(|(to, _)| *to) {
                    last.remove(&oldest);
                }
            }
            last.insert(to, error)
        };
        if before.is_none_or(|before| before.errno != errno) {
            tracing::debug!(%to, %err, "the system refuses to send");
        }
        self.more.notify_waiters();
    }

    /// The last error of sending to `to`, if it was not before `since`.
    pub(crate) fn last_since(&self, to: SocketAddr, since: Instant) -> Option<io::Error> {
        let last = self.last.lock();
        let error = last.get(&canonical(to))?;
        (error.at >= since).then(|| io::Error::from_raw_os_error(error.errno))
    }

    /// Waits for an error of sending to `to`, until `confirm` returns an error, too: then it
    /// is permanent. Returns that error.
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
            // Enabled before the check, so that no error is missed.
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

/// A socket for both versions of IP uses IPv4-mapped IPv6 addresses.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn addr(port: u16) -> SocketAddr {
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
        assert_eq!(known(addr(1), began), Some(1));
        send_errors.record(addr(1), &io::Error::from_raw_os_error(101));
        assert_eq!(known(mapped, began), Some(101));
        assert_eq!(known(addr(2), began), None);
        assert_eq!(
            known(addr(1), Instant::now() + Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let (send_errors, began) = (SendErrors::default(), Instant::now());
        let most = MAX_DESTINATIONS as u16;
        for port in 1..=most + 1 {
            send_errors.record(addr(port), &io::Error::from_raw_os_error(1));
        }
        assert_eq!(send_errors.last.lock().len(), MAX_DESTINATIONS);
        assert!(send_errors.last_since(addr(1), began).is_none());
        assert!(send_errors.last_since(addr(most + 1), began).is_some());
    }

    #[tokio::test]
    async fn a_refusal_is_judged_at_once() {
        let (send_errors, began) = (SendErrors::default(), Instant::now());
        let wait_confirmed =
            send_errors.wait_confirmed(addr(1), began, || Some(io::Error::from_raw_os_error(101)));
        let later = async {
            tokio::task::yield_now().await;
            // An error of another destination first.
            send_errors.record(addr(2), &io::Error::from_raw_os_error(1));
            tokio::task::yield_now().await;
            send_errors.record(addr(1), &io::Error::from_raw_os_error(1));
        };
        let (err, ()) = tokio::join!(wait_confirmed, later);
        assert_eq!(err.raw_os_error(), Some(101));
    }
}
