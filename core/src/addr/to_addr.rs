//! Arguments that convert to an address on a host's network.
//!
//! Owns parsing an address *relative to a host*: an empty host part means the
//! host itself. Never checks whether the host exists.

use std::sync::Arc;

use crate::addr::name::{Noun, Problem, check_name};
use crate::addr::split;
use crate::{Addr, AddrError};

/// The argument of `dial` and `listen`: text such as `β:1`, or an [`Addr`].
///
/// Implemented for all types that are `AsRef<str>`, for [`Addr`] and for
/// `&Addr`. The trait is sealed.
pub trait ToAddr: sealed::Sealed {
    #[doc(hidden)]
    fn to_addr(&self, home: &Addr) -> Result<Addr, AddrError>;

    /// Like `to_addr`, but an empty string means any free port.
    #[doc(hidden)]
    fn to_listen_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        self.to_addr(home)
    }
}

impl<T: AsRef<str>> ToAddr for T {
    fn to_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        let (host, port) = split(self.as_ref())?;
        if host.is_empty() || host == home.host() {
            return Ok(home.with_port(port));
        }
        check_name(Noun::Hostname, host)?;
        Ok(Addr::unchecked(home.network_arc(), Arc::from(host), port))
    }

    fn to_listen_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        match self.as_ref() {
            "" => Ok(home.with_port(0)),
            _ => self.to_addr(home),
        }
    }
}

impl ToAddr for Addr {
    fn to_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        if self.network() != home.network() {
            let written = self.to_string();
            return Err(AddrError::new(
                Noun::Address,
                &written,
                Problem::OtherNetwork,
            ));
        }
        Ok(self.clone())
    }
}

impl ToAddr for &Addr {
    fn to_addr(&self, home: &Addr) -> Result<Addr, AddrError> {
        Addr::to_addr(self, home)
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<T: AsRef<str>> Sealed for T {}
    impl Sealed for crate::Addr {}
    impl Sealed for &crate::Addr {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_a_host_s_point_of_view() {
        let home = Addr::new("n", "α", 0).unwrap();
        assert_eq!(":10".to_addr(&home).unwrap(), "α:10");
        assert_eq!("[]:10".to_addr(&home).unwrap(), "α:10");
        assert_eq!(String::from("β:1").to_addr(&home).unwrap(), "β:1");
        assert_eq!(home.with_port(3).to_addr(&home).unwrap(), "α:3");
    }

    #[test]
    fn an_address_of_another_network_is_refused() {
        let home = Addr::new("n", "α", 0).unwrap();
        let err = Addr::new("m", "β", 1).unwrap().to_addr(&home).unwrap_err();
        assert_eq!(
            err.to_string(),
            "invalid address \"β:1\": expected an address on this host's network, \
             got one on another network"
        );
    }
}
