//! reqwest: by way of a Unix socket, as it takes no connections that it has not made.
//!
//! Owns the way round. Never goes over TCP: nothing but this machine can come in.

use std::future::IntoFuture;
use std::path::Path;

use adapters::notes::{Slow, app};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use virtnet::{Addr, Host};

use crate::{Two, within};

// Glue begins.
/// Takes what connects to the socket at `path` to the virtual address `to`.
fn forward(path: &Path, host: Host, to: &'static str) -> JoinHandle<()> {
    let socket = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut local, _)) = socket.accept().await {
            let host = host.clone();
            tokio::spawn(async move {
                let mut conn = host.dial(to).await?;
                tokio::io::copy_bidirectional(&mut local, &mut conn).await
            });
        }
    })
}
// Glue ends.

#[tokio::test(flavor = "multi_thread")]
async fn by_way_of_a_unix_socket() {
    let net = Two::join().await;
    let listener = net.alpha.listen(":80").unwrap();
    let app = app::<Addr>(Slow::default()).into_make_service_with_connect_info::<Addr>();
    let serving = tokio::spawn(axum::serve(listener, app).into_future());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alpha");
    // Glue begins.
    let forwarding = forward(&path, net.beta.clone(), "α:80");
    let client = reqwest::Client::builder().unix_socket(path);
    // Glue ends.
    let client = client.build().unwrap();
    for (path, answer) in [("who", "β:1"), ("host", "alpha")] {
        let asked = client.get(format!("http://alpha/{path}")).send();
        let answered = within(asked).await.unwrap().error_for_status().unwrap();
        assert_eq!(within(answered.text()).await.unwrap(), answer);
    }
    // A virtual name that has to be encoded is none to it.
    let err = client.get("http://[%CE%B1]/who").build().unwrap_err();
    assert!(err.is_builder());
    forwarding.abort();
    serving.abort();
    net.close().await;
}
