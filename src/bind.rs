//! Where hosts bind: one IP address, with a port or a range of ports.
//!
//! Owns the grammar of the setting. Never binds anything: the engine does.

use std::net::{IpAddr, SocketAddr};

use crate::setting::{Setting, SettingError};

/// What every host binds: the lowest free port from the address's own to the
/// last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) first: SocketAddr,
    pub(crate) last: u16,
}

impl Bind {
    /// Any free port of this IP address.
    pub(crate) fn any_port(ip: impl Into<IpAddr>) -> Bind {
        Bind {
            first: (ip.into(), 0).into(),
            last: 0,
        }
    }

    /// Reads `IP:port` or `IP:first-last`; IPv6 addresses are in brackets.
    pub(crate) fn parse(setting: &Setting) -> Result<Bind, SettingError> {
        parse(&setting.value).map_err(|problem| setting.refuse(problem))
    }
}

fn parse(text: &str) -> Result<Bind, &'static str> {
    const FORM: &str =
        "it is not of the form IP:port or IP:first-last, as 0.0.0.0:0 and 0.0.0.0:20000-20099 are";
    if let Ok(first) = text.parse::<SocketAddr>() {
        let last = first.port();
        return Ok(Bind { first, last });
    }
    let (first, last) = text.rsplit_once('-').ok_or(FORM)?;
    let first: SocketAddr = first.parse().map_err(|_| FORM)?;
    // Read as the first one is, which takes no sign and no number over 16 bits.
    let last: SocketAddr = format!("0.0.0.0:{last}").parse().map_err(|_| FORM)?;
    match (first.port(), last.port()) {
        (0, _) => Err("a range can't begin with port 0, which is any free one"),
        (low, high) if low > high => Err("the range's last port is before its first"),
        (_, last) => Ok(Bind { first, last }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_a_range_of_them() {
        for (text, first, last) in [
            ("0.0.0.0:0", "0.0.0.0:0", 0),
            ("10.0.0.2:7", "10.0.0.2:7", 7),
            ("0.0.0.0:20000-20099", "0.0.0.0:20000", 20_099),
            ("[::]:1-65535", "[::]:1", 65_535),
            ("[fe80::1%2]:7-7", "[fe80::1%2]:7", 7),
        ] {
            let first = first.parse().unwrap();
            assert_eq!(parse(text), Ok(Bind { first, last }));
        }
    }

    #[test]
    fn what_is_neither_is_named() {
        for (text, problem) in [
            ("", "not of the form"),
            ("everywhere", "not of the form"),
            ("0.0.0.0", "not of the form"),
            ("0.0.0.0-1:7", "not of the form"),
            ("localhost:7-8", "not of the form"),
            ("::1:7-8", "not of the form"),
            ("0.0.0.0:7-", "not of the form"),
            ("0.0.0.0:-7", "not of the form"),
            ("0.0.0.0:7-8-9", "not of the form"),
            ("0.0.0.0:7-+8", "not of the form"),
            ("0.0.0.0:7-65536", "not of the form"),
            ("0.0.0.0:0-7", "begin with port 0"),
            ("0.0.0.0:8-7", "before its first"),
        ] {
            let err = Bind::parse(&Setting::new("bind", text.to_owned())).unwrap_err();
            let err = err.to_string();
            assert!(err.starts_with(&format!("bind {text:?}: ")), "{err}");
            assert!(err.contains(problem), "{err}");
        }
    }
}
