-- One quota, shared by processes. One call takes in what a process reports, and leases permits.
--
-- All times are this Redis's own, and all times that come in are relative to the call, so no
-- process's clock matters. The hash holds:
--   reset, limit, least     the window by the server's Reset; its limit; the smallest Remaining seen
--   ends, length            when the window ends here; how long windows are
--   out, gen, gen_at        permits leased in this generation that are not over; its number; its start
--   carry, carry_end        the same of the generation before; until when they count
--   until, active, probe    cooldown: no permit before; only a probe may go; the end of a probe's lease
--   free, next_at           no answer tells of a quota; the next permit, if permits are spread
--
-- ARGV: 1 permits wanted   2,3 a generation, and how many of its permits are over   4,5 another one
--   6 reset  7 limit  8 remaining  9 seconds to its end  10 length  11 tolerance   (6 is 0: none)
--   12 seconds of cooldown (0: none)  13 a probe was answered  14 answers came without limit headers
--   15 a probe came to nothing  16 reserve (below 1 a share)  17 spread
--
-- Returns: permits leased, milliseconds until it makes sense to ask again, milliseconds until there
--   can be another permit, generation, whether it is a probe, limit, left, milliseconds to the
--   window's end, milliseconds of its length (the last four -1 if not known), and whether the
--   hash held what no limiter writes, and was begun anew.

local PROBE_LEASE = 2       -- seconds until a probe that is not answered is given up
local POLL = 0.05           -- seconds until a process asks again whether others gave permits back
local PROBE_POLL = 0.005    -- seconds until it asks again whether a probe was answered, at first
local PROBE_POLL_PART = 8   -- and later, after this part of the time since the probe was leased
local CARRY_MOST = 5        -- seconds for which permits of an ended window still count
local FORGET = 3600         -- seconds after which a hash that is not used is deleted
local FAR = 2 * 86400       -- seconds; no window and no cooldown is so long
local MOST = 1e12           -- no number is greater but `gen`, which is in milliseconds

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local names = {'reset', 'limit', 'least', 'ends', 'length', 'out', 'gen', 'gen_at', 'carry',
  'carry_end', 'until', 'active', 'probe', 'free', 'next_at'}
local stored = redis.call('HMGET', KEYS[1], unpack(names))
local s, times = {}, {ends = 1, gen_at = 1, carry_end = 1, ['until'] = 1, probe = 1, next_at = 1}
local repaired = 0
for i, name in ipairs(names) do
  local value = tonumber(stored[i] or 0)
  local most = name == 'gen' and 1000 * MOST or name == 'length' and FAR
    or times[name] and now + FAR or MOST
  -- NaN is not within any bounds.
  if not (value and value >= 0 and value <= most) then repaired = 1 end
  s[name] = value
end
if repaired > 0 then
  redis.call('DEL', KEYS[1])
  for _, name in ipairs(names) do s[name] = 0 end
end
local a = {}
for i = 1, 17 do a[i] = tonumber(ARGV[i]) or 0 end
local want = a[1]

-- Generations: the permits of a dead process are forgotten with their generation.
if s.gen == 0 then s.gen = math.floor(now * 1000) end  -- no number comes again after a flush
local function next_generation(carry, seconds)
  s.carry, s.carry_end = carry, now + seconds
  s.out, s.gen, s.gen_at = 0, s.gen + 1, now
end
if s.length > 0 and now >= s.gen_at + s.length then
  next_generation(now < s.gen_at + 2 * s.length and s.out or 0, s.length)
end
if now >= s.carry_end then s.carry = 0 end

-- Permits that are over.
for i = 2, 4, 2 do
  if a[i + 1] > 0 then
    if a[i] == s.gen then s.out = math.max(0, s.out - a[i + 1])
    elseif a[i] == s.gen - 1 then s.carry = math.max(0, s.carry - a[i + 1]) end
  end
end
if a[15] > 0 then s.probe = 0 end

-- What the server said.
if a[6] > 0 then
  local reset, tolerance = a[6], a[11]
  s.free = 0
  if s.reset > reset + FAR then s.reset = 0 end  -- no window that was said is so far ahead
  if s.reset == 0 or reset > s.reset + tolerance then
    -- If Reset moved by a good part of a window, a new window began; else the quota is rolling.
    local new = s.reset == 0 or reset - s.reset >= a[10] / 2
    s.reset, s.least, s.ends, s.probe = reset, a[8], now + a[9], 0
    if new then next_generation(s.out, math.min(a[10], CARRY_MOST)) end
  elseif reset >= s.reset - tolerance then
    s.least, s.ends = math.min(s.least, a[8]), now + a[9]
  end
  s.limit, s.length = a[7], math.max(a[10], 1)
elseif a[14] > 0 and s.reset == 0 then
  s.free = 1
end
if a[13] > 0 then s.active, s.probe = 0, 0 end
if a[12] > 0 then
  s['until'], s.active, s.probe = math.max(s['until'], now + a[12]), 1, 0
end

-- Leases.
local leased, wait, next_in, probing = 0, 0, 0, 0
local reserve = a[16]
if reserve < 1 then reserve = math.ceil(reserve * s.limit) end
reserve = math.min(reserve, math.max(s.limit - 1, 0))
local left = s.least - s.out - s.carry - reserve
local unknown = s.reset == 0 and s.free == 0
if want > 0 then
  if now < s['until'] then
    wait, next_in = s['until'] - now, s['until'] - now
  elseif s.active > 0 or unknown or (s.free == 0 and left < 1 and now >= s.ends) then
    if s.probe <= now then
      leased, probing, s.probe = 1, 1, now + PROBE_LEASE
    else
      local out_for = PROBE_LEASE - (s.probe - now)
      wait = math.min(s.probe - now, math.max(PROBE_POLL, out_for / PROBE_POLL_PART))
    end
  elseif s.free > 0 then
    leased = want
  elseif left >= 1 then
    leased = math.min(want, math.floor(left))
    if a[17] > 0 then
      if now < s.next_at then
        leased = 0
      else
        local gap = math.max(s.ends - now, 0) / left
        local due = s.next_at > 0 and s.next_at or now
        leased, s.next_at = 1, math.max(due, now - 3 * gap) + gap
      end
      wait = math.max(s.next_at - now, 0)
      next_in = wait
    end
  else
    wait, next_in = s.ends - now, s.ends - now
    if s.out + s.carry > 0 and s.least > reserve then wait = math.min(wait, POLL) end
  end
  s.out = s.out + leased
end

local fields = {}
for _, name in ipairs(names) do
  fields[#fields + 1] = name
  fields[#fields + 1] = string.format('%.6f', s[name])
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('EXPIRE', KEYS[1], math.max(FORGET, math.ceil(2 * s.length)))
local known = s.reset > 0 and now < s.ends
return {
  leased, math.ceil(wait * 1000), math.floor(next_in * 1000), s.gen, probing,
  s.reset > 0 and s.limit or -1,
  known and math.max(left - leased, 0) or -1,
  known and math.ceil((s.ends - now) * 1000) or -1,
  s.length > 0 and math.ceil(s.length * 1000) or -1,
  repaired,
}
