//! The first program of README.md, word for word.
//!
//! Owns nothing else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn beta_sends_and_alpha_receives() -> Result<(), Box<dyn std::error::Error>> {
    let net = virtnet::testing::open().await?; // a network of this test's own
    let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
    let listener = alpha.listen("α:1")?;

    // If one fails, the other is not waited for.
    let (mut dialed, (mut conn, peer)) = tokio::try_join!(beta.dial("α:1"), listener.accept())?;
    assert_eq!(peer, "β:1"); // on every run
    assert_eq!(dialed.peer_addr(), "α:2"); // an accepted end has a port of its own

    dialed.write_all(b"hello").await?;
    drop(dialed);
    let mut text = String::new();
    conn.read_to_string(&mut text).await?;
    assert_eq!(text, "hello");
    net.close().await?;
    Ok(())
}
