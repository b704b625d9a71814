//! Valid configurations are accepted; errors name the invalid setting.
//!
//! Owns no socket: nothing is started.

use virtnet_core::Cause;

use super::*;
use crate::Secret;

#[test]
fn what_cannot_be_is_refused_and_named() {
    let good = || {
        QuicConfig::new(Identity::secret(Secret::random())).bind((Ipv4Addr::LOCALHOST, 0).into())
    };
    let range = |first, last| good().bind_range((Ipv4Addr::LOCALHOST, first).into(), last);
    let no = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        good().limits(limits)
    };
    assert!(good().prepare("quicα").is_ok());
    assert!(range(7, 9).advertise("10.0.0.2").prepare("quicα").is_ok());
    assert!(range(7, 7).advertise("10.0.0.2:7").prepare("net").is_ok());
    let zero = Duration::ZERO;
    for (config, named) in [
        (
            good().dial_timeout(zero),
            "dial timeout must be at least 1ms, got 0ns",
        ),
        (
            good().handshake_timeout(zero),
            "handshake timeout must be at least 1ms, got 0ns",
        ),
        (
            good().keep_alive(zero),
            "keep-alive interval must be at least 1ms, got 0ns",
        ),
        (
            good().idle_timeout(Duration::from_secs(3)),
            "keep-alive interval must be at most half of the idle timeout of 3s, got 3s",
        ),
        (
            no(|limits| limits.handshakes = 0),
            "limit \"handshakes\" must be at least 1, got 0",
        ),
        (
            no(|limits| limits.unopened_per_peer = 0),
            "limit \"unopened_per_peer\" must be at least 1, got 0",
        ),
        (good().advertise("0.0.0.0"), "\"0.0.0.0\""),
        (good().bind((Ipv4Addr::UNSPECIFIED, 0).into()), "0.0.0.0:0"),
        (range(7, 3), "127.0.0.1:7-3: the range"),
        (
            range(7, 9).advertise("10.0.0.2:7"),
            "cannot advertise \"10.0.0.2:7\": expected no port, as each host announces its own from 127.0.0.1:7-9",
        ),
    ] {
        let text = config.prepare("net").unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
    }
    assert_eq!(good().prepare("").unwrap_err().cause(), Cause::InvalidAddr);
}

#[test]
fn sizes_are_within_what_quic_can_have() {
    let check = |change: fn(&mut Tuning)| {
        let mut tuning = Tuning::default();
        change(&mut tuning);
        tuning.check().map_err(|err| err.to_string())
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|tuning| tuning.largest_datagram = 1_200), Ok(()));
    for (change, problem) in [
        (
            (|tuning| tuning.largest_datagram = 65_508) as fn(&mut Tuning),
            "largest datagram must be at most 65507 bytes, got 65508",
        ),
        (
            |tuning| tuning.largest_datagram = 1_199,
            "largest datagram must be at least 1200 bytes, got 1199",
        ),
        (
            |tuning| tuning.stream_window = 0,
            "stream window must be at least 1200 bytes, got 0",
        ),
        (
            |tuning| tuning.socket_buffer = 1 << 32,
            "socket buffer must be at most 2147483647 bytes, got 4294967296",
        ),
        (
            |tuning| tuning.send_window = 7,
            "send window must be at least 1200 bytes, got 7",
        ),
    ] {
        assert_eq!(check(change), Err(problem.to_owned()));
    }
}
