//! Tracking: whether servers are asked to push changes, and whether they can.
//!
//! Owns how a server without client tracking is recognised. Pushes are an optimisation:
//! without them, each look-up asks the server. Never asks for them itself.

use std::error::Error;
use std::fmt;
use std::sync::OnceLock;

use redis::{ErrorKind, ProtocolVersion, RedisError, ServerErrorKind};
use virtnet_core::Failure;

/// Whether pushes are wanted, and whether the server turned out to lack them.
pub(crate) struct Tracking {
    is_wanted: bool,
    /// That server's error. Pushes are not asked for again: that costs a connection, as
    /// some servers close it after every error.
    missing: OnceLock<String>,
}

impl Tracking {
    pub(crate) fn new(is_wanted: bool) -> Tracking {
        Tracking {
            is_wanted,
            missing: OnceLock::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_wanted && self.missing.get().is_none()
    }

    /// The server replied with this error: it lacks tracking.
    pub(crate) fn give_up(&self, said: String) {
        // If another connection was first, its error does as well.
        let _ = self.missing.set(said);
    }

    /// The warning for users, if the server lacks tracking.
    pub(crate) fn warning(&self) -> Option<String> {
        let said = self.missing.get()?;
        Some(format!(
            "the server lacks client tracking (CLIENT TRACKING over RESP3, Redis 6.0 or later), \
             so nothing is cached and each look-up asks the server: {said}"
        ))
    }

    /// Only pushes need RESP3.
    pub(crate) fn protocol(&self) -> ProtocolVersion {
        match self.is_on() {
            true => ProtocolVersion::RESP3,
            false => ProtocolVersion::RESP2,
        }
    }
}

/// The error of a server that lacks tracking.
#[derive(Debug)]
pub(crate) struct NoTracking(pub(crate) String);

impl fmt::Display for NoTracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NoTracking {}

impl NoTracking {
    /// This error, if it is the reason for a failure.
    pub(crate) fn of(failure: &Failure) -> Option<&NoTracking> {
        failure.detail()?.downcast_ref()
    }
}

/// Whether this error, on connecting or on asking for pushes, means that the server lacks
/// them. A user without the right to them is something else.
pub(crate) fn is_missing(err: &RedisError) -> bool {
    match err.kind() {
        ErrorKind::RESP3NotSupported => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => is_about_tracking(err.detail()),
        _ => err.code() == Some("NOPROTO"),
    }
}

fn is_about_tracking(words: Option<&str>) -> bool {
    let words = words.unwrap_or_default().to_lowercase();
    let has = |any: &[&str]| any.iter().any(|one| words.contains(one));
    has(&["unknown", "unsupported", "not supported"]) && has(&["hello", "client", "tracking"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::error::tests::answer;

    #[test]
    fn who_knows_no_pushes_is_told_from_who_does_not_let_us() {
        for line in [
            "ERR unknown command 'CLIENT', with args beginning with: 'TRACKING' 'ON' 'OPTIN' ",
            "ERR unknown command `HELLO`, with args beginning with: `3`, ",
            "ERR unknown command 'HELLO', with args beginning with: '3' ",
            "ERR Unknown subcommand or wrong number of arguments for 'TRACKING'. Try CLIENT HELP",
            "ERR unknown command 'client tracking'",
            "NOPROTO unsupported protocol version",
        ] {
            assert!(is_missing(&answer(line)), "{line}");
        }
        for line in [
            "NOPERM this user has no permissions to run the 'client|tracking' command",
            "NOAUTH HELLO must be called with the client already authenticated",
            "ERR unknown command 'EVAL', with args beginning with: 'x' ",
            "ERR max number of clients reached",
            "LOADING Redis is loading the dataset in memory",
        ] {
            assert!(!is_missing(&answer(line)), "{line}");
        }
    }
}
