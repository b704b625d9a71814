//! Targets: the URL of a Redis, read, checked, and shown.
//!
//! Owns which URLs are accepted, and how they are shown: never with the password. Never
//! connects.
//!
//! ```text
//! redis://[user:password@]host[:port][/db]
//! redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/db]
//! redis+cluster://[user:password@]host[:port][,host[:port]…]
//! ```
//!
//! and each with `rediss` instead of `redis`. Each host of a URL in turn gives a URL of the
//! first form, which the client library reads.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use virtnet_core::{Cause, Failure};

const SENTINEL_PORT: u16 = 26_379;

/// What to connect to.
pub(crate) struct RedisUrl {
    /// The URL without its password.
    pub(crate) shown: String,
    pub(crate) kind: Kind,
    /// The addresses that the URL names, at least one.
    pub(crate) nodes: Vec<Node>,
    pub(crate) tls: bool,
    /// User, password and database.
    pub(crate) login: RedisConnectionInfo,
}

/// Host and port.
pub(crate) type Node = (String, u16);

/// What is at the addresses that the URL names.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    /// The server itself.
    Server,
    /// Sentinels, which know where the server of this name is.
    Sentinel(String),
    /// Cluster nodes, of which one has the network's keys.
    Cluster,
}

impl RedisUrl {
    /// Reads a URL.
    pub(crate) fn parse(input: &str) -> Result<RedisUrl, Failure> {
        let Some((scheme, rest)) = input.split_once("://") else {
            return Err(refused(
                "expected a URL of the form redis://user:password@host:port/db",
            ));
        };
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(base, "redis" | "rediss") || !matches!(kind, "" | "sentinel" | "cluster") {
            return Err(refused(
                "expected the scheme redis, redis+sentinel or redis+cluster, or rediss in it for TLS",
            ));
        }
        let after = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(after);
        check_after(after)?;
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (path, query) = after.split_at(after.find('?').unwrap_or(after.len()));
        let (kind, db) = match kind {
            "sentinel" => sentinel(path)?,
            "cluster" if matches!(path, "" | "/" | "/0") => (Kind::Cluster, ""),
            "cluster" => return Err(refused("a cluster has only database 0")),
            _ if hosts.contains(',') => {
                return Err(refused(
                    "expected one host, got several: use redis+sentinel or redis+cluster for \
                     several",
                ));
            }
            _ => (Kind::Server, path.strip_prefix('/').unwrap_or(path)),
        };
        let login = login.map_or(String::new(), |login| format!("{login}@"));
        let mut nodes = Vec::new();
        let mut settings = RedisConnectionInfo::default();
        for host in hosts.split(',') {
            let port = match kind {
                Kind::Sentinel(_) if !has_port(host) => format!(":{SENTINEL_PORT}"),
                _ => String::new(),
            };
            let one = read_one(&format!("{base}://{login}{host}{port}/{db}{query}"))?;
            settings = one.redis_settings().clone();
            nodes.push(match one.addr() {
                ConnectionAddr::Tcp(host, port) => (host.clone(), *port),
                ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port),
                _ => return Err(refused("expected a TCP address")),
            });
        }
        let user = login.split([':', '@']).next().unwrap_or_default();
        let at = if user.is_empty() { "" } else { "@" };
        Ok(RedisUrl {
            shown: format!("{scheme}://{user}{at}{hosts}{path}"),
            kind,
            nodes,
            tls: base == "rediss",
            login: settings,
        })
    }

    /// The password, to keep it out of texts.
    pub(crate) fn password(&self) -> Option<&str> {
        self.login.password()
    }
}

fn refused(why: impl Into<String>) -> Failure {
    Failure::wrap(Cause::InvalidAddr, why.into())
}

/// Refuses characters after the hosts that belong before them.
fn check_after(after: &str) -> Result<(), Failure> {
    if after.contains('@') {
        // It was cut at the password's first '/', '?' or '#'.
        return Err(refused(
            "expected no '@' after the host; write / ? # @ in a password as %2F %3F %23 %40",
        ));
    }
    if after.contains('#') {
        return Err(refused(
            "expected no '#'; TLS certificates are always verified",
        ));
    }
    Ok(())
}

/// Reads `/master[/db]`.
fn sentinel(path: &str) -> Result<(Kind, &str), Failure> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err(refused(
            "expected the sentinels' name of the server after the hosts: \
             redis+sentinel://host:port,host:port/name",
        ));
    }
    // The characters that sentinels allow.
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if !master.chars().all(is_allowed) {
        return Err(refused(
            "expected only letters, digits, '.', '-' and '_' in the sentinels' name of the server",
        ));
    }
    Ok((Kind::Sentinel(master.to_owned()), db))
}

fn has_port(host: &str) -> bool {
    // The colons of an IPv6 address are in brackets.
    host.rsplit(']').next().unwrap_or(host).contains(':')
}

/// Reads a URL of one server.
fn read_one(url: &str) -> Result<ConnectionInfo, Failure> {
    let url = redis::parse_redis_url(url)
        .ok_or_else(|| refused("expected a URL of the form redis://user:password@host:port/db"))?;
    // The client library's errors name port, database or protocol, and never contain
    // the password.
    url.into_connection_info()
        .map_err(|err| refused(err.to_string()))
}

/// Any input without what precedes the host: it is safe to show.
///
/// For refused inputs, in which the password cannot be told apart.
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

    fn parse(input: &str) -> RedisUrl {
        RedisUrl::parse(input).unwrap_or_else(|err| panic!("{input}: {err}"))
    }

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
            (
                "redis+sentinel://user:secret@a,b:1/m/2",
                "redis+sentinel://user@a,b:1/m/2",
            ),
            (
                "rediss+cluster://:secret@a,[::1]:1",
                "rediss+cluster://a,[::1]:1",
            ),
        ] {
            assert_eq!(parse(input).shown, shown);
        }
        assert_eq!(parse("redis://u:se%40cret@h").password(), Some("se@cret"));
    }

    #[test]
    fn each_kind_has_its_places() {
        let node = |host: &str, port| (host.to_owned(), port);
        let one = parse("rediss://h");
        assert_eq!((one.kind, one.tls), (Kind::Server, true));
        assert_eq!(one.nodes, [node("h", 6379)]);

        let some = parse("redis+sentinel://u:p@a,b:1,[::1],[::2]:2/my-master.1/3");
        assert_eq!(some.kind, Kind::Sentinel("my-master.1".into()));
        let places = [
            node("a", 26379),
            node("b", 1),
            node("::1", 26379),
            node("::2", 2),
        ];
        assert_eq!((some.nodes, some.tls), (places.to_vec(), false));
        assert_eq!((some.login.username(), some.login.db()), (Some("u"), 3));

        let many = parse("rediss+cluster://:p@a,b:1/");
        assert_eq!((many.kind, many.tls), (Kind::Cluster, true));
        assert_eq!(many.nodes, [node("a", 6379), node("b", 1)]);
        assert_eq!(many.login.password(), Some("p"));
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
            "redis://u:secret@a,b",
            "redis+unix://u:secret@h",
            "redis+sentinel://u:secret@a,b",
            "redis+sentinel://u:secret@a,b/",
            "redis+sentinel://u:secret@a,b/m/db",
            "redis+sentinel://u:secret@a,b/m/1/2",
            "redis+sentinel://u:secret@a,b/a%20b",
            "redis+sentinel://u:secret@a,,b/m",
            "redis+sentinel://u:secret@a:x/m",
            "redis+cluster://u:secret@a,b/1",
            "redis+cluster://u:secret@",
            "redis+cluster://u:secret@a,",
            "sentinel+redis://u:secret@a/m",
        ] {
            let Err(failure) = RedisUrl::parse(input) else {
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
