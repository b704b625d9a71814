//! One setting: its value, its name, and the error that it is invalid.
//!
//! Owns [`SettingError`] and how a value is shown in it. Never knows what the
//! settings mean.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

/// How much of a refused value an error shows, in characters.
const SHOWN: usize = 80;

/// A value, with the name of the variable or method that set it.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T = String> {
    pub(crate) name: &'static str,
    pub(crate) value: T,
}

impl<T> Setting<T> {
    pub(crate) fn new(name: &'static str, value: T) -> Setting<T> {
        Setting { name, value }
    }
}

impl Setting {
    /// Parses this value; the error shows it.
    pub(crate) fn parse<T: FromStr<Err: Into<Problem>>>(&self) -> Result<T, SettingError> {
        self.value.parse().map_err(|err| self.refuse(err))
    }

    /// The error that this value has a problem; it shows the value.
    pub(crate) fn refuse(&self, problem: impl Into<Problem>) -> SettingError {
        SettingError::new(self.name, Some(&self.value), problem)
    }
}

type Problem = Box<dyn StdError + Send + Sync>;

/// A setting is missing or invalid: which, and why.
///
/// It names the environment variable that the setting came from, or the method of
/// [`Config`](crate::Config) that set it. It never shows a secret or a password.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let config = virtnet::Config::new("quicα").registry("ftp://me:hunter2@10.0.0.9");
/// assert_eq!(
///     config.open().await.unwrap_err().to_string(),
///     "registry \"ftp://***@10.0.0.9\": unknown scheme: expected memory:, local:, \
///      redis://, redis+sentinel:// or redis+cluster:// (for TLS: rediss in place of redis)",
/// );
/// # }
/// ```
pub struct SettingError {
    name: Cow<'static, str>,
    shown: Option<String>,
    problem: Problem,
}

impl SettingError {
    /// `shown` is the value, unless it is secret.
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        shown: Option<&str>,
        problem: impl Into<Problem>,
    ) -> SettingError {
        SettingError {
            name: name.into(),
            shown: shown.map(clipped),
            problem: problem.into(),
        }
    }

    /// The environment variable, or the method of [`Config`](crate::Config).
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(shown) = &self.shown {
            write!(f, " {shown:?}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl fmt::Debug for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return virtnet_core::report(self, f);
        }
        f.debug_struct("SettingError")
            .field("name", &self.name)
            .field("shown", &self.shown)
            .field("problem", &self.problem)
            .finish()
    }
}

impl StdError for SettingError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.problem)
    }
}

/// The URL without everything before its host.
///
/// In an invalid URL, nobody knows which part is the password, so the user's name
/// is left out as well.
pub(crate) fn redacted(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    match url.rfind('@') {
        Some(end) if end >= start => format!("{}***{}", &url[..start], &url[end..]),
        // A '@' before "://": nothing of it is where it should be.
        Some(_) => "***".to_owned(),
        None => url.to_owned(),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_before_the_host_is_shown() {
        for (url, shown) in [
            ("redis://10.0.0.9:7000/3", "redis://10.0.0.9:7000/3"),
            ("redis://u:hunter2@h:x", "redis://***@h:x"),
            ("u:hunter2@h", "***@h"),
            ("u:hunter2@redis://h", "***"),
            ("ftp://u:hun@ter2@h/", "ftp://***@h/"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let long = Setting::new("bind", "ä".repeat(1000));
        let text = long.refuse("no").to_string();
        assert_eq!(text, format!("bind \"{}…\": no", "ä".repeat(SHOWN)));
    }
}
