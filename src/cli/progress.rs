//! How far a long copy is, for whoever watches.
//!
//! Owns when that is shown: on a terminal, once it takes long, and nowhere else. Never
//! counts for anybody but people.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is shorter needs no watching.
const LONG: Duration = Duration::from_secs(1);

/// How often it is drawn, in a second at the most.
const HERTZ: u8 = 4;

/// One line on stderr, gone at the end.
pub(crate) struct Progress {
    began: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        // What goes to a terminal from stdout would be mixed up with it.
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Progress {
            began: Instant::now(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            bar: watched.then(bar),
        }
    }

    /// So many bytes more went to the peer.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
        self.show();
    }

    /// So many bytes more came from the peer.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
        self.show();
    }

    fn show(&self) {
        let Some(bar) = &self.bar else {
            return;
        };
        if self.began.elapsed() < LONG {
            return;
        }
        let [sent, received] = [&self.sent, &self.received].map(|bytes| bytes.load(Relaxed));
        let [there, back] = [sent, received].map(HumanBytes);
        bar.set_message(format!("sent {there}, received {back}"));
        // What the rate is of.
        bar.set_position(sent + received);
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} in {elapsed}, {bytes_per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let target = ProgressDrawTarget::stderr_with_hz(HERTZ);
    ProgressBar::with_draw_target(None, target).with_style(style)
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
