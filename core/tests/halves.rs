//! Halves of a connection: what their drops mean to the port and to the peer.
//! Never needs a network: the engine is in memory, and its wakes come inline.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use virtnet_core::Host;
use virtnet_core::pipe::PipeNetwork;

/// Whoever is told of the end finds the port free: also of halves that are
/// dropped one after the other.
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
