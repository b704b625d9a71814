//! The handshake with a peer that violates the protocol.
//!
//! Owns no production code.

use super::*;

#[tokio::test(start_paused = true)]
async fn silence_is_bounded() {
    // No first frame, and incomplete ones.
    let frame = hello().encode(b"");
    for sent in [&frame[..0], &frame[..1], &frame[..frame.len() - 1]] {
        let (mut here, mut there) = pipe(1024);
        here.1.write_all(sent).await.unwrap();
        let start = Instant::now();
        let met = accept_after(&mut there, Duration::ZERO, Dropped::default()).await;
        assert!(matches!(met, AcceptOutcome::NoFirstFrame), "{met:?}");
        assert_eq!(start.elapsed(), BOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_with_a_reply() {
    let mut long = hello().encode(b"");
    long[1..3].copy_from_slice(&u16::MAX.to_be_bytes());
    let mut bad_name = hello().encode(b"");
    bad_name[4] = b'\n';
    for (sent, reply, err) in [
        (&[0xff][..], &[2, 6, VERSION][..], FrameError::Version(0xff)),
        (
            b"GET / HTTP/1.1\r\n",
            &[2, 6, VERSION],
            FrameError::Version(b'G'),
        ),
        (&long, &[2, 7], FrameError::TooLong(u16::MAX.into())),
        (&[VERSION, 0, 0], &[2, 7], FrameError::Truncated),
        (&[VERSION, 0, 2, 1, 0xff], &[2, 7], FrameError::NotUtf8),
    ] {
        let (mut here, mut there) = pipe(2048);
        here.1.write_all(sent).await.unwrap();
        let met = accept_after(&mut there, Duration::ZERO, Dropped::default()).await;
        assert!(
            matches!(&met, AcceptOutcome::Malformed(e, true) if *e == err),
            "{met:?}"
        );
        let mut received = vec![0; reply.len()];
        here.0.read_exact(&mut received).await.unwrap();
        assert_eq!(received, reply);
    }
    let (mut here, mut there) = pipe(2048);
    here.1.write_all(&bad_name).await.unwrap();
    let met = accept_after(&mut there, Duration::ZERO, Dropped::default()).await;
    assert!(
        matches!(met, AcceptOutcome::Malformed(FrameError::Name(_), true)),
        "{met:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_none_fail_the_dial() {
    for (sent, err) in [
        (&[9][..], FrameError::Kind(9)),
        (&[1, 0, 0], FrameError::PortZero),
        (&[0, 0], FrameError::WaitingTwice),
    ] {
        let (mut here, mut there) = pipe(1024);
        there.1.write_all(sent).await.unwrap();
        let dialed = dial_in(&mut here, BOUND).await;
        assert!(
            matches!(&dialed, Err(HandshakeError::Frame(e)) if *e == err),
            "{dialed:?}"
        );
    }
    for sent in [&[][..], &[1], &[1, 1], &[2]] {
        let (mut here, mut there) = pipe(1024);
        there.1.write_all(sent).await.unwrap();
        drop(there);
        let dialed = dial_in(&mut here, BOUND).await;
        assert!(matches!(dialed, Err(HandshakeError::Io(_))), "{dialed:?}");
    }
}
