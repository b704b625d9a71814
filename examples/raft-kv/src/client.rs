//! The client: putting and getting, whoever leads.
//!
//! Owns the search for the leader, and repeating within a stated bound. Never
//! calls something done that no leader has acknowledged.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use virtnet::Host;

use crate::links::{CallError, Links};
use crate::peers::{Peers, address};
use crate::protocol::{Request, Response, Status};

/// How long one node has to answer: longer than a node takes to say that there
/// is no majority, and than virtnet takes to say that nobody is there.
const ATTEMPT: Duration = Duration::from_secs(4);

/// For how long a put or a get is repeated, unless
/// [`within`](Client::within) says otherwise.
pub const WITHIN: Duration = Duration::from_secs(15);

/// The pause after all nodes were asked in vain: an election takes a while.
const PAUSE: Duration = Duration::from_millis(200);

/// A client of the cluster, on a host of its own.
pub struct Client {
    links: Links,
    peers: Peers,
    within: Duration,
    /// The place among the peers of who is asked first: who led when last seen.
    favourite: usize,
    retrying: Box<dyn Fn(&str) + Send + Sync>,
}

/// Why a put or a get was given up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It can never be done.
    #[error("{node} refuses: {why}")]
    Refused { node: String, why: String },
    /// Nobody has done it in time. A put may still be done later.
    #[error("given up after {within:?}: {last}")]
    GivenUp { within: Duration, last: String },
    /// One node, asked for itself, gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// One node, asked for itself, gave no proper answer.
    #[error("{node}: {why}")]
    Wrong { node: String, why: String },
}

impl Client {
    /// A client on `host`, of the cluster of these peers.
    pub fn new(host: Host, peers: Peers) -> Client {
        Client {
            links: Links::new(host),
            peers,
            within: WITHIN,
            favourite: 0,
            retrying: Box::new(|_| {}),
        }
    }

    /// Repeats a put or a get for so long.
    pub fn within(mut self, within: Duration) -> Client {
        self.within = within;
        self
    }

    /// Has people told of every attempt that failed and is repeated.
    pub fn on_retry(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Client {
        self.retrying = Box::new(tell);
        self
    }

    /// The nodes' names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.peers.names().to_vec()
    }

    /// Puts a value under a key, and returns who has acknowledged it.
    ///
    /// An attempt without an answer is repeated, though it may have been applied:
    /// putting the same twice is as putting it once, as long as nobody else puts
    /// something else under that key meanwhile.
    pub async fn put(&mut self, key: &str, value: &str) -> Result<String, ClientError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let request = Request::Put { key, value };
        let (node, ()) = self
            .ask_leader(&request, |got| matches!(got, Response::Done).then_some(()))
            .await?;
        Ok(node)
    }

    /// The value under a key: the newest that was acknowledged before the call.
    pub async fn get(&mut self, key: &str) -> Result<Option<String>, ClientError> {
        let key = key.to_owned();
        let expected = |got: &Response| match got {
            Response::Value(value) => Some(value.clone()),
            _ => None,
        };
        let (_, value) = self.ask_leader(&Request::Get { key }, expected).await?;
        Ok(value)
    }

    /// The value under a key that `node` has applied, however old it is.
    pub async fn local_get(&self, node: &str, key: &str) -> Result<Option<String>, ClientError> {
        let key = key.to_owned();
        match self.ask(node, &Request::LocalGet { key }).await? {
            Response::Value(value) => Ok(value),
            other => Err(wrong(node, &other)),
        }
    }

    /// How `node` sees itself.
    pub async fn status(&self, node: &str) -> Result<Status, ClientError> {
        match self.ask(node, &Request::Status).await? {
            Response::Status(status) => Ok(status),
            other => Err(wrong(node, &other)),
        }
    }

    async fn ask(&self, node: &str, request: &Request) -> Result<Response, CallError> {
        self.links.call(&address(node), request, ATTEMPT).await
    }

    /// Asks one after the other, beginning with who led last and following what
    /// they say of the leader, until one gives the `expected` answer.
    async fn ask_leader<T>(
        &mut self,
        request: &Request,
        expected: impl Fn(&Response) -> Option<T>,
    ) -> Result<(String, T), ClientError> {
        let (within, count) = (self.within, self.peers.names().len());
        let deadline = Instant::now() + within;
        let mut last = String::from("no node has answered");
        for attempt in 1.. {
            let node = self.peers.names()[self.favourite].clone();
            let Ok(got) = timeout_at(deadline, self.ask(&node, request)).await else {
                break;
            };
            let hint = match got {
                Ok(Response::Refused(why)) => return Err(ClientError::Refused { node, why }),
                Ok(got) => match (expected(&got), got) {
                    (Some(answer), _) => return Ok((node, answer)),
                    (None, Response::NotLeader(hint)) => {
                        last = format!("{node} does not lead");
                        hint
                    }
                    (None, Response::Failed(why)) => {
                        last = format!("{node}: {why}");
                        None
                    }
                    (None, other) => return Err(wrong(&node, &other)),
                },
                Err(err) => {
                    last = err.to_string();
                    None
                }
            };
            (self.retrying)(&last);
            let hint = hint.and_then(|name| self.peers.names().iter().position(|n| *n == name));
            // A node that was cut off may name a leader that is none any more.
            let hint = hint.filter(|_| attempt % count != 0);
            self.favourite = hint.unwrap_or((self.favourite + 1) % count);
            if attempt % count == 0 {
                sleep(PAUSE).await;
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(ClientError::GivenUp { within, last })
    }
}

fn wrong(node: &str, got: &Response) -> ClientError {
    ClientError::Wrong {
        node: node.to_owned(),
        why: got.unexpected(),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client(of {:?})", self.peers.names())
    }
}
