//! The frames of the handshake: the first one, and the replies.
//!
//! Owns what docs/protocol.md says of their bytes. Never reads a stream.

use std::str::from_utf8;

use virtnet_core::MAX_NAME;

use crate::frame::{FrameError, HEADER, Hello, MAX_BODY, MAX_REPLY, Reply, VERSION};
use crate::limits::within;

/// The longest body, in the page's words.
const LONGEST: usize = 772;

/// What a Hello takes: three names, of which one is shared, with their counters;
/// or a refusal, which shows eighty characters of a name.
const HELLO: u64 = 3 * (MAX_NAME as u64 + 1) + 3 * 16 + 16;

/// The input is a first frame, its length aside: the body is what is there.
pub fn hello(input: &[u8]) {
    let Some((header, body)) = input.split_at_checked(HEADER) else {
        return;
    };
    let length = usize::from(header[1]) * 256 + usize::from(header[2]);
    let allowed = within(0, || Hello::body_length([header[1], header[2]]));
    match allowed {
        Ok(allowed) => assert!(allowed == length && length <= LONGEST),
        Err(err) => assert!(err == FrameError::TooLong(length) && length > LONGEST),
    }
    let decoded = within(HELLO, || Hello::decode(body, &[]));
    assert_eq!(decoded.is_ok(), is_body(body), "{decoded:?}");
    let Ok(hello) = decoded else { return };
    assert!(body.len() <= MAX_BODY);
    assert_eq!(hello.src.network(), hello.dst.network());
    assert_ne!(hello.src.port(), 0);
    let written = hello.encode(b"");
    assert_eq!(written[HEADER..], *body);
    assert_eq!(written[0], VERSION);
    assert_eq!(Hello::body_length([written[1], written[2]]), Ok(body.len()));
}

/// Whether the page takes this for the body of a Hello.
fn is_body(mut body: &[u8]) -> bool {
    let mut name = || {
        let (length, rest) = body.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        body = rest;
        Some(name)
    };
    let Some(network) = name() else { return false };
    let Some(src) = name() else { return false };
    let Some((src_port, rest)) = body.split_at_checked(2) else {
        return false;
    };
    let Some((length, rest)) = rest.split_first() else {
        return false;
    };
    let Some((dst, dst_port)) = rest.split_at_checked(usize::from(*length)) else {
        return false;
    };
    [network, src, dst].into_iter().all(is_name) && src_port != [0, 0] && dst_port.len() == 2
}

/// Whether the page takes this for a name.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let none = |c: char| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '[' | ']');
    (1..=255).contains(&name.len()) && from_utf8(name).is_ok_and(|name| !name.contains(none))
}

/// The input is what a dialer reads, which adds byte after byte until there is a
/// reply, or can be none any more. What is longer is none either.
pub fn reply(input: &[u8]) {
    let mut replied = false;
    for end in 0..=input.len().min(MAX_REPLY + 1) {
        let bytes = &input[..end];
        let decoded = within(0, || Reply::decode(bytes));
        assert_eq!(decoded.is_ok(), is_begun(bytes), "{bytes:?}");
        match decoded {
            Ok(Some(reply)) => assert_eq!(*reply.encode(), *bytes),
            Ok(None) => assert!(end < MAX_REPLY),
            Err(FrameError::Trailing) => return assert!(replied),
            Err(err) => {
                let known = err == FrameError::PortZero || matches!(err, FrameError::Kind(_));
                return assert!(known && !replied, "{err}");
            }
        }
        assert!(!replied, "{bytes:?} goes on after a reply");
        replied = matches!(decoded, Ok(Some(_)));
    }
}

/// Whether the page has a reply that begins so.
fn is_begun(bytes: &[u8]) -> bool {
    match bytes.first() {
        None => true,
        Some(0) => bytes.len() == 1,
        Some(1) => bytes.len() <= 3 && bytes != [1, 0, 0],
        Some(2) if bytes.get(1) == Some(&6) => bytes.len() <= 3,
        Some(2) => bytes.len() <= 2,
        Some(_) => false,
    }
}
