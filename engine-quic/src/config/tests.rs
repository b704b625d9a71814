//! What a configuration takes, and what it says of what it does not.
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
        (good().dial_timeout(zero), "dial timeout of 0ns"),
        (good().handshake_timeout(zero), "handshake timeout of 0ns"),
        (good().keep_alive(zero), "keep-alive interval of 0ns"),
        (
            good().idle_timeout(Duration::from_secs(3)),
            "idle timeout of 3s",
        ),
        (no(|limits| limits.handshakes = 0), "at most 0 handshakes"),
        (
            no(|limits| limits.unopened_per_peer = 0),
            "at most 0 unopened streams per peer",
        ),
        (good().advertise("0.0.0.0"), "\"0.0.0.0\""),
        (good().bind((Ipv4Addr::UNSPECIFIED, 0).into()), "0.0.0.0:0"),
        (range(7, 3), "127.0.0.1:7-3: the range"),
        (
            range(7, 9).advertise("10.0.0.2:7"),
            "cannot advertise \"10.0.0.2:7\": hosts have ports of their own, out of 127.0.0.1:7-9",
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
            "a largest datagram of 65508 bytes is more than 65507",
        ),
        (
            |tuning| tuning.largest_datagram = 1_199,
            "a largest datagram of 1199 bytes is less than 1200",
        ),
        (
            |tuning| tuning.stream_window = 0,
            "a stream window of 0 bytes is less than 1200",
        ),
        (
            |tuning| tuning.socket_buffer = 1 << 32,
            "a socket buffer of 4294967296 bytes is more than 2147483647",
        ),
        (
            |tuning| tuning.send_window = 7,
            "a send window of 7 bytes is less than 1200",
        ),
    ] {
        assert_eq!(check(change), Err(problem.to_owned()));
    }
}
