//! Targets: the URL of a Redis server, read, checked, and shown.
//!
//! Owns which URLs are accepted and how one is shown to people: never with its
//! password. Never connects.

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisResult};
use virtnet_core::{Cause, Failure};

/// A server to connect to.
pub(crate) struct Target {
    /// The URL without its password.
    pub(crate) shown: String,
    pub(crate) info: redis::ConnectionInfo,
}

impl Target {
    /// Reads a `redis://` or `rediss://` URL.
    pub(crate) fn parse(input: &str) -> Result<Target, Failure> {
        let refused = |why: &str| Failure::wrap(Cause::InvalidAddr, why);
        let Some(url) = redis::parse_redis_url(input) else {
            return Err(refused(
                "this is not a URL of the form redis://user:password@host:port/db",
            ));
        };
        if !matches!(url.scheme(), "redis" | "rediss") {
            return Err(refused("the scheme must be redis, or rediss for TLS"));
        }
        let after_host = [Some(url.path()), url.query(), url.fragment()];
        if after_host
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            // It was cut at the password's first '/', '?' or '#'.
            return Err(refused(
                "there is a '@' after the host; the characters / ? # @ of a password are \
                 written %2F %3F %23 %40",
            ));
        }
        if url.fragment().is_some() {
            return Err(refused("nothing may follow a '#'; TLS is always verified"));
        }
        let mut shown = url.clone();
        // Refused only for URLs without a host, which are refused below.
        let _ = shown.set_password(None);
        shown.set_query(None);
        let info = url
            .into_connection_info()
            .map_err(|err| refused(&err.to_string()))?;
        let shown = shown.to_string();
        Ok(Target { shown, info })
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// The password, to keep it out of what is shown.
    pub(crate) fn password(&self) -> Option<&str> {
        self.info.redis_settings().password()
    }

    /// A client with these settings for its connections, that hears pushes or
    /// not.
    pub(crate) fn client(&self, tcp: TcpSettings, pushes: bool) -> RedisResult<Client> {
        let settings = self.info.redis_settings().clone();
        // The version of the protocol is for us to choose, whatever the URL says.
        let settings = settings.set_protocol(match pushes {
            true => ProtocolVersion::RESP3,
            false => ProtocolVersion::RESP2,
        });
        // It would need rights, and a refusal be written to the server's log.
        let settings = settings.set_skip_set_lib_name();
        let info = self.info.clone().set_redis_settings(settings);
        Client::open(info.set_tcp_settings(tcp))
    }
}

/// Any input as it may be shown: of what a URL says before its host, nothing.
///
/// For inputs that were refused, in which one cannot know what the password is.
pub(crate) fn redacted(input: &str) -> String {
    const SHOWN: usize = 80;
    let start = input.find("://").map_or(0, |at| at + "://".len());
    let shown = match input.rfind('@') {
        Some(end) if end >= start => format!("{}***{}", &input[..start], &input[end..]),
        // A '@' before "://" is no part of a URL as we know it.
        Some(_) => "***".to_owned(),
        None => input.to_owned(),
    };
    match shown.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &shown[..cut]),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_password() {
        for (input, shown) in [
            ("redis://10.0.0.9", "redis://10.0.0.9"),
            ("redis://10.0.0.9:7000/3", "redis://10.0.0.9:7000/3"),
            ("redis://:secret@10.0.0.9", "redis://10.0.0.9"),
            (
                "redis://user:secret@10.0.0.9:1/0",
                "redis://user@10.0.0.9:1/0",
            ),
            ("rediss://user:se%40cret@[::1]:1", "rediss://user@[::1]:1"),
            ("redis://user:secret@h/?protocol=resp3", "redis://user@h/"),
        ] {
            assert_eq!(
                Target::parse(input)
                    .unwrap_or_else(|err| panic!("{err}"))
                    .shown,
                shown
            );
        }
        let target = Target::parse("redis://u:se%40cret@h").unwrap_or_else(|err| panic!("{err}"));
        assert_eq!(target.password(), Some("se@cret"));
    }

    #[test]
    fn bad_urls_are_refused_and_shown_without_what_may_be_a_password() {
        for input in [
            "",
            "10.0.0.9:6379",
            "http://u:secret@h",
            "unix:///tmp/secret@h",
            "valkey://u:secret@h",
            "redis://u:secret@",
            "redis://u:secret@h:port",
            "redis://u:secret@h/db",
            "redis://u:7/secret@h",
            "redis://u:7?secret@h",
            "redis://u:7#secret@h",
            "redis://u:sec/ret:secret@h",
            "rediss://u:secret@h/#insecure",
            "redis://u:secret@h/?protocol=4",
            "redis://u:a@secret@0.0.0.0",
            "u:secret@redis://h",
        ] {
            let Err(failure) = Target::parse(input) else {
                panic!("{input} was accepted");
            };
            assert_eq!(failure.cause(), Cause::InvalidAddr, "{input}");
            let shown = format!("{} {failure} {failure:?}", redacted(input));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn what_is_shown_is_bounded() {
        assert_eq!(redacted(&"ä".repeat(1000)), format!("{}…", "ä".repeat(80)));
        assert_eq!(redacted("redis://u:secret@h:x"), "redis://***@h:x");
    }
}
