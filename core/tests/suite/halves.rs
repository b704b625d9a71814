//! Tests of the halves of a connection: the effect of their drops on the port and the
//! peer. Never uses a network: the engine is in memory, and wakes inline.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::{Host, ReuniteError};

/// When the peer sees the end, the port is already free, also if the halves are dropped
/// one after the other.
#[tokio::test]
async fn ports_are_free_before_the_peer_knows() {
    struct Look(Host, Mutex<Vec<usize>>);
    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            let open = self.0.sockets().len();
            self.1.lock().unwrap().push(open);
        }
    }
    let network = PipeNetwork::new("pipet").unwrap();
    let subnet = network.subnetwork();
    let (alpha, beta) = (
        subnet.new_host("α").await.unwrap(),
        subnet.new_host("β").await.unwrap(),
    );
    let listener = alpha.listen("").unwrap();
    let (dialed, accepted) = tokio::join!(beta.dial("α:1"), listener.accept());
    drop(listener);
    let (mut dialed, (reader, writer)) = (dialed.unwrap(), accepted.unwrap().0.into_split());

    let look = Arc::new(Look(alpha, Mutex::default()));
    let waker = Waker::from(Arc::clone(&look));
    let mut buf = [0];
    let read = Pin::new(&mut dialed).poll_read(
        &mut Context::from_waker(&waker),
        &mut ReadBuf::new(&mut buf),
    );
    assert!(read.is_pending());
    drop(reader);
    drop(writer);
    assert_eq!(*look.1.lock().unwrap(), [0]);
}

/// Reunited halves are the original connection: dropping no half has ended it.
#[tokio::test]
async fn reunited_halves_are_one_connection() {
    let network = PipeNetwork::new("pipet").unwrap();
    let subnet = network.subnetwork();
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen("").unwrap();
    let (dialed, accepted) = tokio::join!(alpha.dial("α:1"), listener.accept());
    let (reader, writer) = dialed.unwrap().into_split();
    let (mut accepted, _) = accepted.unwrap();
    let (other_reader, other_writer) = accepted.into_split();

    let err = reader.reunite(other_writer).unwrap_err();
    assert_eq!(
        err.to_string(),
        "expected halves of one connection, got Conn(pipet α:2-α:3) and Conn(pipet α:3-α:2)"
    );
    let ReuniteError(reader, other_writer) = err;
    let mut dialed = writer.reunite(reader).unwrap();
    accepted = other_reader.reunite(other_writer).unwrap();
    dialed.write_all(b"both ways").await.unwrap();
    let mut heard = [0; 9];
    accepted.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"both ways");

    // Once more, and then dropped: all is closed, and the ports are free.
    let (reader, writer) = dialed.into_split();
    drop(reader.reunite(writer).unwrap());
    assert_eq!(accepted.read(&mut heard).await.unwrap(), 0);
    drop((accepted, listener));
    assert_eq!(alpha.sockets(), []);
}
