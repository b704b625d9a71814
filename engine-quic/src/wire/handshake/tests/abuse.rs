//! The handshake with a peer that violates the protocol.
//!
//! Owns no production code.

use super::*;

#[tokio::test(start_paused = true)]
async fn silence_is_bounded() {
    // No first frame, an incomplete one, and no confirmation.
    let frame = hello().encode();
    for sent in [&frame[..0], &frame[..1], &frame[..frame.len() - 1], &frame] {
        let (mut here, there) = pipe(1024);
        here.1.write_all(sent).await.unwrap();
        let start = Instant::now();
        let watch = Watch::default();
        let met = accept_after(there, Duration::ZERO, watch.clone()).await;
        if sent.len() < frame.len() {
            assert!(matches!(met, AcceptOutcome::NoFirstFrame), "{met:?}");
        } else {
            assert!(matches!(met, AcceptOutcome::NotConfirmed), "{met:?}");
            assert!(watch.dropped.load(Relaxed));
        }
        assert_eq!(start.elapsed(), BOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_with_a_reply() {
    let mut long = hello().encode();
    long[1..3].copy_from_slice(&u16::MAX.to_be_bytes());
    let mut bad_name = hello().encode();
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
        let (mut here, there) = pipe(2048);
        here.1.write_all(sent).await.unwrap();
        let met = accept_after(there, Duration::ZERO, Watch::default()).await;
        assert!(
            matches!(&met, AcceptOutcome::Malformed(e, true) if *e == err),
            "{met:?}"
        );
        let mut received = vec![0; reply.len()];
        here.0.read_exact(&mut received).await.unwrap();
        assert_eq!(received, reply);
    }
    let (mut here, there) = pipe(2048);
    here.1.write_all(&bad_name).await.unwrap();
    let met = accept_after(there, Duration::ZERO, Watch::default()).await;
    assert!(
        matches!(met, AcceptOutcome::Malformed(FrameError::Name(_), true)),
        "{met:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn frames_out_of_turn_are_a_violation() {
    // Before the reply.
    let (mut here, there) = pipe(1024);
    here.1.write_all(&hello().encode()).await.unwrap();
    here.1.write_all(&[CONFIRM]).await.unwrap();
    let met = accept_after(there, BOUND, Watch::default()).await;
    assert!(matches!(met, AcceptOutcome::Violation), "{met:?}");
    // Another byte than a Confirm after it.
    let (mut here, there) = pipe(1024);
    let watch = Watch::default();
    let accepting = accept_after(there, Duration::ZERO, watch.clone());
    let dialing = async {
        here.1.write_all(&hello().encode()).await.unwrap();
        here.0.read_exact(&mut [0; 3]).await.unwrap();
        here.1.write_all(&[CONFIRM + 1]).await.unwrap();
    };
    let (met, ()) = tokio::join!(accepting, dialing);
    assert!(matches!(met, AcceptOutcome::Violation), "{met:?}");
    assert!(watch.dropped.load(Relaxed));
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
