//! Scripts: how a batch is appended to the live trace on the server, in one step.
//!
//! Owns the command that does it. Never talks to Redis, and does not know what a batch says.
//!
//! The trace is a stream. The first part of an entry's id is the time of the server in microseconds at which the first
//! batch was appended, and the second is the number of the batch. So numbers are consecutive, and a trace that begins
//! anew after its key was lost has other ids, which are larger.

use std::time::Duration;

use redis::Cmd;
use virtnet_core::{MAX_TRACE_BATCHES, MAX_TRACE_SIZE};

use crate::schema::keys::Keys;

/// The field of an entry with the batch. It is the first; then comes `bytes`, the bytes of all batches up to this one.
pub(super) const TEXT: &str = "text";

/// For how long a trace is kept after its last batch.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Appends a batch, drops the oldest ones that are too many, and returns its id.
///
/// The arguments are the batch, how many batches and bytes are kept, and for how many milliseconds. The number of batches may be exceeded by as
/// many as Redis keeps in a node of the stream.
///
/// Its first write is the batch: so a server that is out of memory refuses it.
const APPEND: &str = "\
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local stream, number, bytes
if last then
  stream, number = string.match(last[1], '^(%d+)-(%d+)$')
  number, bytes = number + 1, tonumber(last[2][4])
else
  local time = redis.call('TIME')
  stream, number, bytes = string.format('%.0f', time[1] * 1000000 + time[2]), 1, 0
end
bytes = bytes + #ARGV[1]
local id = stream .. '-' .. string.format('%.0f', number)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id, 'text', ARGV[1], 'bytes', string.format('%.0f', bytes))
while true do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if bytes - first[2][4] + #first[2][2] <= tonumber(ARGV[3]) then break end
  redis.call('XDEL', KEYS[1], first[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return id";

/// The command that appends a batch.
pub(super) fn append(keys: &Keys, batch: &str) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(APPEND).arg(1).arg(keys.trace()).arg(batch);
    cmd.arg(MAX_TRACE_BATCHES).arg(MAX_TRACE_SIZE);
    // Far from the largest number.
    cmd.arg(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX));
    cmd
}
