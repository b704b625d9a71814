//! `tokio_util::codec`: messages on a connection.
//!
//! Owns that framing needs nothing. Never parses a frame itself.

use futures_util::SinkExt;
use tokio_stream::StreamExt;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::{Two, within};

#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_their_bounds() {
    let net = Two::join().await;
    let listener = net.alpha.listen(":1").unwrap();
    let both = async { tokio::try_join!(net.beta.dial("α:1"), listener.accept()) };
    let (dialed, (accepted, _)) = within(both).await.unwrap();
    let mut one = Framed::new(dialed, LengthDelimitedCodec::new());
    let mut two = Framed::new(accepted, LengthDelimitedCodec::new());

    // A message that is larger than what a read returns, and one that is nothing.
    let messages = [
        Bytes::from(vec![7; 1 << 20]),
        Bytes::new(),
        Bytes::from("end"),
    ];
    let (sent, received) = (messages.clone(), async {
        let mut received = Vec::new();
        while let Some(message) = two.next().await {
            received.push(message.unwrap().freeze());
        }
        received
    });
    let send = async move {
        for message in sent {
            one.send(message).await.unwrap();
        }
    };
    let ((), received) = within(async { tokio::join!(send, received) }).await;
    assert!(received == messages, "in order, and whole");
    net.close().await;
}
