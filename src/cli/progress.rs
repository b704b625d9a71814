//! The progress of a long transfer, for people.
//!
//! Owns when it is shown: only on a terminal, and only after a second. Never decides
//! anything.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter transfers show nothing.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// The maximum rate of redrawing.
const REDRAWS_PER_SECOND: u8 = 4;

/// One line on stderr, which is cleared at the end.
pub(crate) struct Progress {
    began: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        // If stdout is a terminal as well, its data would mix with this line.
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Progress {
            began: Instant::now(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            bar: watched.then(bar),
        }
    }

    /// Counts more bytes to the peer.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
        self.show();
    }

    /// Counts more bytes from the peer.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
        self.show();
    }

    fn show(&self) {
        let Some(bar) = &self.bar else {
            return;
        };
        if self.began.elapsed() < SHOW_AFTER {
            return;
        }
        let [sent, received] = [&self.sent, &self.received].map(|bytes| bytes.load(Relaxed));
        let [to_peer, from_peer] = [sent, received].map(HumanBytes);
        bar.set_message(format!("sent {to_peer}, received {from_peer}"));
        // The rate counts both directions.
        bar.set_position(sent + received);
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} in {elapsed}, {bytes_per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
    ProgressBar::with_draw_target(None, target).with_style(style)
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
