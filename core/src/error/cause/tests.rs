//! Tests of each cause: its text, its `io::ErrorKind`, and whether it means that a host
//! cannot be reached.
//!
//! Owns that table. Never creates a failure.

use super::*;

#[test]
fn texts_and_kinds() {
    use io::ErrorKind as Kind;
    for (cause, text, kind) in [
        (Cause::NetworkDown, "network is down", Kind::NetworkDown),
        (Cause::HostDown, "host is down", Kind::HostUnreachable),
        (Cause::SocketDown, "socket is down", Kind::NotConnected),
        (Cause::AddrInUse, "address already in use", Kind::AddrInUse),
        (
            Cause::AddrNotLocal,
            "cannot listen on requested address",
            Kind::AddrNotAvailable,
        ),
        (
            Cause::ConnectionRefused,
            "connection refused",
            Kind::ConnectionRefused,
        ),
        (
            Cause::RegistryDown,
            "registry is down",
            Kind::NetworkUnreachable,
        ),
        (Cause::NoSuchHost, "no such host", Kind::NotFound),
        (
            Cause::HostAlreadyRegistered,
            "host already registered",
            Kind::AlreadyExists,
        ),
        (Cause::BrokenPipe, "broken pipe", Kind::BrokenPipe),
        (
            Cause::ConnectionCut,
            "connection cut",
            Kind::ConnectionReset,
        ),
        (Cause::TimedOut, "timed out", Kind::TimedOut),
        (
            Cause::HostUnreachable,
            "host is unreachable",
            Kind::HostUnreachable,
        ),
        (Cause::InvalidAddr, "invalid address", Kind::InvalidInput),
        (Cause::NoFreePort, "no free port", Kind::AddrNotAvailable),
        (
            Cause::PermissionDenied,
            "permission denied",
            Kind::PermissionDenied,
        ),
        (Cause::Protocol, "protocol violation", Kind::InvalidData),
        (Cause::Other, "other error", Kind::Other),
    ] {
        assert_eq!(cause.to_string(), text);
        assert_eq!(cause.kind(), kind, "{text}");
        let unreachable = [
            "no such host",
            "connection cut",
            "timed out",
            "host is unreachable",
        ];
        assert_eq!(
            cause.is_unreachable(),
            unreachable.contains(&text),
            "{text}"
        );
    }
}
