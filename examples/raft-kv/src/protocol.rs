//! The protocol: what is said on a connection, and how it is framed.
//!
//! Owns [`Request`], [`Response`] and their limits. One request at a time is on a
//! connection, and then its response. Never reads or writes a connection: bytes
//! go to tokio-util's codec and come from it.

use std::fmt;

use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::bytes::Bytes;
use tokio_util::codec::LengthDelimitedCodec;

use crate::peers::NodeId;
use crate::store::Types;

/// The longest frame: what a peer can make us allocate.
pub const MAX_FRAME: usize = 1024 * 1024;
/// The longest key, in bytes.
pub const MAX_KEY: usize = 1024;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 32 * 1024;
/// How many log entries openraft may send at once.
pub const MAX_ENTRIES: usize = 16;
/// How much of a snapshot openraft may send at once.
pub const MAX_CHUNK: usize = MAX_FRAME / 2;

// Whatever openraft sends fits a frame, with room for what goes around it.
const _: () = assert!(MAX_ENTRIES * (MAX_KEY + MAX_VALUE + 128) < MAX_FRAME * 3 / 4);

/// What a node is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// By the leader.
    Append(AppendEntriesRequest<Types>),
    /// By a candidate.
    Vote(VoteRequest<NodeId>),
    /// By the leader, for a node that is too far behind for the log.
    Snapshot(InstallSnapshotRequest<Types>),
    /// Answered when it is committed and applied. A client that asks again after
    /// it got no answer may have it applied twice, which is as once.
    Put { key: String, value: String },
    /// Linearizable: sees every put that was acknowledged before.
    Get { key: String },
    /// What this very node has applied, however old.
    LocalGet { key: String },
    /// How this very node sees itself.
    Status,
}

/// What a node answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    Append(Result<AppendEntriesResponse<NodeId>, RaftError<NodeId>>),
    Vote(Result<VoteResponse<NodeId>, RaftError<NodeId>>),
    Snapshot(Result<InstallSnapshotResponse<NodeId>, RaftError<NodeId, InstallSnapshotError>>),
    /// The put is committed, and applied by the leader.
    Done,
    /// The value under a key.
    Value(Option<String>),
    Status(Status),
    /// Ask the leader, which is the named one as far as this node knows.
    NotLeader(Option<String>),
    /// It could not be done, or it is not known whether it was.
    Failed(String),
    /// It can never be done, so asking again is in vain.
    Refused(String),
}

impl Response {
    /// For an answer that does not belong to the question.
    pub fn unexpected(&self) -> String {
        format!("an answer to another question: {self:?}")
    }
}

/// How a node sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    pub role: Role,
    pub term: u64,
    /// The leader of that term, if one is known.
    pub leader: Option<String>,
    /// The number of the last log entry that it has applied.
    pub applied: Option<u64>,
    /// Of a leader: for how long no majority has answered, in milliseconds.
    pub unheard_ms: Option<u64>,
}

/// What a node is in its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Leader,
    Candidate,
    Follower,
    /// Not yet a member, as every node is before the cluster is initialised.
    Learner,
    Stopped,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Leader => "leader",
            Role::Candidate => "candidate",
            Role::Follower => "follower",
            Role::Learner => "learner",
            Role::Stopped => "stopped",
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leader = self.leader.as_deref().unwrap_or("-");
        let (name, role, term) = (&self.name, self.role, self.term);
        write!(f, "{name} {role:<9} term {term} leader {leader} applied ")?;
        match self.applied {
            Some(index) => write!(f, "{index}"),
            None => f.write_str("-"),
        }
    }
}

/// Frames with their length in front, none longer than [`MAX_FRAME`].
pub fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME)
        .new_codec()
}

/// A message as the content of a frame.
pub fn encode(message: &impl Serialize) -> Result<Bytes, postcard::Error> {
    postcard::to_stdvec(message).map(Bytes::from)
}

/// The message that is the content of a frame, all of it.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, postcard::Error> {
    match postcard::take_from_bytes(frame)? {
        (message, []) => Ok(message),
        _ => Err(postcard::Error::DeserializeBadEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_and_a_part_of_it_does_not() {
        let status = Status {
            name: "α".to_owned(),
            role: Role::Leader,
            term: 3,
            leader: Some("α".to_owned()),
            applied: Some(17),
            unheard_ms: None,
        };
        assert_eq!(status.to_string(), "α leader    term 3 leader α applied 17");
        let frame = encode(&status).unwrap();
        assert_eq!(decode::<Status>(&frame).unwrap(), status);
        for end in 0..frame.len() {
            assert!(decode::<Status>(&frame[..end]).is_err(), "{end} bytes");
        }
        let longer = [&frame[..], b"x"].concat();
        assert!(decode::<Status>(&longer).is_err());
    }
}
