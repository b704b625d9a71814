//! axum: `axum::serve` on a virtual listener.
//!
//! Owns what a service sees of who asks, and how serving ends. Never has a client of
//! its own making: it is hyper-util's.

use std::future::IntoFuture;

use adapters::notes::{Slow, app};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use virtnet::adapt::{Connector, authority_addr, uri_authority};
use virtnet::{Addr, Cause, Host};

use crate::{BOUND, Two, goes_on, until_free, within};

pub(crate) type HttpClient = Client<Connector, Empty<Bytes>>;

/// A client on `host`, which dials for every request.
pub(crate) fn client(host: &Host) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(Connector::new(host.clone()))
}

/// Asks, and returns what was answered.
pub(crate) async fn get(client: &HttpClient, uri: &str) -> String {
    let answer = within(client.get(uri.parse().unwrap())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{uri}");
    let body = within(answer.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_sees_who_asks() {
    let net = Two::join().await;
    let listener = net.alpha.listen(":80").unwrap();
    let app = app::<Addr>(Slow::default()).into_make_service_with_connect_info::<Addr>();
    let serving = tokio::spawn(axum::serve(listener, app).into_future());

    let client = client(&net.beta);
    assert_eq!(get(&client, "http://[%CE%B1]/who").await, "β:1");
    // As soon as the client has let go of that connection, its port is free again.
    net.beta.idle(BOUND).await.unwrap();
    assert_eq!(get(&client, "http://[%CE%B1]:80/who").await, "β:1");

    // Nothing is left to serve; only whoever started it can end it.
    let Two { subnets, .. } = net;
    for subnet in subnets {
        within(subnet.close()).await.unwrap();
    }
    assert!(!serving.is_finished());
    serving.abort();
}

/// A URI is ASCII, and so is the header: the service can read the name back.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_sees_what_was_asked_for() {
    let net = Two::join().await;
    let listener = net.alpha.listen(":7").unwrap();
    let uri = format!("http://{}/host", uri_authority(listener.local_addr()));
    assert_eq!(uri, "http://[%CE%B1]:7/host");
    let serving = tokio::spawn(axum::serve(listener, app::<Addr>(Slow::default())).into_future());

    let seen = get(&client(&net.beta), &uri).await;
    assert_eq!(seen, "[%CE%B1]:7");
    let network = net.subnets[0].network();
    assert_eq!(authority_addr(network, &seen).unwrap(), "α:7");
    let seen = get(&client(&net.beta), "http://[%ce%b1]:7/host").await;
    assert_eq!(seen, "[%ce%b1]:7");
    serving.abort();
    net.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_answers_what_was_asked() {
    let net = Two::join().await;
    let listener = net.alpha.listen(":80").unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let slow = Slow::default();
    let serving = axum::serve(listener, app::<Addr>(slow.clone()))
        .with_graceful_shutdown(async { drop(stopped.await) });
    let serving = tokio::spawn(serving.into_future());

    let client = client(&net.beta);
    let asking = tokio::spawn(async move { get(&client, "http://[%CE%B1]/slow").await });
    within(slow.asked.acquire()).await.unwrap().forget();
    drop(stop);
    // The listener is gone before the answer is there.
    until_free(&net.alpha, 80).await;
    let err = within(net.beta.dial("α:80")).await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    assert!(!serving.is_finished());

    slow.answer.add_permits(1);
    assert_eq!(within(asking).await.unwrap(), "at last");
    within(serving).await.unwrap().unwrap();
    net.close().await;
}

/// axum 0.8.9 lets go of who has said nothing, and waits for the rest of a request that
/// has begun, for ever: hyper's bound on its head does not count then.
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_waits_for_the_rest_of_a_request() {
    let net = Two::join().await;
    let listener = net.alpha.listen(":80").unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app::<Addr>(Slow::default()))
        .with_graceful_shutdown(async { drop(stopped.await) });
    let mut serving = tokio::spawn(serving.into_future());

    let mut silent = within(net.beta.dial("α:80")).await.unwrap();
    let mut half = within(net.beta.dial("α:80")).await.unwrap();
    half.write_all(b"GET /host HTTP/1.1\r\nhost: a\r\n")
        .await
        .unwrap();
    // A request later, what came before it has been read.
    get(&client(&net.beta), "http://[%CE%B1]/host").await;
    drop(stop);
    let mut rest = Vec::new();
    within(silent.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    goes_on(&mut serving).await;

    half.write_all(b"\r\n").await.unwrap();
    within(half.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
    within(serving).await.unwrap().unwrap();
    net.close().await;
}
