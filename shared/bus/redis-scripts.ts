/** What the bus does in Redis in one step, in Lua. */

/**
 * Keeps and publishes a snapshot only if its `(epoch, version)` is later than that of the one it keeps, so that N replicas
 * publish each version once and no screen goes backwards. Lua numbers are doubles: exact up to 2^53. The channel is no key of the script:
 * while a slot of a cluster moves, a script must not have one key that is there and one that is not.
 */
const ADMIT = `
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local kept = redis.call('HMGET', KEYS[1], 'epoch', 'version')
local epoch, version = tonumber(ARGV[1]), tonumber(ARGV[2])
if kept[1] then
  local keptEpoch, keptVersion = tonumber(kept[1]), tonumber(kept[2])
  if epoch < keptEpoch or (epoch == keptEpoch and version <= keptVersion) then return 0 end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', ARGV[2], 'snapshot', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call(ARGV[6], ARGV[5], ARGV[3])
return 1`

/**
 * Puts the last place of its epoch in the place of a poll that was removed, and no snapshot, so that a backend that has not heard of it
 * yet cannot bring the poll back. Leaves a later poll of the same name alone.
 */
const FORGET = `
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', '${Number.MAX_SAFE_INTEGER}')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`

/** What defines them as commands of a connection. */
export const BUS_SCRIPTS = { admit: { lua: ADMIT, numberOfKeys: 1 }, forget: { lua: FORGET, numberOfKeys: 1 } }

/** The scripts as commands; both answer 1 when they did it, else 0. */
export interface BusScripts {
  forget(key: string, epoch: number, keptMs: number): Promise<number>
  admit(
    key: string,
    epoch: number,
    version: number,
    snapshot: string,
    keptMs: number,
    channel: string,
    publish: 'PUBLISH' | 'SPUBLISH',
  ): Promise<number>
}
