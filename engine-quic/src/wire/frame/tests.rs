//! The frames, byte for byte, and that no other bytes decode.
//!
//! Owns no production code.

use super::*;

fn hello() -> Hello {
    Hello {
        src: Addr::new("net", "α", 258).unwrap(),
        dst: Addr::new("net", "be:ta", 7).unwrap(),
    }
}

/// Decodes a whole frame like the handshake does.
fn read(frame: &[u8]) -> Result<Hello, FrameError> {
    let [version, high, low, body @ ..] = frame else {
        return Err(FrameError::Truncated);
    };
    if *version != VERSION {
        return Err(FrameError::Version(*version));
    }
    let length = Hello::body_length([*high, *low])?;
    Hello::decode(body.get(..length).ok_or(FrameError::Truncated)?, &[])
}

#[test]
fn golden_hello() {
    let frame = hello().encode(b"");
    let golden = b"\x02\x00\x11\x03net\x02\xce\xb1\x01\x02\x05be:ta\x00\x07";
    assert_eq!(frame, golden);
    assert_eq!(read(golden), Ok(hello()));
}

#[test]
fn golden_replies() {
    for (reply, golden) in [
        (Reply::Waiting, &[0][..]),
        (Reply::Accepted(258), &[1, 1, 2]),
        (Reply::Refused(Refusal::NoSuchHost), &[2, 1]),
        (Reply::Refused(Refusal::ConnectionRefused), &[2, 2]),
        (Reply::Refused(Refusal::WrongHost), &[2, 3]),
        (Reply::Refused(Refusal::WrongNetwork), &[2, 4]),
        (Reply::Refused(Refusal::SourceNotProved), &[2, 5]),
        (Reply::Refused(Refusal::Version(9)), &[2, 6, 9]),
        (Reply::Refused(Refusal::Malformed), &[2, 7]),
        (Reply::Refused(Refusal::Unknown(200)), &[2, 200]),
    ] {
        assert_eq!(*reply.encode(), *golden);
        assert!(golden.len() <= MAX_REPLY);
        assert_eq!(Reply::decode(golden), Ok(Some(reply)));
        for end in 0..golden.len() {
            assert_eq!(
                Reply::decode(&golden[..end]),
                Ok(None),
                "{golden:?} to {end}"
            );
        }
        let longer = [golden, &[0]].concat();
        assert_eq!(Reply::decode(&longer), Err(FrameError::Trailing));
    }
    assert_eq!(Reply::decode(&[1, 0, 0]), Err(FrameError::PortZero));
    assert_eq!(Reply::decode(&[3]), Err(FrameError::Kind(3)));
}

#[test]
fn longest_hello_fits() {
    let name = "x".repeat(MAX_NAME);
    let hello = Hello {
        src: Addr::new(&*name, &*name, u16::MAX).unwrap(),
        dst: Addr::new(&*name, &*name, u16::MAX).unwrap(),
    };
    let frame = hello.encode(b"");
    assert_eq!(frame.len(), HEADER + MAX_BODY);
    assert_eq!(read(&frame), Ok(hello));
}

#[test]
fn every_truncation_is_refused() {
    let frame = hello().encode(b"");
    for end in 0..frame.len() {
        assert_eq!(read(&frame[..end]), Err(FrameError::Truncated), "to {end}");
        // A truncated body with a matching length.
        if let Some(length) = end.checked_sub(HEADER) {
            let mut cut = frame[..end].to_vec();
            cut[1..HEADER].copy_from_slice(&(length as u16).to_be_bytes());
            assert_eq!(read(&cut), Err(FrameError::Truncated), "to {end}");
        }
    }
}

#[test]
fn over_length_is_refused_before_the_body() {
    for length in [MAX_BODY as u16 + 1, u16::MAX] {
        assert_eq!(
            Hello::body_length(length.to_be_bytes()),
            Err(FrameError::TooLong(length.into()))
        );
    }
    assert_eq!(
        Hello::body_length((MAX_BODY as u16).to_be_bytes()),
        Ok(MAX_BODY)
    );
    let mut longer = hello().encode(b"");
    longer.push(0);
    longer[2] += 1;
    assert_eq!(read(&longer), Err(FrameError::Trailing));
}

#[test]
fn every_flipped_bit_is_refused_or_another_hello() {
    let frame = hello().encode(b"");
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = read(&flipped) {
            // It decodes to exactly what these bytes encode.
            assert_ne!(read, hello(), "bit {bit}");
            assert_eq!(read.encode(b""), flipped, "bit {bit}");
        }
    }
}

#[test]
fn names_are_checked() {
    let body = |network: &[u8], src: &[u8], port: u8, dst: &[u8]| {
        let mut body = Vec::new();
        for (name, port) in [(network, None), (src, Some(port)), (dst, Some(0))] {
            body.push(name.len() as u8);
            body.extend(name);
            body.extend(port.map(|port| [0, port]).into_iter().flatten());
        }
        Hello::decode(&body, &[])
    };
    assert!(
        body(b"n", b"a", 1, b"b").is_ok(),
        "port 0 is for the listener to refuse"
    );
    assert!(matches!(body(b"", b"a", 1, b"b"), Err(FrameError::Name(_))));
    assert!(matches!(
        body(b"n", b"a\n", 1, b"b"),
        Err(FrameError::Name(_))
    ));
    assert!(matches!(
        body(b"n", b"a", 1, b"]"),
        Err(FrameError::Name(_))
    ));
    assert_eq!(body(b"n", b"\xff", 1, b"b"), Err(FrameError::NotUtf8));
    assert_eq!(body(b"n", b"a", 0, b"b"), Err(FrameError::PortZero));
}

#[test]
fn refusals_name_place_and_host() {
    let dst = Addr::new("net", "β", 1).unwrap();
    let cases = [
        (Refusal::NoSuchHost, Cause::NoSuchHost, "no such host"),
        (
            Refusal::ConnectionRefused,
            Cause::ConnectionRefused,
            "connection refused",
        ),
        (
            Refusal::Unknown(99),
            Cause::ConnectionRefused,
            "connection refused",
        ),
        (
            Refusal::WrongHost,
            Cause::PermissionDenied,
            "10.0.0.2:4433 replied that it is not host \"β\"",
        ),
        (
            Refusal::WrongNetwork,
            Cause::PermissionDenied,
            "10.0.0.2:4433 replied that it is not on network \"net\"",
        ),
        (
            Refusal::SourceNotProved,
            Cause::PermissionDenied,
            "host \"β\" at 10.0.0.2:4433 rejected this host's name: its certificate does not prove it",
        ),
        (
            Refusal::Version(1),
            Cause::Protocol,
            "host \"β\" at 10.0.0.2:4433 speaks protocol version 1, this side speaks version 2",
        ),
        (
            Refusal::Malformed,
            Cause::Protocol,
            "host \"β\" at 10.0.0.2:4433 could not read the first frame",
        ),
    ];
    for (refusal, cause, text) in cases {
        let failure = refusal.failure(&dst, "10.0.0.2:4433");
        assert_eq!((failure.cause(), &*failure.to_string()), (cause, text));
    }
}
