//! Addresses: what users write, `host:port`.
//!
//! Owns what the documentation of `Addr` says of the grammar. Never needs a
//! network.

use std::str::from_utf8;

use virtnet_core::{Addr, MAX_NAME, ToAddr};

use crate::frames::is_name;
use crate::limits::{REFUSAL, stretched, within};
use crate::places::is_port;

const NETWORK: &str = "n";

/// What an address takes: two names with their counters.
const ADDR: u64 = MAX_NAME as u64 + NETWORK.len() as u64 + 2 * 24;

/// The input is an address, or a name of a host.
pub fn addr(input: &[u8]) {
    let Ok(text) = from_utf8(input) else { return };
    read(text);
    if let Some(long) = stretched(input) {
        read(from_utf8(&long).expect("text, over and over"));
    }
    let named = within(REFUSAL, || Addr::new(NETWORK, text, 7));
    assert_eq!(named.is_ok(), is_name(input), "{named:?}");
    if let Ok(addr) = named {
        assert_eq!(addr.host(), text);
        read(&addr.to_string());
    }
}

fn read(text: &str) {
    let parsed = within(REFUSAL, || Addr::parse(NETWORK, text));
    let host = host(text);
    let home = Addr::new(NETWORK, "home", 0).expect("an address");
    let seen = within(REFUSAL, || text.to_addr(&home));
    if host == Some("") {
        // The host itself, for those who have one.
        let seen = seen.expect("a port is enough");
        assert_eq!(seen, home.with_port(seen.port()));
        assert!(parsed.is_err());
        return;
    }
    assert_eq!(seen, parsed, "{text:?}");
    let is_addr = host.is_some_and(|host| is_name(host.as_bytes()));
    assert_eq!(parsed.is_ok(), is_addr, "{parsed:?}");
    let Ok(addr) = parsed else { return };
    within(ADDR, || Addr::parse(NETWORK, text)).expect("as before");
    assert_eq!(Some(addr.host()), host);
    assert_eq!(addr, text);
    let written = addr.to_string();
    assert_eq!(Addr::parse(NETWORK, &written), Ok(addr));
    assert!(written.len() <= text.len());
}

/// The host of what is written like an address: it may be none.
fn host(text: &str) -> Option<&str> {
    let (host, port) = text.rsplit_once(':')?;
    let (host, bracketed) = match host.strip_prefix('[') {
        Some(host) => (host.strip_suffix(']')?, true),
        None => (host, false),
    };
    let plain = !host.contains(['[', ']']) && (bracketed || !host.contains(':'));
    (plain && is_port(port)).then_some(host)
}
