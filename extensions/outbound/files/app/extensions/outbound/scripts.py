"""What `Breaker` does, for all processes: two scripts that the storage runs, each as one step and in one round trip.

The time is the server's, in microseconds. An era is the moment at which it began, so eras grow even where the server
has lost all of them. `next` is when the next call may try: after an open breaker's time, or that of a lost probe.
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

# Milliseconds until it is forgotten, and until a probe is given up for lost.
# Returns state, era, whether the call may pass, and in how many milliseconds one may.
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

# Milliseconds until it is forgotten, the era of the call, how it ended (1 or 0, or nothing where it was given up),
# failures that open, successes that close, and milliseconds until an open one lets a call try. Returns state and era.
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
