//! hyper: its server on a connection, hyper-util's client from a host.
//!
//! Owns both versions of HTTP, and that names which differ stay apart. Never serves
//! by way of axum.

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use virtnet::adapt::{Connector, uri_host};
use virtnet::{Addr, Cause, Listener, OpError};

use crate::{Two, within};

/// Serves what is accepted, one connection after the other: the answer is the
/// address that accepted.
fn serve(listener: Listener, version: Version) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((conn, _peer)) = listener.accept().await {
            let answer = conn.local_addr().to_string();
            let service = service_fn(move |_| {
                let answer = Full::<Bytes>::from(answer.clone());
                async move { Ok::<_, Infallible>(Response::new(answer)) }
            });
            let io = TokioIo::new(conn);
            // How a connection ends is the client's doing.
            drop(match version {
                Version::HTTP_2 => {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await
                }
                _ => {
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await
                }
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let net = Two::join().await;
        let serving = serve(net.alpha.listen(":80").unwrap(), version);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build(Connector::new(net.beta.clone()));
        // The second request takes the first one's connection.
        for _ in 0..2 {
            let request = Request::get("http://[%CE%B1]/").version(version);
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let answer = within(client.request(request)).await.unwrap();
            assert_eq!(answer.version(), version);
            let peer: &Addr = answer.extensions().get().unwrap();
            assert_eq!(peer, "α:1");
            let body = within(answer.into_body().collect()).await.unwrap();
            assert_eq!(body.to_bytes(), "α:1");
        }
        net.close().await;
        within(serving).await.unwrap();
    }
}

/// A pool of connections takes hosts for the same that differ in case only.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_in_case_only_stay_apart() {
    let net = Two::join().await;
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(Connector::new(net.beta.clone()));
    let mut serving = Vec::new();
    for name in ["a", "A", "ä", "Ä"] {
        let host = net.subnets[0].new_host(name).await.unwrap();
        serving.push(serve(host.listen(":80").unwrap(), Version::HTTP_11));
        let uri = format!("http://{}/", uri_host(name));
        let answer = within(client.get(uri.parse().unwrap())).await.unwrap();
        let answer = within(answer.into_body().collect()).await.unwrap();
        assert_eq!(answer.to_bytes(), format!("{name}:1"));
    }
    net.close().await;
    for serving in serving {
        within(serving).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_there_is_no_connection_is_among_the_sources() {
    let net = Two::join().await;
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(Connector::new(net.beta.clone()));
    let err = within(client.get("http://[%CE%B1]:9/".parse().unwrap()))
        .await
        .unwrap_err();
    assert!(err.is_connect());
    let why: &OpError = sources(&err).find_map(|err| err.downcast_ref()).unwrap();
    assert_eq!(why.cause(), Cause::ConnectionRefused);
    assert_eq!(
        why.to_string(),
        format!(
            "dial {} β:1->α:9: connection refused",
            net.subnets[0].network()
        )
    );
    net.close().await;
}

/// An error, and all that led to it.
pub(crate) fn sources<'a>(
    err: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(err), |err| err.source())
}
