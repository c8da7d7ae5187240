"""What the private engine runs to count keys: a slice of a database at a time, summed up there.

Scripts keep nothing between calls, and write nothing. Works with every engine since Redis 5.
"""

SLICE = rb"""
local call, find, sub, gsub = redis.call, string.find, string.sub, string.gsub
local cursor, count, expires = ARGV[2], ARGV[3], ARGV[4] == '1'
local heavy, long, most, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]),
  tonumber(ARGV[8])
local samples, deep, names = ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1'
local big, giant = tonumber(ARGV[12]), tonumber(ARGV[13])
local light, of_big = ARGV[14] == '1', ARGV[15]
call('SELECT', ARGV[1])
local found = call('SCAN', cursor, 'COUNT', count)
local keys = found[2]
local only = {int = 'string', embstr = 'string', raw = 'string', quicklist = 'list',
  intset = 'set', skiplist = 'zset', stream = 'stream'}
local length = {list = 'LLEN', set = 'SCARD', zset = 'ZCARD', hash = 'HLEN', stream = 'XLEN'}
local ends = {3600000, 86400000, 604800000, 2592000000}
local ordinary = {kinds = {}, spans = {}, prefixes = {}}
local heavies = {kinds = {}, spans = {}, prefixes = {}}
local giants = {kinds = {}, spans = {}, prefixes = {}}
local folded, biggest, longs = {}, {}, {}
local size_of_keys, gone, light_keys, light_bytes = 0, 0, 0, 0
-- A name that is no name but an id, or holds one: what is left of it.
local function fold(part)
  if not find(part, '%d') then
    if #part > 40 or find(part, '[%c@]') then return '*' end
    return part
  end
  if not find(part, '%D') then return '*' end
  if #part > 64 or find(part, '[%c@]') then return '*' end
  if #part >= 8 and not find(part, '[^%x%-]') then return '*' end
  local plain, runs = gsub(part, '%d+', '*')
  if not find(plain, '[^%*%-_%.]') then return '*' end
  if runs > 3 or (#part >= 16 and runs > 1 and not find(part, '[%-_%.]')) then return '*' end
  return plain
end
local function parts(key)
  if #key > 256 then key = sub(key, 1, 256) end
  if #key == 36 and find(key, '^%x+%-%x+%-%x+%-%x+%-%x+$') then return '*' end
  local stop = '[:/|#]'
  if not find(key, stop) then
    if find(key, '.', 1, true) then stop = '%.' else stop = '[_%-]' end
  end
  local from, path, depth = 1, '', 1
  while true do
    local at = find(key, stop, from)
    if not at then break end
    if depth == deep then return path .. '*' end
    local part = sub(key, from, at - 1)
    local plain = folded[part]
    if not plain then
      plain = fold(part)
      if plain == part then folded[part] = part end
    end
    path = path .. plain .. sub(key, at, at) .. '\0'
    from, depth = at + 1, depth + 1
  end
  return path .. fold(sub(key, from))
end
-- The greatest so far, and no more than twice as many as are wanted.
local function kept(list, size, row)
  list[#list + 1] = row
  if #list < 2 * most then return size end
  table.sort(list, function(one, other) return one[1] > other[1] end)
  for i = #list, most + 1, -1 do list[i] = nil end
  return list[most][1]
end
local function counted(key, bytes, encoding, into)
  local kind = only[encoding]
  if not kind then
    kind = call('TYPE', key).ok
    encoding = kind .. ' ' .. encoding
  end
  local elements, ask = 0, length[kind]
  if ask then elements = call(ask, key) end
  local sums = into.kinds[encoding]
  if not sums then
    sums = {kind, 0, 0, 0}
    into.kinds[encoding] = sums
  end
  sums[2], sums[3], sums[4] = sums[2] + 1, sums[3] + bytes, sums[4] + elements
  local span = 1
  if expires then
    local left = call('PTTL', key)
    if left >= 0 then
      span = 6
      for j = 1, 4 do
        if left < ends[j] then span = j + 1 break end
      end
    end
  end
  local of_span = into.spans[span]
  if not of_span then
    of_span = {0, 0, 0}
    into.spans[span] = of_span
  end
  of_span[1], of_span[2], of_span[3] = of_span[1] + 1, of_span[2] + bytes, of_span[3] + elements
  if not names then return end
  local path = parts(key)
  local of_path = into.prefixes[path]
  if not of_path then
    of_path = {0, 0, 0}
    into.prefixes[path] = of_path
  end
  of_path[1], of_path[2] = of_path[1] + 1, of_path[2] + bytes
  if span == 1 then of_path[3] = of_path[3] + bytes end
  if bytes > heavy then heavy = kept(biggest, heavy, {bytes, key, kind, elements, encoding}) end
  if elements > long then long = kept(longs, long, {elements, key, kind, bytes, encoding}) end
end
for i = 1, #keys do
  local key = keys[i]
  size_of_keys = size_of_keys + #key
  local bytes, encoding = call('MEMORY', 'USAGE', key, 'SAMPLES', samples), nil
  if bytes and bytes >= big then bytes = call('MEMORY', 'USAGE', key, 'SAMPLES', of_big) end
  if bytes and light and bytes < big then
    light_keys, light_bytes = light_keys + 1, light_bytes + bytes
  else
    if bytes then encoding = call('OBJECT', 'ENCODING', key) end
    if not encoding then gone = gone + 1
    elseif bytes < big then counted(key, bytes, encoding, ordinary)
    elseif bytes < giant then counted(key, bytes, encoding, heavies)
    else counted(key, bytes, encoding, giants) end
  end
end
local function sums(of)
  local kinds, spans, paths = {}, {}, {}
  for encoding, s in pairs(of.kinds) do
    kinds[#kinds + 1] = {s[1], encoding, s[2], s[3], s[4]}
  end
  for span, s in pairs(of.spans) do spans[#spans + 1] = {span, s[1], s[2], s[3]} end
  for path, s in pairs(of.prefixes) do paths[#paths + 1] = {path, s[1], s[2], s[3]} end
  return {kinds, spans, paths}
end
local function told(rows, bytes_at, elements_at)
  local into = {}
  for i, row in ipairs(rows) do
    into[i] = {sub(row[2], 1, longest), #row[2], row[3], row[5], row[bytes_at], row[elements_at]}
  end
  return into
end
return {found[1], #keys, gone, size_of_keys, light_keys, light_bytes, sums(ordinary),
  sums(heavies), sums(giants), told(biggest, 1, 4), told(longs, 4, 1)}
"""
"""Some keys of one database, summed up. Arguments: database, cursor, how many keys, whether any
of them has an expiry, the bytes and the elements above which a key is of interest, how many such
keys, how much of their names, samples of a value, depth of prefixes, whether names are wanted,
from how many bytes on a key is big, or a giant, whether all others are only to be weighed, and
samples of a big value.
Answer: cursor, keys, how many of them were gone, bytes of their names, how many were only weighed
and their bytes; sums of ordinary keys, big ones and giants, each by encoding (type, encoding, keys,
bytes, elements), by TTL (number of the span, keys, bytes, elements) and by path (parts of the
name, divided by zero bytes: keys, bytes, bytes without an expiry); the largest keys and the
longest ones (name, its length, type, encoding, bytes, elements)."""
