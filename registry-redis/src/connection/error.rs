//! ServerErrors: from the client library's errors to [`Failure`]s.
//!
//! Owns the table from Redis errors to [`Cause`]s, and keeps the password out
//! of every text. Never decides whether to try again.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::AlertDescription;
use virtnet_core::{Cause, Failure};

use crate::connection::cluster::{self, SlotMigrating};
use crate::connection::tracking::{self, NoTracking};
use crate::text::clipped;

/// How much of a server's reply an error shows, in characters.
const SHOWN: usize = 200;

/// Turns errors into failures that may be shown to anyone.
pub(crate) struct ServerErrors {
    password: Option<String>,
    /// Whether the URL is a cluster's.
    is_cluster: bool,
}

impl ServerErrors {
    pub(crate) fn new(password: Option<&str>) -> ServerErrors {
        let password = password.filter(|p| !p.is_empty()).map(str::to_owned);
        ServerErrors {
            password,
            is_cluster: false,
        }
    }

    /// The same, for a cluster.
    pub(crate) fn of_cluster(self, is_cluster: bool) -> ServerErrors {
        ServerErrors { is_cluster, ..self }
    }

    pub(crate) fn failure(&self, err: &RedisError) -> Failure {
        if err.kind() == ErrorKind::Io {
            return self.io_failure(err);
        }
        let text = match (err.code(), err.detail()) {
            (Some(code), Some(words)) => format!("{code} {words}"),
            _ => err.to_string(),
        };
        let text = self.shown(&text);
        if tracking::is_missing(err) {
            return Failure::wrap(Cause::Other, NoTracking(text));
        }
        match err.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Failure::wrap(Cause::PermissionDenied, text)
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                let text = format!(
                    "expected a Redis server, got bytes that are not in its protocol: {text}"
                );
                Failure::wrap(Cause::Protocol, text)
            }
            ErrorKind::InvalidClientConfig => Failure::wrap(Cause::InvalidAddr, text),
            _ if self.is_cluster && cluster::is_migrating(err) => {
                Failure::because(Cause::RegistryDown, SlotMigrating(text))
            }
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask)
                if !self.is_cluster =>
            {
                let text = format!("{text}; use a redis+cluster:// URL for a cluster");
                Failure::because(Cause::RegistryDown, text)
            }
            _ if is_passing(err) => Failure::because(Cause::RegistryDown, text),
            _ => match err.code() {
                Some("NOAUTH" | "WRONGPASS") => Failure::wrap(Cause::PermissionDenied, text),
                Some("WRONGTYPE") => Failure::wrap(Cause::Protocol, text),
                // Scripts on Redis 6 and 7.0 report missing rights in the text only.
                _ if text.contains("can't run this command") || text.contains("can't access") => {
                    Failure::wrap(Cause::PermissionDenied, text)
                }
                _ => Failure::wrap(Cause::Other, text),
            },
        }
    }

    /// The failure for a reply of a type that a Redis server never sends to this command.
    pub(crate) fn strange(&self, answer: &redis::Value) -> Failure {
        let text = self.shown(&format!("{answer:?}"));
        let text = format!("expected a Redis server, got an unexpected reply: {text}");
        Failure::wrap(Cause::Protocol, text)
    }

    fn io_failure(&self, err: &RedisError) -> Failure {
        let source = err.source().and_then(|source| {
            // The client library shares its errors, and so hides their type.
            source.downcast_ref::<Arc<dyn Error + Send + Sync>>()
        });
        let Some(io) = source.and_then(|shared| shared.downcast_ref::<io::Error>()) else {
            // Not the network: no usable root certificates, or a host name that
            // cannot be in a certificate.
            return Failure::wrap(Cause::Other, self.shown(&err.to_string()));
        };
        let text = self.shown(&io.to_string());
        if is_exhausted(io) {
            let text = format!("this process cannot open a connection: {text}");
            return Failure::wrap(Cause::Other, text);
        }
        match io
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(rustls::Error::InvalidCertificate(_)) => {
                Failure::wrap(Cause::PermissionDenied, text)
            }
            // It has seen the client certificate, or that there was none.
            Some(rustls::Error::AlertReceived(alert)) if is_refusal(*alert) => {
                let text = format!("the server did not accept the client certificate: {text}");
                Failure::wrap(Cause::PermissionDenied, text)
            }
            Some(_) => {
                let text = format!("cannot make a TLS connection: {text}");
                Failure::wrap(Cause::Protocol, text)
            }
            None => Failure::because(Cause::RegistryDown, io::Error::new(io.kind(), text)),
        }
    }

    /// The text without the password, which a peer may echo.
    pub(crate) fn shown(&self, text: &str) -> String {
        let text = match &self.password {
            Some(password) => {
                // Some texts are the reply in `Debug` form, or that form of a
                // `Debug` form.
                let once = escaped(password);
                text.replace(&escaped(&once), "***")
                    .replace(&once, "***")
                    .replace(password, "***")
            }
            None => text.to_owned(),
        };
        clipped(&text, SHOWN)
    }
}

/// No answer came within the deadline.
pub(crate) fn late(deadline: Duration) -> Failure {
    let text = format!("no answer within {deadline:?}");
    Failure::because(
        Cause::RegistryDown,
        io::Error::new(io::ErrorKind::TimedOut, text),
    )
}

/// The registry was closed.
pub(crate) fn closed() -> Failure {
    Failure::because(Cause::RegistryDown, "it was closed")
}

/// Whether the server says that it, or this node, cannot serve for now.
pub(crate) fn is_passing(err: &RedisError) -> bool {
    matches!(
        err.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
        )
    ) || matches!(err.code(), Some("BUSY" | "NOREPLICAS"))
        // Scripts on Redis 6 report it inside the text of another error.
        || err.detail().is_some_and(|words| {
            ["-READONLY ", "-NOREPLICAS ", "-MASTERDOWN "]
                .iter()
                .any(|code| words.contains(code))
        })
}

/// Whether this process or machine has run out of file descriptors, which is not the
/// server's fault.
fn is_exhausted(err: &io::Error) -> bool {
    // EMFILE and ENFILE, which have no kind of their own; on Windows WSAEMFILE.
    let codes: &[i32] = if cfg!(windows) { &[10_024] } else { &[24, 23] };
    err.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Whether a server refuses this client with this alert.
fn is_refusal(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // Its authority has the expected name, but another key.
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
    )
}

/// A text in `Debug` form, without the quotes.
fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The error that the server's answer `-line` comes to.
    pub(in crate::connection) fn answer(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn every_answer_has_its_cause() {
        let errors = ServerErrors::new(None);
        for (line, cause) in [
            ("NOAUTH Authentication required.", Cause::PermissionDenied),
            (
                "WRONGPASS invalid username-password pair",
                Cause::PermissionDenied,
            ),
            (
                "NOPERM this user has no permissions",
                Cause::PermissionDenied,
            ),
            (
                "READONLY You can't write against a read only replica.",
                Cause::RegistryDown,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                Cause::RegistryDown,
            ),
            (
                "ERR Error running script (call to f_…): @user_script:19: @user_script: 19: -READONLY You can't write against a read only replica.",
                Cause::RegistryDown,
            ),
            (
                "@user_script: 4: -NOREPLICAS Not enough good replicas to write.",
                Cause::RegistryDown,
            ),
            ("BUSY Redis is busy running a script", Cause::RegistryDown),
            ("NOREPLICAS Not enough good replicas", Cause::RegistryDown),
            ("CLUSTERDOWN The cluster is down", Cause::RegistryDown),
            (
                "MASTERDOWN Connection with MASTER is down",
                Cause::RegistryDown,
            ),
            ("WRONGTYPE Operation against a key", Cause::Protocol),
            ("OOM command not allowed", Cause::Other),
            ("ERR unknown command 'EVAL'", Cause::Other),
        ] {
            let failure = errors.failure(&answer(line));
            assert_eq!(failure.cause(), cause, "{line}");
            assert_eq!(failure.detail().unwrap().to_string(), line);
        }
    }

    #[test]
    fn an_io_error_lies_beneath_with_its_kind() {
        let io = io::Error::new(io::ErrorKind::ConnectionRefused, "refused");
        let failure = ServerErrors::new(None).failure(&io.into());
        assert_eq!(failure.to_string(), "registry is down");
        let beneath = failure
            .source()
            .unwrap()
            .downcast_ref::<io::Error>()
            .unwrap();
        assert_eq!(beneath.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_password_that_is_echoed_is_not_shown() {
        let errors = ServerErrors::new(Some("hunter2"));
        let failure = errors.failure(&answer("ERR unknown command 'AUTH hunter2'"));
        assert!(!format!("{failure} {failure:?}").contains("hunter2"));
        let failure = errors.strange(&redis::Value::SimpleString("hunter2".into()));
        assert!(failure.to_string().contains("***"), "{failure}");

        let errors = ServerErrors::new(Some("hun\"ter\\2"));
        for answer in [
            redis::Value::SimpleString("hun\"ter\\2".into()),
            redis::Value::BulkString(b"it is hun\"ter\\2".into()),
        ] {
            let shown = errors.strange(&answer).to_string();
            assert!(shown.contains("***") && !shown.contains("ter"), "{shown}");
        }
    }
}
