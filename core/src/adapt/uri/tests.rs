//! Tests of hosts in URIs.
//!
//! Owns the round trips. Never builds a URI: the tests of the connector check that the
//! crate `http` accepts these hosts.

use std::collections::HashSet;

use super::*;

#[test]
fn names_come_back() {
    for (name, host) in [
        ("node-1.test_~", "node-1.test_~"),
        ("10.0.0.1", "10.0.0.1"),
        ("α", "[%CE%B1]"),
        ("A", "[%41]"),
        ("a b", "[a%20b]"),
        ("::1", "[%3A%3A1]"),
        ("100%", "[100%25]"),
        ("%41", "[%2541]"),
        ("me@home", "[me%40home]"),
        ("a/b?c#d", "[a%2Fb%3Fc%23d]"),
    ] {
        assert_eq!(uri_host(name), host);
        let addr = Addr::new("net", name, 7).unwrap();
        assert_eq!(authority_addr("net", &uri_authority(&addr)).unwrap(), addr);
        assert_eq!(authority_addr("net", host).unwrap(), addr.with_port(80));
    }
}

/// A client's connection pool ignores case.
#[test]
fn different_names_are_different_hosts() {
    let parts = [
        "a", "A", "%", "%41", "%61", "α", "Α", "é", "e\u{301}", ".", ":",
    ];
    let mut hosts = HashSet::new();
    for one in parts {
        for two in parts {
            let host = uri_host(&format!("{one}{two}"));
            assert!(hosts.insert(host.to_ascii_lowercase()), "{host}");
        }
    }
}

#[test]
fn what_others_write_is_read() {
    for (authority, addr) in [
        ("a:1", "a:1"),
        ("[a]:1", "a:1"),
        ("[%ce%b1]:1", "α:1"),
        // A client that does not know the brackets may send this.
        ("%CE%B1:1", "α:1"),
        ("user:word@a:1", "a:1"),
    ] {
        assert_eq!(authority_addr("net", authority).unwrap(), addr);
    }
}

#[test]
fn refusals_name_the_input() {
    for (authority, problem) in [
        ("", Problem::NoHost),
        (":1", Problem::NoHost),
        ("[]:1", Problem::NoHost),
        ("a:", Problem::NoPort),
        ("a:99999", Problem::PortTooLarge),
        ("[a", Problem::Brackets),
        ("A:1", Problem::UriCase),
        ("[%CE%B1A]:1", Problem::UriCase),
        ("[%4]:1", Problem::UriPercent),
        ("[%]", Problem::UriPercent),
        ("[%+1]", Problem::UriPercent),
        ("[%CE]:1", Problem::UriPercent),
    ] {
        let err = authority_addr("net", authority).unwrap_err();
        assert_eq!(err, AddrError::new(Noun::Address, authority, problem));
    }
    // Invalid names are refused in every encoding.
    for authority in ["[a]]", "[a%00]:1", "[%5Ba%5D]:1"] {
        assert!(authority_addr("net", authority).is_err(), "{authority}");
    }
}
