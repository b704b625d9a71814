//! A file with the trace that is expected: written on request, compared otherwise.
//!
//! Owns [`Golden`], the order of lines in such a file, and reading and writing it. Never decides which
//! events are left out.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::trace::event::{Event, EventKind};
use crate::trace::expect::diff::Diff;
use crate::trace::expect::mismatch::Mismatch;
use crate::trace::expect::pattern::Pattern;
use crate::trace::merge::Trace;

/// The first line of a file.
const HEAD: &str = "# A trace: what happened at each host, then at each of its ports. `*` stands for any characters.";

/// A file with all events that are expected, for [`Check::golden`](crate::trace::Check::golden).
///
/// It has the line of each event, first those of a host, then those of each of its ports, in the order in
/// which they happened there. Lines of different hosts, or of different ports, are not ordered against each
/// other. So a file is the same on every run if the program decides which port dials, listens and accepts what:
/// that two connections happen at the same time does not matter.
///
/// A line may have `*` for any characters; writing the file anew replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    path: PathBuf,
    write: bool,
}

impl Golden {
    /// Compares with this file.
    pub fn compare(path: impl Into<PathBuf>) -> Golden {
        let (path, write) = (path.into(), false);
        Golden { path, write }
    }

    /// Writes this file, in place of an older one, if all other expectations hold.
    pub fn write(path: impl Into<PathBuf>) -> Golden {
        let (path, write) = (path.into(), true);
        Golden { path, write }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Compares the events `seen`, or writes them if nothing else differs.
    pub(super) fn check(&self, trace: &Trace, seen: &[usize], mismatch: &mut Mismatch) {
        let events: Vec<_> = trace.events().iter().map(|traced| &traced.event).collect();
        let mut seen = seen.to_vec();
        // Stable: at each port they stay in the order of the trace.
        seen.sort_by_cached_key(|index| place(events[*index]));
        let name = self.path.display();
        if self.write {
            let lines: Vec<_> = seen.iter().map(|index| events[*index]).collect();
            if mismatch.is_empty()
                && let Err(err) = write(&self.path, &text(&lines))
            {
                mismatch.say(&format!("cannot write the golden file {name:?}: {err}"));
            }
            return;
        }
        let expected = match fs::read_to_string(&self.path) {
            Ok(text) => patterns(&text),
            Err(err) => {
                mismatch.say(&format!("cannot read the golden file {name:?}: {err}"));
                return;
            }
        };
        let is_same = expected.len() == seen.len()
            && (expected.iter().zip(&seen)).all(|(line, index)| line.matches(events[*index]));
        if !is_same {
            let lines: Vec<_> = seen.iter().map(|index| events[*index]).collect();
            let diff = Diff::new(&expected, &lines);
            mismatch.sequence(&format!("golden file {name:?}"), &diff, &seen);
        }
    }
}

/// Where an event happened: at a host, or at one of its ports.
pub(super) fn place(event: &Event) -> (String, Option<u16>) {
    let addr = match &event.kind {
        EventKind::Listening { addr } | EventKind::ListenerClosed { addr } => Some(addr),
        EventKind::Dialing { src, .. }
        | EventKind::DialFailed { src, .. }
        | EventKind::DialGivenUp { src, .. } => Some(src),
        kind => kind.end().map(|end| &end.local),
    };
    (event.host.to_string(), addr.map(|addr| addr.port()))
}

/// The text of a file: a blank line is between places.
fn text(events: &[&Event]) -> String {
    let mut text = HEAD.to_owned() + "\n";
    let mut last = None;
    for event in events {
        let place = Some(place(event));
        if last != place {
            text.push('\n');
            last = place;
        }
        let _ = writeln!(text, "{event}");
    }
    text
}

fn patterns(text: &str) -> Vec<Pattern> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .filter(|line| *line != HEAD)
        .map(Pattern::from)
        .collect()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
