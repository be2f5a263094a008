"""The Lua scripts of the shared circuit breaker: each is one step on the server, in one round trip.

The time is the server's, in microseconds. An era is the time of its start, so that eras grow even after the server has
lost all data. `next` is the earliest time of the next call: after the time of an open breaker, or of a lost probe.
"""

_READ = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found = redis.call('HMGET', KEYS[1], 'state', 'era', 'in_a_row', 'next')
local state, era = found[1] or 'closed', tonumber(found[2] or 0)
local in_a_row, next = tonumber(found[3] or 0), tonumber(found[4] or 0)
local function write()
  redis.call('HSET', KEYS[1], 'state', state, 'era', era, 'in_a_row', in_a_row, 'next', next)
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
local function begin()
  era = math.max(now, era + 1)
end
local function turn(new)
  state, in_a_row = new, 0
  begin()
end
"""

# Arguments: milliseconds until it is forgotten, and until a probe counts as lost.
# Returns state, era, 1 if the call may pass, and the milliseconds until a call may.
ADMIT = (
    _READ
    + """
if state == 'closed' then
  if era == 0 then begin() write() end
  return {state, era, 1, 0}
end
if next > now then
  return {state, era, 0, state == 'open' and math.ceil((next - now) / 1000) or 0}
end
if state == 'open' then turn('half_open') else begin() end
next = now + ARGV[2] * 1000
write()
return {state, era, 1, 0}
"""
)

# Arguments: milliseconds until it is forgotten, era of the call, result (1, 0, or nothing for a cancelled call),
# failures that open, successes that close, and milliseconds until an open breaker lets a call try.
# Returns state and era.
SETTLE = (
    _READ
    + """
local ended, failures, successes = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if tonumber(ARGV[2]) ~= era or (state == 'closed' and ended ~= '0' and in_a_row == 0) then
  return {state, era}
end
next = 0
if ended == '0' then
  in_a_row = in_a_row + 1
  if state == 'half_open' or in_a_row >= failures then
    turn('open')
    next = now + ARGV[6] * 1000
  end
elseif ended == '1' then
  in_a_row = state == 'half_open' and in_a_row + 1 or 0
  if state == 'half_open' and in_a_row >= successes then turn('closed') end
end
write()
return {state, era}
"""
)
