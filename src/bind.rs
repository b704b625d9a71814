//! The UDP address that hosts bind: one IP address, with a port or a range of ports.
//!
//! Owns the grammar of the setting. Never binds anything: the engine does.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The UDP address of every host: the lowest free port from the address's own to the last.
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
}

/// Reads `IP:port` or `IP:first-last`; IPv6 addresses are in brackets.
impl FromStr for Bind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Bind, &'static str> {
        const FORM: &str =
            "expected IP:port or IP:first-last, such as 0.0.0.0:0 or 0.0.0.0:20000-20099";
        if let Ok(first) = text.parse::<SocketAddr>() {
            let last = first.port();
            return Ok(Bind { first, last });
        }
        let (first, last) = text.rsplit_once('-').ok_or(FORM)?;
        let first: SocketAddr = first.parse().map_err(|_| FORM)?;
        // Parsed as the first port is: without a sign, and at most 65535.
        let last: SocketAddr = format!("0.0.0.0:{last}").parse().map_err(|_| FORM)?;
        match (first.port(), last.port()) {
            (0, _) => Err("a range must not begin with port 0, which means any free port"),
            (low, high) if low > high => Err("the range's last port must not be below its first"),
            (_, last) => Ok(Bind { first, last }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Setting;

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
            assert_eq!(text.parse(), Ok(Bind { first, last }));
        }
    }

    #[test]
    fn what_is_neither_is_named() {
        for (text, problem) in [
            ("", "expected IP:port"),
            ("everywhere", "expected IP:port"),
            ("0.0.0.0", "expected IP:port"),
            ("0.0.0.0-1:7", "expected IP:port"),
            ("localhost:7-8", "expected IP:port"),
            ("::1:7-8", "expected IP:port"),
            ("0.0.0.0:7-", "expected IP:port"),
            ("0.0.0.0:-7", "expected IP:port"),
            ("0.0.0.0:7-8-9", "expected IP:port"),
            ("0.0.0.0:7-+8", "expected IP:port"),
            ("0.0.0.0:7-65536", "expected IP:port"),
            ("0.0.0.0:0-7", "begin with port 0"),
            ("0.0.0.0:8-7", "below its first"),
        ] {
            let setting = Setting::new("bind", text.to_owned());
            let err = setting.parse::<Bind>().unwrap_err().to_string();
            assert!(err.starts_with(&format!("bind {text:?}: ")), "{err}");
            assert!(err.contains(problem), "{err}");
        }
    }
}
