//! What the plan of faults wants of a host's program, as requests to its supervisor.
//!
//! Owns in which steps the program comes to the wanted state. Never reads the plan: the member's task does.

use super::Supervisor;
use crate::control::orders::Wanted;
use crate::supervision::document::{Action, Progress};

impl Supervisor {
    /// The next step towards what the plan of faults wants, if there is one.
    pub(super) fn ordered_action(&self) -> Option<(Action, Wanted)> {
        let wanted = self.ordered.order().wanted();
        match (self.done, wanted) {
            (done, wanted) if done == wanted => None,
            (Wanted::Killed, _) => Some((Action::Restart, Wanted::Running)),
            (_, Wanted::Killed) => Some((Action::Kill, Wanted::Killed)),
            (_, Wanted::Paused) => Some((Action::Pause, Wanted::Paused)),
            (_, Wanted::Running) => Some((Action::Resume, Wanted::Running)),
        }
    }

    /// The plan's step is done, or cannot be done: then it is not tried again.
    pub(super) fn ordered_done(&mut self, then: Wanted, progress: Progress) {
        let wanted = self.ordered.order().wanted();
        let failed = match progress {
            Progress::Refused(why) => Some(why),
            _ => None,
        };
        self.done = if failed.is_some() { wanted } else { then };
        if self.done == wanted {
            self.ordered.see_to(wanted, failed);
        }
    }
}
