//! Scripts: how names are held and freed on the server, in one step each.
//!
//! Owns the rule of ownership, and the commands that apply it. Never talks to
//! Redis, and does not know what happens to a name that was refused.
//!
//! The keys of each script are the network's index, then those of hosts: all in one slot. The
//! index is a sorted set of the encoded names, by the time at which their leases end. With it,
//! the cost of listing a network does not depend on other data on the server. Ownership does
//! not depend on it: it may lack a name until its next renewal, or show one that is gone.
//!
//! For [`KEPT`], the index also keeps names that were not freed: a name whose lease just
//! ended stays in it. An announcement of such a name takes it from a process that may come
//! back, and adds a note to the index: `:<name>`, with the time. So a process that
//! renews a name which nobody has learns whether the server lost it or another process
//! had it meanwhile. Without the index, only that is not noticed.

use redis::Cmd;
use rustls::crypto::GetRandomFailed;
use rustls::crypto::ring::default_provider;

use crate::schema::keys::Keys;

/// How long after its lease the index keeps a name that was not freed, and the note that
/// another process took it, in milliseconds.
const KEPT: u64 = 3_600_000;

/// Takes the names that are free, extends those of the same owner, and leaves the others.
/// The reply for each name is the time in milliseconds, if the owner holds it; the other
/// holder's value, or an empty string if that value is not a string; or 0 if nobody has the
/// name, but another owner took it after `seen`.
///
/// It both announces and renews: a name that the server lost is announced again, with the
/// data of the renewal. Running it twice has the effect of running it once, so it is repeated
/// after a lost connection, when it may or may not have run. Of one owner's announcements the
/// later wins, in whatever order they arrive.
///
/// It begins with a write, because a node that was demoted or cut off from its replicas
/// refuses writes: its data about holders is out of date and must not decide. Besides, a
/// server that is out of memory allows all writes of a script after a first one that
/// needed no memory.
///
/// No name is lost because the index's key holds something else.
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

/// Deletes the names that this owner holds by the given announcement or an earlier one;
/// the reply is how many. It begins with a write for the same reason. It also removes names
/// that nobody has from the index. Names are freed even if the index's key holds something else.
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

/// Runs the commands of the other scripts for the empty name, which no host can have. Scripts
/// run in one step, and nothing is left when this one ends. The reply is 1, or 2 if the
/// index's key holds something else.
///
/// A script that fails half-way is not undone, so it tries to delete before it writes: a user
/// without the right to delete leaves nothing.
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

/// A name to take or extend.
pub(crate) struct LeaseRequest<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) hostdata: &'a str,
    pub(crate) number: u64,
    /// When the server last confirmed that we hold it, by its clock in milliseconds; 0 for a
    /// name that is being announced.
    pub(crate) confirmed_at: u64,
}

/// The owner of announcements: 128 random bits, drawn once per registry value.
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

    /// The owner with this token.
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

    /// The command that frees names, each up to this owner's announcement of that number.
    pub(crate) fn free(&self, keys: &Keys, names: &[(&str, u64)]) -> Cmd {
        let mut cmd = script(FREE, keys, names.iter().map(|(hostname, _)| *hostname));
        cmd.arg(&self.token);
        for (hostname, number) in names {
            cmd.arg(number).arg(keys.member(hostname));
        }
        cmd
    }

    /// The command that tries the commands of the other scripts, without an effect.
    pub(crate) fn probe(&self, keys: &Keys) -> Cmd {
        let mut cmd = script(PROBE, keys, [""].into_iter());
        cmd.arg(&self.token);
        cmd
    }
}

/// Sends the script's text each time: it is short, and after a restart or a failover the
/// server would not know a digest.
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
