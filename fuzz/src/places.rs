//! Hostdata: where the registry says that a host is, and what hosts announce.
//!
//! Owns what docs/protocol.md says of hostdata. Never resolves a name.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::from_utf8;

use crate::limits::{REFUSAL, stretched, within};
use crate::place::{Advertised, RealAddr};
use crate::udp::socket::Bind;

/// What a place takes: a DNS name.
const PLACE: u64 = 253;

/// The input is hostdata; and once more what a user wants to be announced.
pub fn hostdata(input: &[u8]) {
    let Ok(text) = from_utf8(input) else { return };
    read(text);
    if let Some(long) = stretched(input) {
        read(from_utf8(&long).expect("text, over and over"));
    }
    let bind = Bind {
        first: ([127, 0, 0, 1], 0).into(),
    };
    // What is the user's own is shown whole.
    let most = REFUSAL + 20 * input.len() as u64;
    if let Ok(advertised) = within(most, || Advertised::new(Some(text), bind)) {
        let announced = advertised.hostdata(4433);
        assert!(is_hostdata(&announced), "{announced:?}");
        read(&announced);
    }
}

fn read(text: &str) {
    let parsed = within(REFUSAL, || RealAddr::parse("α", text));
    assert_eq!(parsed.is_ok(), is_hostdata(text), "{parsed:?}");
    if parsed.is_ok() {
        let place = within(PLACE, || RealAddr::parse("α", text)).expect("as before");
        let written = place.to_string();
        assert!(written.len() <= 253 + ":65535".len());
        assert!(is_hostdata(&written), "{written:?}");
        assert_eq!(RealAddr::parse("α", &written).ok(), Some(place));
    }
}

/// Whether the page takes this for hostdata.
fn is_hostdata(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    if !is_port(port) || port.trim_start_matches('0').is_empty() {
        return false;
    }
    let bracketed = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    if let Some(ip6) = bracketed {
        let unspecified = [
            Ipv6Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
        ];
        return ip6.parse().is_ok_and(|ip6| !unspecified.contains(&ip6));
    }
    if let Ok(ip4) = host.parse::<Ipv4Addr>() {
        return ip4 != Ipv4Addr::UNSPECIFIED;
    }
    let last = host.trim_end_matches('.').rsplit('.').next();
    (1..=253).contains(&host.len())
        && host
            .chars()
            .all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.'))
        && last
            .is_some_and(|last| !last.is_empty() && !last.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether these are decimal digits, of a number of 16 bits.
pub(crate) fn is_port(digits: &str) -> bool {
    let number = digits.trim_start_matches('0');
    !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (number.len() < 5 || number.len() == 5 && number <= "65535")
}
