"""What the private engine runs: scripts that choose keys and write the commands of a target.

The second argument is what the last answer asked for, and is not to be understood here. Options
are MessagePack; what may hold any bytes comes after them. Scripts keep nothing between calls.
"""

PACK = rb"""
local call, find, format = redis.call, string.find, string.format
local o = cmsgpack.unpack(ARGV[3])
local cursor, keys = ARGV[1], nil
if ARGV[2] ~= '' then keys = cmsgpack.unpack(ARGV[2]) else
  local found = call('SCAN', cursor, 'COUNT', o.look)
  cursor, keys = found[1], found[2]
  if #ARGV > 6 then
    local fitting = {}
    for i = 1, #keys do
      for j = 7, #ARGV do
        if find(keys[i], ARGV[j]) then fitting[#fitting + 1] = keys[i] break end
      end
    end
    keys = fitting
  end
end
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local prefix, lanes, verb, replace, longest = ARGV[4], ARGV[5], o.verb, o.replace, o.longest
local large
if ARGV[6] ~= '' then
  large = {}
  for _, key in ipairs(cmsgpack.unpack(ARGV[6])) do large[key] = true end
end
local slot
if lanes ~= '' then
  local bxor, band, shl, shr, byte = bit.bxor, bit.band, bit.lshift, bit.rshift, string.byte
  local crcs = {}
  for i = 0, 255 do
    local crc = shl(i, 8)
    for _ = 1, 8 do
      if band(crc, 0x8000) ~= 0 then crc = bxor(shl(crc, 1), 0x1021) else crc = shl(crc, 1) end
    end
    crcs[i] = band(crc, 0xffff)
  end
  slot = function(name)
    local open = find(name, '{', 1, true)
    if open then
      local close = find(name, '}', open + 1, true)
      if close and close > open + 1 then name = string.sub(name, open + 1, close - 1) end
    end
    local crc = 0
    for i = 1, #name do
      crc = bxor(band(shl(crc, 8), 0xffff), crcs[band(bxor(shr(crc, 8), byte(name, i)), 255)])
    end
    return band(crc, 16383)
  end
end
local set, set_end = '*3\r\n$3\r\nSET\r\n$', '\r\n'
local set_until = '*5\r\n$3\r\nSET\r\n$'
local restore, restore_end = '*6\r\n$7\r\nRESTORE\r\n$', '\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n'
if not replace then
  set, set_end = '*4\r\n$3\r\nSET\r\n$', '\r\n$2\r\nNX\r\n'
  set_until = '*6\r\n$3\r\nSET\r\n$'
  restore, restore_end = '*5\r\n$7\r\nRESTORE\r\n$', '\r\n$6\r\nABSTTL\r\n'
end
-- How commands begin, by the length of the name; how values do, by theirs: most are alike.
local sets, sets_until, restores = {first = set}, {first = set_until}, {first = restore}
local middles = {}
local outs, ends, counts = {}, {}, {}
for i = 1, o.ways do outs[i], ends[i], counts[i] = {}, 0, 0 end
local big, chosen, expired, bytes, i, total, made = {}, 0, 0, 0, 1, #keys, 0
local values, first, last = {}, 0, 0
-- Strings that replace and do not end go many to a command; nothing else can be said so.
local together, ends_at, opened, pairs_in, sent = {}, 0, 0, 0, 0
local function close()
  if pairs_in == 0 then return end
  together[opened] = '*' .. 2 * pairs_in + 1 .. '\r\n$4\r\nMSET'
  together[ends_at + 1], ends_at, pairs_in = '\r\n', ends_at + 1, 0
  counts[1] = counts[1] + 1
end
local names = {first = '\r\n$'}
local group = o.group
if large or verb ~= 'restore' then group = 0 end
while i <= total and bytes < o.bytes and made < o.most do
  local key = keys[i]
  local at = -1
  if o.expires then at = call('PEXPIRETIME', key) end
  if at >= 0 then
    if o.ttl == 'strip' then at = -1 else at = at + o.shift end
  end
  if at ~= -2 then
    chosen = chosen + 1
    if at >= 0 and at <= now then expired = expired + 1
    elseif verb == 'weigh' then
      if call('MEMORY', 'USAGE', key) > o.large then
        big[#big + 1] = key
        big[#big + 1] = '0'
      end
    elseif verb ~= 'count' then
      made = made + 1
      local name = key
      if prefix ~= '' then name = prefix .. key end
      local lane = 1
      if slot then lane = string.byte(lanes, slot(name) + 1) end
      local out, n = outs[lane], ends[lane]
      if verb == 'exists' then
        out[n + 1] = '*2\r\n$6\r\nEXISTS\r\n$'
        out[n + 2] = #name
        out[n + 3] = '\r\n'
        out[n + 4] = name
        out[n + 5] = '\r\n'
        ends[lane] = n + 5
        counts[lane] = counts[lane] + 1
        bytes = bytes + #name + 30
      else
        local value, plain = nil, false
        if group > 0 then
          if i > last then
            first, last = i, math.min(i + group - 1, total)
            values = call('MGET', unpack(keys, first, last))
          end
          value = values[i - first + 1]
          plain = value ~= false and #value <= longest
        end
        if large and large[key] then value = nil
        elseif not plain then value = call('DUMP', key) end
        if not value or #value > longest then
          big[#big + 1] = key
          big[#big + 1] = format('%.0f', at)
        else
          sent = sent + 1
          local heads, middle, tail = sets, middles[#value], set_end
          if not middle then
            middle = '\r\n$' .. #value .. '\r\n'
            middles[#value] = middle
          end
          if at >= 0 then
            local ttl = format('%.0f', at)
            ttl = '\r\n$' .. #ttl .. '\r\n' .. ttl
            if plain then
              heads, tail = sets_until, '\r\n$4\r\nPXAT' .. ttl .. set_end
            else middle = ttl .. middle end
          elseif not plain then middle = '\r\n$1\r\n0' .. middle end
          local many = plain and at < 0 and replace and not slot
          if many then heads = names
          elseif not plain then heads, tail = restores, restore_end end
          local head = heads[#name]
          if not head then
            head = heads.first .. #name .. '\r\n'
            heads[#name] = head
          end
          if many then
            if pairs_in == 0 then opened, ends_at = ends_at + 1, ends_at + 1 end
            out, n, pairs_in = together, ends_at, pairs_in + 1
            ends_at = n + 4
          else
            out[n + 5] = tail
            ends[lane] = n + 5
            counts[lane] = counts[lane] + 1
          end
          out[n + 1] = head
          out[n + 2] = name
          out[n + 3] = middle
          out[n + 4] = value
          if pairs_in == 50 then close() end
          bytes = bytes + #name + #value + 40
        end
      end
    end
  end
  i = i + 1
end
local rest = ''
if i <= total then
  local left = {}
  for j = i, total do left[#left + 1] = keys[j] end
  rest = cmsgpack.pack(left)
end
close()
local answer = {cursor, rest, chosen, expired, sent, big}
for lane = 1, o.ways do
  answer[#answer + 1] = counts[lane]
  answer[#answer + 1] = table.concat(outs[lane])
end
answer[8] = answer[8] .. table.concat(together)
return answer
"""
"""Keys into commands, as many as one answer holds: cursor, rest, chosen, expired, sent, big keys,
and for each way of the target's how many commands there are and the commands themselves."""

PIECE = rb"""
local o = cmsgpack.unpack(ARGV[3])
local key, temporary, cursor = ARGV[4], ARGV[5], ARGV[1]
local kind = redis.call('TYPE', key).ok
local words, ended
local function scanned(command)
  local found = redis.call(command, key, cursor, 'COUNT', o.most)
  cursor, ended = found[1], found[1] == '0'
  return found[2]
end
if kind == 'string' then
  local from = tonumber(cursor)
  local part = redis.call('GETRANGE', key, from, from + o.bytes - 1)
  words, ended = {'APPEND', temporary, part}, #part < o.bytes
  cursor = tostring(from + #part)
elseif kind == 'list' then
  local from = tonumber(cursor)
  local part = redis.call('LRANGE', key, from, from + o.most - 1)
  words, ended = {'RPUSH', temporary}, #part < o.most
  for i = 1, #part do words[#words + 1] = part[i] end
  cursor = tostring(from + #part)
elseif kind == 'set' then
  local part = scanned('SSCAN')
  words = {'SADD', temporary}
  for i = 1, #part do words[#words + 1] = part[i] end
elseif kind == 'hash' then
  local part = scanned('HSCAN')
  words = {'HSET', temporary}
  for i = 1, #part do words[#words + 1] = part[i] end
elseif kind == 'zset' then
  local part = scanned('ZSCAN')
  words = {'ZADD', temporary}
  for i = 1, #part, 2 do
    words[#words + 1] = part[i + 1]
    words[#words + 1] = part[i]
  end
else
  return {'', kind, ''}
end
if #words == 2 or words[3] == '' and kind == 'string' then
  return {ended and '' or cursor, kind, ''}
end
local out = {'*', #words, '\r\n'}
for i = 1, #words do
  local word = words[i]
  if #word > o.longest then return {'', 'element', ''} end
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = '$', #word, '\r\n', word, '\r\n'
end
return {ended and '' or cursor, kind, table.concat(out)}
"""
"""One piece of a big key as one command: where the next begins ('': it was the last), the kind
of value, the command. No command and no next one: it has to go whole, or not at all."""
