//! A gRPC service of tonic: one call, and one that streams both ways.
//!
//! Owns what is answered. Never knows what carries the calls.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// The generated types: `chat_server::ChatServer`, `chat_client::ChatClient`.
mod generated {
    include!(concat!(env!("OUT_DIR"), "/adapters.Chat.rs"));
}

pub use generated::{chat_client, chat_server};

/// What is said.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    #[prost(string, tag = "1")]
    pub text: String,
}

impl From<String> for Line {
    fn from(text: String) -> Line {
        Line { text }
    }
}

/// The service.
pub struct Shouter;

fn shout(line: Line) -> Line {
    line.text.to_uppercase().into()
}

#[tonic::async_trait]
impl chat_server::Chat for Shouter {
    async fn shout(&self, request: Request<Line>) -> Result<Response<Line>, Status> {
        Ok(Response::new(shout(request.into_inner())))
    }

    type TalkStream = Pin<Box<dyn Stream<Item = Result<Line, Status>> + Send>>;

    async fn talk(
        &self,
        request: Request<Streaming<Line>>,
    ) -> Result<Response<Self::TalkStream>, Status> {
        let said = request.into_inner();
        Ok(Response::new(Box::pin(said.map(|line| line.map(shout)))))
    }
}
