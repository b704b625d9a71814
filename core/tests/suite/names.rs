//! Tests of invalid names and addresses: the error shows the input, and neither engine
//! nor registry is called.
//!
//! Owns no network: calling the engine or registry here fails the test.

use std::sync::Arc;

use async_trait::async_trait;
use virtnet_core::{
    Addr, ByteStream, Cause, Engine, Failure, OpError, Registry, RegistryError, SubNetwork,
};

/// Panics when it is called, except for one host, from which the test dials.
struct Untouched;

#[async_trait]
impl Engine for Untouched {
    async fn vnet_new_host(&self, hostname: &str, _: &dyn Registry) -> Result<(), Failure> {
        assert_eq!(hostname, "α", "the engine was called");
        Ok(())
    }

    async fn vnet_dial(
        &self,
        _: &Addr,
        dst: &Addr,
        _: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        panic!("{dst} was dialed")
    }

    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Registry for Untouched {
    async fn announce(&self, hostname: &str, _: &str) -> Result<(), RegistryError> {
        panic!("{hostname:?} was announced")
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        panic!("{hostname:?} was queried")
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Ok(())
    }
}

fn assert_refused<T: std::fmt::Debug>(done: Result<T, OpError>, input: &str, problem: &str) {
    let err = done
        .err()
        .unwrap_or_else(|| panic!("{input:?} was accepted"));
    assert_eq!(err.cause(), Cause::InvalidAddr, "{input:?}");
    let start: String = input.chars().take(3).collect();
    let start = format!("{start:?}");
    let (text, start) = (err.to_string(), start.trim_end_matches('"'));
    assert!(
        text.len() < 600,
        "the error is not short: {} bytes",
        text.len()
    );
    assert!(text.contains(start) && text.contains(problem), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
}

#[tokio::test]
async fn what_is_no_name_or_address_is_named_and_goes_no_further() {
    let long = "λ".repeat(200_000);
    let net = SubNetwork::new("n", Arc::new(Untouched), |_| Untouched).unwrap();
    let alpha = net.new_host("α").await.unwrap();
    let names = [
        ("", "expected 1 to 255 bytes, got 0"),
        (&*long, "expected 1 to 255 bytes, got 400000"),
        ("a\nb", "control characters"),
        ("a\x1b[31mb", "control characters"),
        ("a\u{85}", "control characters"),
        ("nul\0", "control characters"),
        ("[x]", "must not contain '[' or ']'"),
    ];
    for (name, problem) in names {
        assert_refused(net.new_host(name).await, name, problem);
        let network = SubNetwork::new(name, Arc::new(Untouched), |_| Untouched);
        let text = network.unwrap_err().to_string();
        assert!(
            text.starts_with("invalid network name ") && text.contains(problem),
            "{text}"
        );
    }
    let far = format!("{long}:1");
    let addresses = [
        ("α", "expected host:port, got no port"),
        ("α:", "expected host:port, got no port"),
        ("α:65536", "the port must be at most 65535"),
        ("α:99999999999999999999", "the port must be at most 65535"),
        ("α:-1", "the port must be a number"),
        ("α:+1", "the port must be a number"),
        ("α: 1", "the port must be a number"),
        ("α:1\n", "the port must be a number"),
        ("α:¹", "the port must be a number"),
        ("a:b:1", "needs brackets"),
        ("[α:1", "square brackets"),
        ("α]:1", "square brackets"),
        ("a\tb:1", "control characters"),
        (&*far, "expected 1 to 255 bytes, got 400000"),
    ];
    let mut refused = 0;
    for (addr, problem) in addresses {
        assert_refused(alpha.listen(addr), addr, problem);
        assert_refused(alpha.dial(addr).await, addr, problem);
        refused += 2;
    }
    for addr in ["", ":"] {
        assert_eq!(
            alpha.dial(addr).await.unwrap_err().cause(),
            Cause::InvalidAddr
        );
    }
    assert!(alpha.sockets().is_empty(), "every port is free again");
    println!(
        "failures: hostname or address: {} names, {refused} addresses",
        2 * names.len()
    );
}
