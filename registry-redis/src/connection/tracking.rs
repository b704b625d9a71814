//! Tracking: whether servers are asked to push what changes, and can be.
//!
//! Owns how one is recognised that cannot. Pushes are an optimisation: without them
//! each look-up is a question. Never asks for them itself.

use std::error::Error;
use std::fmt;
use std::sync::OnceLock;

use redis::{ErrorKind, ProtocolVersion, RedisError, ServerErrorKind};
use virtnet_core::Failure;

/// Whether pushes are wanted, and whether a server was met that has none.
pub(crate) struct Tracking {
    is_wanted: bool,
    /// What that server said. Not asked for again: it costs a connection, as some hang
    /// up after every error.
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

    /// A server was met that cannot, and said so.
    pub(crate) fn give_up(&self, said: String) {
        // That another connection was faster is as good.
        let _ = self.missing.set(said);
    }

    /// What people should know, if a server was met that cannot.
    pub(crate) fn warning(&self) -> Option<String> {
        let said = self.missing.get()?;
        Some(format!(
            "the server cannot say what changes, as Redis does from 6.0 on (CLIENT TRACKING \
             over RESP3), so nothing is remembered and each look-up asks it: {said}"
        ))
    }

    /// Pushes need the later one, and nothing else does.
    pub(crate) fn protocol(&self) -> ProtocolVersion {
        match self.is_on() {
            true => ProtocolVersion::RESP3,
            false => ProtocolVersion::RESP2,
        }
    }
}

/// What a server said that knows no pushes.
#[derive(Debug)]
pub(crate) struct NoTracking(pub(crate) String);

impl fmt::Display for NoTracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NoTracking {}

impl NoTracking {
    /// What was said, if that is why something failed.
    pub(crate) fn of(failure: &Failure) -> Option<&NoTracking> {
        failure.detail()?.downcast_ref()
    }
}

/// Whether a server says by this, when it is connected to or asked to push, that it
/// knows no pushes. That a user may not ask for them is something else.
pub(crate) fn is_missing(err: &RedisError) -> bool {
    match err.kind() {
        ErrorKind::RESP3NotSupported => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => speaks_of_it(err.detail()),
        _ => err.code() == Some("NOPROTO"),
    }
}

fn speaks_of_it(words: Option<&str>) -> bool {
    let words = words.unwrap_or_default().to_lowercase();
    let has = |any: &[&str]| any.iter().any(|one| words.contains(one));
    has(&["unknown", "unsupported", "not supported"]) && has(&["hello", "client", "tracking"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

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
