//! The handshakes, over streams in memory: sliced, cut off, too long, wrong.
//!
//! Owns both protocols' bytes. Never opens a socket.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use virtnet_core::Cause;

use super::*;

fn knows(user: &str) -> bool {
    user == "β"
}

/// What comes of these bytes, after which the program ends; and what it was sent.
async fn shaken(bytes: &[u8]) -> (Result<(Protocol, Asked), Problem>, Vec<u8>) {
    // Reading and writing happen in the smallest slices.
    let (mut program, mut proxy) = duplex(1);
    let (mut reader, mut writer) = tokio::io::split(&mut program);
    let mut sent = Vec::new();
    let saying = async {
        // It may have ended before all was read.
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
    };
    let shaking = async {
        let shaken = handshake(&mut proxy, knows).await;
        drop(proxy);
        shaken
    };
    let (shaken, _, _) = tokio::join!(shaking, saying, reader.read_to_end(&mut sent));
    (shaken, sent)
}

fn asked(user: Option<&str>, host: &str, port: u16) -> Asked {
    Asked {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        rest: Vec::new(),
    }
}

#[tokio::test]
async fn socks_requests_are_read() {
    let (shaken, sent) = shaken(b"\x05\x01\x00\x05\x01\x00\x03\x01a\x00\x50").await;
    assert_eq!(shaken.unwrap(), (Protocol::Socks, asked(None, "a", 80)));
    assert_eq!(sent, b"\x05\x00");

    // With a user name and, as curl sends it, an empty password.
    let hello = "\x05\x02\x00\x02\x01\x02β\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01".as_bytes();
    let (ok, sent) = self::shaken(hello).await;
    assert_eq!(ok.unwrap().1, asked(Some("β"), "127.0.0.1", 1));
    assert_eq!(sent, b"\x05\x02\x01\x00");
    // An empty one is none.
    let (ok, _) = self::shaken(b"\x05\x01\x02\x01\x00\x00\x05\x01\x00\x03\x01a\x00\x50").await;
    assert_eq!(ok.unwrap().1, asked(None, "a", 80));
    // Every truncation is an error, and no panic.
    for length in 0..hello.len() {
        assert!(self::shaken(&hello[..length]).await.0.is_err(), "{length}");
    }
}

#[tokio::test]
async fn wrong_socks_requests_are_told() {
    for (bytes, reply, why) in [
        (&b"\x05\x01\x01"[..], &b"\x05\xFF"[..], "neither"),
        (
            b"\x05\x01\x02\x01\x01x\x00",
            b"\x05\x02",
            "this process has no host \"x\"",
        ),
        (
            b"\x05\x01\x00\x05\x02\x00\x03\x01a\x00\x50",
            b"\x05\x00",
            "got 2",
        ),
        (b"\x05\x01\x00\x05\x01\x00\x05", b"\x05\x00", "got 5"),
        (b"\x05\x01\x00\x04\x01\x00\x05", b"\x05\x00", "got 4"),
        (
            b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
            b"",
            "SOCKS version 4",
        ),
    ] {
        let (shaken, sent) = shaken(bytes).await;
        let problem = shaken.unwrap_err();
        assert!(problem.why.contains(why), "{problem:?}");
        assert_eq!(sent, reply, "{problem:?}");
    }
    let (bind, _) = shaken(b"\x05\x01\x00\x05\x02\x00\x03\x01a\x00\x50").await;
    assert_eq!(bind.unwrap_err().reply, b"\x05\x07\x00\x01\0\0\0\0\0\0");
    let (unknown, _) = shaken(b"\x05\x01\x02\x01\x01x\x00").await;
    assert_eq!(unknown.unwrap_err().reply, b"\x01\x01");
}

#[tokio::test]
async fn connect_requests_are_read() {
    let request = "CONNECT [%CE%B2]:80 HTTP/1.1\r\nHost: x\r\n\r\n";
    let (ok, sent) = shaken(request.as_bytes()).await;
    assert_eq!(ok.unwrap(), (Protocol::Http, asked(None, "[%CE%B2]", 80)));
    assert!(sent.is_empty());
    for length in 0..request.len() {
        assert!(shaken(&request.as_bytes()[..length]).await.0.is_err());
    }
    // "β:" in base64.
    let user = "CONNECT β:1 HTTP/1.0\nproxy-authorization: basic zrI6\n\n";
    assert_eq!(
        shaken(user.as_bytes()).await.0.unwrap().1,
        asked(Some("β"), "β", 1)
    );
}

/// A program need not wait for the answer.
#[tokio::test]
async fn what_comes_with_a_connect_request_is_kept() {
    let (mut program, mut proxy) = duplex(1024);
    program
        .write_all(b"CONNECT a:1 HTTP/1.1\r\n\r\nearly\r\n\r\n")
        .await
        .unwrap();
    let (_, asked) = handshake(&mut proxy, knows).await.unwrap();
    assert_eq!(asked.rest, b"early\r\n\r\n");
}

#[tokio::test]
async fn wrong_connect_requests_are_told() {
    let long = format!("CONNECT a:1 HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("GET http://a:1/ HTTP/1.1\r\n\r\n", 405),
        ("CONNECT a HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:65536 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:1\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/2\r\n\r\n", 400),
        (
            "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Bearer x\r\n\r\n",
            400,
        ),
        // "x:y"
        (
            "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
            407,
        ),
        (&long, 431),
    ] {
        let problem = shaken(request.as_bytes()).await.0.unwrap_err();
        let reply = String::from_utf8(problem.reply).unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert!(
            reply.ends_with(&format!("\r\n\r\n{}\n", problem.why)),
            "{reply}"
        );
    }
}

#[test]
fn causes_have_codes() {
    for (cause, code, status) in [
        (Cause::ConnectionRefused, 5, 502),
        (Cause::NoSuchHost, 4, 502),
        (Cause::TimedOut, 6, 504),
        (Cause::RegistryDown, 3, 503),
        (Cause::InvalidAddr, 1, 400),
    ] {
        assert_eq!(codes(cause), (code, status), "{cause}");
        assert_eq!(Protocol::Socks.refused(cause, "")[1], code);
        let reply = String::from_utf8(Protocol::Http.refused(cause, "it is")).unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert!(reply.ends_with("\r\nContent-Length: 6\r\nConnection: close\r\n\r\nit is\n"));
    }
}
