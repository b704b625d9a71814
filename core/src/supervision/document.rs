//! The documents of supervision: those of supervisors, and those of requests.
//!
//! Owns their keys and their texts, both ways. Never reads or writes one at the registry.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The topic of the documents of supervisors.
pub(super) const SUPERVISORS: &str = "supervisor";

/// The topic of requests.
pub(super) const REQUESTS: &str = "supervise";

/// How long a supervisor's document lives; it is written again three times in that time.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);

/// How long an answer can be read.
pub(super) const ANSWERED: Duration = Duration::from_secs(60);

/// The longest line of free text, in bytes.
const MAX_LINE: usize = 200;

const SUPERVISOR_FORM: &str = "virtnet supervisor, form 1";
const REQUEST_FORM: &str = "virtnet request, form 1";

/// What can be done to a host's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// See [`Supervision::kill`](super::Supervision::kill).
    Kill,
    /// See [`Supervision::pause`](super::Supervision::pause).
    Pause,
    /// See [`Supervision::resume`](super::Supervision::resume).
    Resume,
    /// See [`Supervision::restart`](super::Supervision::restart).
    Restart,
}

/// What a host's program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// It runs.
    Running,
    /// It was paused.
    Paused,
    /// It was killed, and its host has crashed.
    Killed,
}

/// A host with a supervisor ([`Supervision::hosts`](super::Supervision::hosts)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupervisedHost {
    /// Its name.
    pub host: String,
    /// What its program does.
    pub state: HostState,
}

const ACTIONS: [(Action, &str); 4] = [
    (Action::Kill, "kill"),
    (Action::Pause, "pause"),
    (Action::Resume, "resume"),
    (Action::Restart, "restart"),
];

const STATES: [(HostState, &str); 3] = [
    (HostState::Running, "running"),
    (HostState::Paused, "paused"),
    (HostState::Killed, "killed"),
];

fn word_of<T: PartialEq>(all: &[(T, &'static str)], value: &T) -> &'static str {
    let found = all.iter().find(|(one, _)| one == value);
    found.map_or("", |(_, word)| word)
}

fn of_word<T: Copy>(all: &[(T, &str)], word: &str) -> Option<T> {
    let found = all.iter().find(|(_, one)| *one == word);
    found.map(|(value, _)| *value)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        word_of(&ACTIONS, self).fmt(f)
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        word_of(&STATES, self).fmt(f)
    }
}

/// Text without control characters, and not longer than a line may be.
pub(super) fn line(text: &str) -> String {
    let mut text = text.replace(char::is_control, " ");
    let mut end = MAX_LINE.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// What a supervisor says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SupervisorDoc {
    pub(super) id: String,
    pub(super) host: String,
    pub(super) state: HostState,
}

impl SupervisorDoc {
    pub(super) fn key(id: &str) -> String {
        format!("{SUPERVISORS}/{id}")
    }

    pub(super) fn text(&self) -> String {
        format!(
            "{SUPERVISOR_FORM}\nhost {}\nstate {}\n",
            self.host, self.state
        )
    }

    /// `None` if another version of this program has written it.
    pub(super) fn read(key: &str, text: &str) -> Option<SupervisorDoc> {
        let mut lines = text.strip_prefix(SUPERVISOR_FORM)?.trim_start().lines();
        Some(SupervisorDoc {
            id: key.strip_prefix(SUPERVISORS)?.strip_prefix('/')?.to_owned(),
            host: lines.next()?.strip_prefix("host ")?.to_owned(),
            state: of_word(&STATES, lines.next()?.strip_prefix("state ")?)?,
        })
    }

    pub(super) fn shown(self) -> SupervisedHost {
        SupervisedHost {
            host: self.host,
            state: self.state,
        }
    }
}

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Asked,
    /// By the supervisor with this id.
    Taken(String),
    Done,
    Refused(String),
    /// Whoever asked has given up.
    Withdrawn,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestDoc {
    pub(super) action: Action,
    pub(super) host: String,
    /// The ids of the supervisors that may take it.
    pub(super) to: Vec<String>,
    pub(super) by: String,
    pub(super) progress: Progress,
}

impl RequestDoc {
    pub(super) fn key(id: &str) -> String {
        format!("{REQUESTS}/{id}")
    }

    pub(super) fn with(&self, progress: Progress) -> RequestDoc {
        RequestDoc {
            progress,
            ..self.clone()
        }
    }

    pub(super) fn text(&self) -> String {
        let progress = match &self.progress {
            Progress::Asked => "asked".to_owned(),
            Progress::Taken(id) => format!("taken {id}"),
            Progress::Done => "done".to_owned(),
            Progress::Refused(why) => format!("refused {why}"),
            Progress::Withdrawn => "withdrawn".to_owned(),
        };
        let (action, host, to) = (self.action, &self.host, self.to.join(" "));
        format!(
            "{REQUEST_FORM}\n{action} {host}\nto {to}\nby {}\n{progress}\n",
            self.by
        )
    }
}

impl FromStr for RequestDoc {
    type Err = ();

    /// Fails if another version of this program has written it.
    fn from_str(text: &str) -> Result<RequestDoc, ()> {
        let read = || {
            let mut lines = text.strip_prefix(REQUEST_FORM)?.trim_start().lines();
            let (action, host) = lines.next()?.split_once(' ')?;
            let to = lines.next()?.strip_prefix("to ")?;
            let by = lines.next()?.strip_prefix("by ")?;
            let progress = lines.next()?;
            let (word, more) = progress.split_once(' ').unwrap_or((progress, ""));
            Some(RequestDoc {
                action: of_word(&ACTIONS, action)?,
                host: host.to_owned(),
                to: to.split(' ').map(str::to_owned).collect(),
                by: by.to_owned(),
                progress: match word {
                    "asked" => Progress::Asked,
                    "taken" => Progress::Taken(more.to_owned()),
                    "done" => Progress::Done,
                    "refused" => Progress::Refused(more.to_owned()),
                    "withdrawn" => Progress::Withdrawn,
                    _ => return None,
                },
            })
        };
        read().ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_back() {
        let supervisor = SupervisorDoc {
            id: "0f".to_owned(),
            host: "a β".to_owned(),
            state: HostState::Paused,
        };
        let text = "virtnet supervisor, form 1\nhost a β\nstate paused\n";
        assert_eq!(supervisor.text(), text);
        assert_eq!(SupervisorDoc::read("supervisor/0f", text), Some(supervisor));

        let request = RequestDoc {
            action: Action::Kill,
            host: "a β".to_owned(),
            to: vec!["0f".to_owned(), "1f".to_owned()],
            by: "me, today".to_owned(),
            progress: Progress::Asked,
        };
        let text = "virtnet request, form 1\nkill a β\nto 0f 1f\nby me, today\nasked\n";
        assert_eq!(request.text(), text);
        for progress in [
            Progress::Asked,
            Progress::Taken("0f".to_owned()),
            Progress::Done,
            Progress::Refused("no such port".to_owned()),
            Progress::Withdrawn,
        ] {
            let request = request.with(progress);
            assert_eq!(request.text().parse(), Ok(request));
        }
    }

    #[test]
    fn what_is_no_document_is_not_read() {
        for text in [
            "",
            "virtnet request, form 2\nkill β\nto 0f\nby me\nasked\n",
            "virtnet request, form 1\nstop β\nto 0f\nby me\nasked\n",
            "virtnet request, form 1\nkill β\nto 0f\nby me\nbegun\n",
            "virtnet request, form 1\nkill β\nto 0f\n",
        ] {
            assert_eq!(text.parse::<RequestDoc>(), Err(()), "{text}");
            assert_eq!(SupervisorDoc::read("supervisor/0f", text), None, "{text}");
        }
    }

    #[test]
    fn free_text_is_one_short_line() {
        assert_eq!(line("one\ntwo"), "one two");
        assert_eq!(line(&"β".repeat(150)), "β".repeat(100));
    }
}
