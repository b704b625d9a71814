//! Scripts: how names are held and freed on the server, in one step each.
//!
//! Owns the rule of ownership, and the commands that apply it. Never talks to
//! Redis, and does not know what becomes of a name that was refused.
//!
//! Each script names the network's index first, then the keys of hosts: all in
//! one slot. The index is a sorted set of the encoded names with the time at
//! which their leases end, so that listing a network costs as much as it has
//! hosts, whatever else there is on the server. It is no authority: it may lack
//! a name until its next renewal, or show one that is gone.
//!
//! It also remembers, for [`KEPT`], what was not freed: a name whose lease just
//! ended stays in it. Whoever announces such a name has taken it from somebody who
//! may come back, and notes that beside it, under `:<name>`, with the time. So
//! who renews a name that nobody has learns whether the server forgot it, or
//! another had it meanwhile. Without the index, that is not noticed, and nothing
//! else is lost.

use redis::Cmd;
use rustls::crypto::GetRandomFailed;
use rustls::crypto::ring::default_provider;

use crate::schema::keys::Keys;

/// How long the index keeps a name that was not freed after its lease, and the note
/// that another took it, in milliseconds.
const KEPT: u64 = 3_600_000;

/// Takes the names that are free, extends those that are the same owner's, and
/// leaves the others. For each name it answers with the time, in milliseconds, if
/// it is held; with the value of the one who holds it, or an empty text when that is
/// no string; or with 0 when nobody has it, but another took it since it was last
/// seen to be held.
///
/// It announces and it renews: a name that the server lost is announced again,
/// with what was sent along. Running it twice is the same as once, so it is
/// repeated when a connection was lost and nobody knows whether the server got
/// it. Of one owner's announcements the later wins, in whatever order they
/// arrive.
///
/// It begins with a write, as that is what a node refuses that was demoted, or
/// that is cut off from its replicas: what such a node knows of a name's holder
/// is old, and must not decide. And a server that has no memory left lets a script
/// write all that it likes after that, if the first took none.
///
/// Whatever is in place of the index is no reason to lose a name.
const HOLD: &str = "\
local token, lease, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gate = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], 0, now - kept)
if type(gate) == 'table' and not string.find(gate.err, 'WRONGTYPE', 1, true) then
  return redis.error_reply(gate.err)
end
local function noted(member)
  local score = redis.pcall('ZADD', KEYS[1], 'XX', 'INCR', 0, member)
  return type(score) == 'string' and tonumber(score)
end
local answers, index = {}, {}
for at = 2, #KEYS do
  local arg = 4 * at - 4
  local value, number = ARGV[arg], tonumber(ARGV[arg + 1])
  local member, seen = ARGV[arg + 2], tonumber(ARGV[arg + 3])
  local held = redis.pcall('GET', KEYS[at])
  local answer = now
  if type(held) == 'table' then
    if not string.find(held.err, 'WRONGTYPE', 1, true) then return redis.error_reply(held.err) end
    answer = ''
  elseif held then
    local owner, other = string.match(held, ' owner=(%x+)#(%d+)$')
    if owner ~= token or tonumber(other) > number then answer = held end
  else
    local taken = noted(':' .. member)
    if seen > 0 then
      if taken and taken > seen then answer = 0 end
    elseif taken or noted(member) then
      index[#index + 1] = now
      index[#index + 1] = ':' .. member
    end
  end
  if answer == now then
    if held == value then
      redis.call('PEXPIRE', KEYS[at], lease)
    else
      redis.call('SET', KEYS[at], value, 'PX', lease)
    end
    index[#index + 1] = now + lease
    index[#index + 1] = member
  end
  answers[#answers + 1] = answer
end
if #index > 0 then
  redis.pcall('ZADD', KEYS[1], unpack(index))
  local left = redis.pcall('PTTL', KEYS[1])
  if type(left) == 'number' and left < lease + kept then
    redis.pcall('PEXPIRE', KEYS[1], lease + kept)
  end
end
return answers";

/// Deletes the names that an announcement of this owner up to the given one
/// holds; answers how many. It begins with a write, as the other does. Of a name
/// that nobody has, the index may still show something. Whatever is in place of the
/// index keeps no name from being freed.
const FREE: &str = "\
local gate = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], 0, 0)
if type(gate) == 'table' and not string.find(gate.err, 'WRONGTYPE', 1, true) then
  return redis.error_reply(gate.err)
end
local freed = 0
for at = 2, #KEYS do
  local held = redis.pcall('GET', KEYS[at])
  local ours = not held
  if type(held) == 'table' then
    if not string.find(held.err, 'WRONGTYPE', 1, true) then return redis.error_reply(held.err) end
  elseif held then
    local owner, number = string.match(held, ' owner=(%x+)#(%d+)$')
    ours = owner == ARGV[1] and tonumber(number) <= tonumber(ARGV[2 * at - 2])
    if ours then freed = freed + redis.call('DEL', KEYS[at]) end
  end
  if ours then redis.pcall('ZREM', KEYS[1], ARGV[2 * at - 1]) end
end
return freed";

/// Does what the others do, for a name that nobody has, as none is empty:
/// scripts run in one step, and nothing of it is there when this one ends.
/// Answers 1, or 2 if what is in place of the index is none.
///
/// A script that fails half-way is not undone, so it tries to take away before
/// it puts: a user who may not delete leaves nothing.
const PROBE: &str = "\
local index = 1
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if not string.find(answer.err, 'WRONGTYPE', 1, true) then return answer.err end
    index = 2
  end
end
redis.call('DEL', KEYS[2])
local refused = try('ZREM', KEYS[1], '') or try('ZREMRANGEBYSCORE', KEYS[1], 0, 0)
if refused then return redis.error_reply(refused) end
redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[2], 1000)
redis.call('TIME')
redis.call('GET', KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', 1000)
local held = redis.call('GET', KEYS[2])
redis.call('DEL', KEYS[2])
refused = try('ZADD', KEYS[1], 0, '') or try('ZREM', KEYS[1], '')
if refused then return redis.error_reply(refused) end
return held == ARGV[1] and index or 0";

/// A name to hold, and as what.
pub(crate) struct LeaseRequest<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) hostdata: &'a str,
    pub(crate) number: u64,
    /// When the server last said that we hold it, by its clock in milliseconds;
    /// 0 for a name that is being announced.
    pub(crate) confirmed_at: u64,
}

/// Who announces: 128 random bits, drawn once per registry value.
pub(crate) struct Owner {
    token: String,
}

impl Owner {
    /// Draws a new owner from the operating system's randomness.
    pub(crate) fn random() -> Result<Owner, GetRandomFailed> {
        let mut bits = [0; 16];
        default_provider().secure_random.fill(&mut bits)?;
        let token = format!("{:032x}", u128::from_be_bytes(bits));
        Ok(Owner { token })
    }

    /// The owner of that token.
    #[cfg(test)]
    pub(crate) fn of_token(token: &str) -> Owner {
        Owner {
            token: token.to_owned(),
        }
    }

    /// The command that takes or extends names for `lease` milliseconds.
    pub(crate) fn hold(&self, keys: &Keys, names: &[LeaseRequest<'_>], lease: u64) -> Cmd {
        let mut cmd = script(HOLD, keys, names.iter().map(|name| name.hostname));
        cmd.arg(&self.token).arg(lease).arg(KEPT);
        for name in names {
            let value = format!("{} owner={}#{}", name.hostdata, self.token, name.number);
            cmd.arg(value).arg(name.number);
            cmd.arg(keys.member(name.hostname)).arg(name.confirmed_at);
        }
        cmd
    }

    /// The command that frees names, each if it is of this owner's announcement
    /// of that number or of an earlier one.
    pub(crate) fn free(&self, keys: &Keys, names: &[(&str, u64)]) -> Cmd {
        let mut cmd = script(FREE, keys, names.iter().map(|(hostname, _)| *hostname));
        cmd.arg(&self.token);
        for (hostname, number) in names {
            cmd.arg(number).arg(keys.member(hostname));
        }
        cmd
    }

    /// The command that tries, for a name that is no host's, what the others do.
    pub(crate) fn probe(&self, keys: &Keys) -> Cmd {
        let mut cmd = script(PROBE, keys, [""].into_iter());
        cmd.arg(&self.token);
        cmd
    }
}

/// The text goes along every time: it is short, and a server that was
/// restarted, or another one after a failover, would not know a digest.
fn script<'a>(text: &str, keys: &Keys, hostnames: impl ExactSizeIterator<Item = &'a str>) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(text).arg(hostnames.len() + 1).arg(keys.index());
    for hostname in hostnames {
        cmd.arg(keys.host(hostname));
    }
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_32_digits_and_differ() {
        let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());
        assert_ne!(one.token, other.token);
        assert_eq!(one.token.len(), 32);
    }
}
