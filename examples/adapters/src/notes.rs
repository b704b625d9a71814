//! A service of axum: what it was asked, who asked, and one answer that takes a while.
//!
//! Owns the routes. Never knows what carries the requests.

use std::fmt::Display;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::routing::get;
use tokio::sync::Semaphore;

/// The answer of `/slow`, which waits for a permit of each: one says that it was
/// asked, the other lets it answer.
#[derive(Clone)]
pub struct Slow {
    pub asked: Arc<Semaphore>,
    pub answer: Arc<Semaphore>,
}

impl Default for Slow {
    fn default() -> Slow {
        let [asked, answer] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
        Slow { asked, answer }
    }
}

/// The service; `A` is what an address is where it runs.
pub fn app<A>(slow: Slow) -> Router
where
    A: Clone + Display + Send + Sync + 'static,
{
    Router::new()
        .route("/who", get(who::<A>))
        .route("/host", get(host))
        .route("/slow", get(wait))
        .with_state(slow)
}

async fn who<A: Display>(ConnectInfo(peer): ConnectInfo<A>) -> String {
    peer.to_string()
}

async fn host(headers: HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.unwrap_or("none").to_owned()
}

async fn wait(State(slow): State<Slow>) -> &'static str {
    slow.asked.add_permits(1);
    let _answer = slow.answer.acquire().await;
    "at last"
}
