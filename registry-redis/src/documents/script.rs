//! Scripts: how documents are written and removed on the server, in one step each.
//!
//! Owns the commands that do it. Never talks to Redis, and does not know why a document is
//! written.
//!
//! The keys of each script are the document, its topic's index, and its topic's change number: all
//! in one slot. The index is a sorted set of the keys of the topic's documents, by the time at which
//! they expire. The number is that time of the server at which the topic was last changed, in
//! microseconds, or one more than the number before. So it does not repeat, even if the server lost
//! it in between. Index and number expire with the last of the topic's documents, and are
//! deleted with it: a topic without documents leaves nothing.

use std::time::Duration;

use redis::Cmd;
use virtnet_core::document_topic;

use crate::schema::keys::Keys;

/// Writes or removes a document. The reply is 1 if that changed something, else 0.
///
/// The arguments are what to do, the key of the document, and for a write its lifetime in
/// milliseconds, or 0, and its text, and the text that it must have now. What to do is to `put`
/// it; to `add` it, if it does not exist; to `replace` it, if it has that text; to `remove` it.
///
/// It begins with a write, as the scripts for names do: a node that was demoted refuses it, and a
/// server that is out of memory allows the others after it. All that it reads is read
/// before anything is changed, so it fails as a whole if a key holds something else.
///
/// A document without expiry keeps index and number from expiring. An index that had an expiry
/// gets one in a hundred years.
const WRITE: &str = "\
local how, member = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], 0, now)
local last = tonumber(redis.call('GET', KEYS[3]) or 0) or 0
local held = redis.call('GET', KEYS[1])
if how == 'add' and held or how == 'replace' and held ~= ARGV[5] then return 0 end
if how == 'remove' then
  if redis.call('DEL', KEYS[1]) + redis.call('ZREM', KEYS[2], member) == 0 then return 0 end
else
  local lifetime, left = tonumber(ARGV[3]), redis.call('PTTL', KEYS[2])
  if lifetime > 0 then
    redis.call('SET', KEYS[1], ARGV[4], 'PX', lifetime)
    redis.call('ZADD', KEYS[2], now + lifetime, member)
    if left ~= -1 and left < lifetime then redis.call('PEXPIRE', KEYS[2], lifetime) end
  else
    redis.call('SET', KEYS[1], ARGV[4])
    redis.call('ZADD', KEYS[2], '+inf', member)
    if left >= 0 then redis.call('PEXPIRE', KEYS[2], 3155760000000) end
  end
end
local left = redis.call('PTTL', KEYS[2])
local number = string.format('%.0f', math.max(micros, last + 1))
if left == -2 then
  redis.call('DEL', KEYS[3])
elseif left == -1 then
  redis.call('SET', KEYS[3], number)
else
  redis.call('SET', KEYS[3], number, 'PX', math.max(left, 1))
end
return 1";

/// The longest lifetime that the server counts; what is longer never expires.
const LONGEST: Duration = Duration::from_secs(3_155_760_000);

/// What a document must be to be written.
#[derive(Clone, Copy)]
pub(super) enum Present<'a> {
    /// Anything, or nothing.
    Any,
    Nothing,
    Text(&'a str),
}

/// The command that writes a document.
pub(super) fn write(
    keys: &Keys,
    key: &str,
    text: &str,
    lifetime: Option<Duration>,
    present: Present<'_>,
) -> Cmd {
    let lifetime = lifetime.filter(|lifetime| *lifetime < LONGEST);
    let millis = lifetime.map_or(0, |lifetime| lifetime.as_millis());
    let how = match present {
        Present::Any => "put",
        Present::Nothing => "add",
        Present::Text(_) => "replace",
    };
    let mut cmd = script(keys, key, how);
    // The largest one fits by far.
    cmd.arg(u64::try_from(millis).unwrap_or(0)).arg(text);
    if let Present::Text(old) = present {
        cmd.arg(old);
    }
    cmd
}

/// The command that removes a document.
pub(super) fn remove(keys: &Keys, key: &str) -> Cmd {
    script(keys, key, "remove")
}

fn script(keys: &Keys, key: &str, how: &str) -> Cmd {
    let topic = document_topic(key);
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(WRITE).arg(3).arg(keys.document(key));
    cmd.arg(keys.documents(topic)).arg(keys.changes(topic));
    cmd.arg(how).arg(key);
    cmd
}
