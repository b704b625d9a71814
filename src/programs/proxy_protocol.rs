//! The header of the PROXY protocol, version 2, by which a program learns who has connected.
//!
//! Owns its bytes. Never decides who is told.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. Virtual addresses are neither
//! IPv4 nor IPv6, so they are written as those of Unix sockets, which are text. A program that does
//! not know that family must use the real connection's addresses instead. The peer's name was
//! proved by its certificate, and is where the protocol has such names: in the type "SSL".

use virtnet_core::Addr;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, the command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;

/// Stream sockets of the family of Unix sockets.
const UNIX_STREAM: u8 = 0x31;

/// The length of an address of that family.
const UNIX_PATH: usize = 108;

/// The name of the host that was dialed.
const AUTHORITY: u8 = 0x02;
/// What the certificate said.
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
/// Its name.
const SSL_COMMON_NAME: u8 = 0x22;
/// The peer's whole address, also where it is too long for the family. One of those numbers that are
/// free to use.
const PEER: u8 = 0xE0;

/// Over TLS, with a certificate on this connection.
const CLIENT: u8 = 0x01 | 0x02;

/// The header of a connection from `peer` to `local`.
pub(super) fn header(peer: &Addr, local: &Addr) -> Vec<u8> {
    let mut ssl = vec![CLIENT];
    // The certificate was verified.
    ssl.extend(0_u32.to_be_bytes());
    ssl.extend(value(SSL_VERSION, b"TLSv1.3"));
    ssl.extend(value(SSL_COMMON_NAME, peer.host().as_bytes()));

    let (peer_text, local_text) = (peer.to_string(), local.to_string());
    let mut rest = Vec::new();
    rest.extend(unix_path(&peer_text));
    rest.extend(unix_path(&local_text));
    rest.extend(value(AUTHORITY, local.host().as_bytes()));
    rest.extend(value(SSL, &ssl));
    rest.extend(value(PEER, peer_text.as_bytes()));

    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_AND_COMMAND, UNIX_STREAM]);
    header.extend(length(rest.len()));
    header.extend(rest);
    header
}

/// Names are bounded, so that everything together is shorter than this.
fn length(length: usize) -> [u8; 2] {
    u16::try_from(length)
        .expect("names are short")
        .to_be_bytes()
}

fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(length(value.len()));
    bytes.extend(value);
    bytes
}

/// An address that is too long is left out rather than cut, as it would be another one.
fn unix_path(text: &str) -> [u8; UNIX_PATH] {
    let mut path = [0; UNIX_PATH];
    if text.len() < UNIX_PATH {
        path[..text.len()].copy_from_slice(text.as_bytes());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_specified_bytes() {
        let peer = Addr::new("net", "α", 1).unwrap();
        let local = Addr::new("net", "β", 2).unwrap();
        let header = header(&peer, &local);
        assert_eq!(
            header[..12],
            *b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A"
        );
        assert_eq!(header[12..14], [0x21, 0x31]);
        let rest = &header[16..];
        assert_eq!(
            header[14..16],
            u16::try_from(rest.len()).unwrap().to_be_bytes()
        );
        let (source, rest) = rest.split_at(108);
        let (destination, rest) = rest.split_at(108);
        assert_eq!(
            (&source[..5], &destination[..5]),
            ("α:1\0".as_bytes(), "β:2\0".as_bytes())
        );
        let mut expected = b"\x02\0\x02".to_vec();
        expected.extend("β".as_bytes());
        expected.extend(b"\x20\0\x14\x03\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x02");
        expected.extend("α".as_bytes());
        expected.extend(b"\xE0\0\x04");
        expected.extend("α:1".as_bytes());
        assert_eq!(rest, expected);
    }

    #[test]
    fn a_long_name_is_left_out_of_the_addresses_and_whole_elsewhere() {
        let name = "x".repeat(virtnet_core::MAX_NAME);
        let peer = Addr::new("net", &*name, 65535).unwrap();
        let header = header(&peer, &peer);
        assert_eq!(header[16..16 + 216], [0; 216]);
        assert!(header.ends_with(peer.to_string().as_bytes()));
    }
}
