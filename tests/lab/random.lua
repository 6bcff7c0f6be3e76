-- SPDX-License-Identifier: MIT
--
-- Random calls of all bindings, mostly with arguments that could make sense. test_lab.c defines
-- names, from the tables that the bindings are made of, and calls fuzz() and worked().

-- What each takes: p frame, r range, h range of sections, q pool, c function, n count, o order, d node, f flags, z zone,
-- b boolean, and whole tables of options by number.
local forms = {
  alloc = 'ofd', put = 'p', get = 'p', map = 'p', unmap = 'p', split = 'po', page = 'p',
  migrate = 'pd', move_memmap = 'p', memory_failure = 'p', dissolve = 'p', zone_stat = 'dz',
  contig = 'rf', contig_pages = 'nfd', free_contig = 'r',
  memory_add = 'dh8', memory_online = 'hz', memory_offline = 'h', memory_remove = 'h',
  section_state = 'p', compact = 'ond', report_free = 'ond', collapse = 'n', work = 'n',
  oom = 'c', take_pool = 'qn', set_demote_size = '5', set_optimize = 'b', set_cma = 'b', resize = 'nd', free = 'p', reserve = 'nd', unreserve = 'n',
  alloc_reserved = 'fd', free_reserved = 'p', set_overcommit = 'n', demote = 'nd',
  shrink_each = 'n', take = 'no', take_all = 'n', release = 'n', pfn = 'n', shuffle = 'n',
  hog = '1', churn = '2', run = '3', replay = '4', cma = '5', pool = '6', sleep = 'n',
  set_policy = '7', ['pool:alloc'] = 'fd', ['cma:alloc'] = 'no', ['cma:release'] = 'pn',
}
local tables = {
  { {}, { movable = true }, { node = 1, flags = 'user' }, { flags = 'kernel|nowarn' } },
  { { mix = { { order = 0 }, { order = 9 } }, movable = true }, { mix = { { order = 3 } } } },
  { { ops = 20 }, { time = 30 } },
  { { text = '0 alloc 1 2\n1 alloc 2 9\n2 free 1' } },
  { '2M', '4M' },
  { {}, { size = '4M' }, { size = '1G' }, { size = '2M', policy = 'carve' } },
  { 'mayfail', 'noretry', 'atomic', 'oom', 'carve', 'carve-heal' },
  { {}, { on_memory = true } },
}
local junk = { -1, 1 << 40, math.maxinteger, math.mininteger, 0/0, 1/0, 0.5, 'x', '', {}, type }
local function pick(list) return list[math.random(#list)] end
local pools = {}
local makers = {
  q = function() return pick(pools) end,
  c = function() return function() return 0 end end,
  p = function(pfns) return pick(pfns) + pick{ 0, 0, 0, 1, 512 } end,
  n = function() return pick{ 0, 1, 2, 3, 7, 20, 100, 600, 5000 } end,
  o = function() return pick{ 0, 0, 1, 3, 8, 9, 9, 10, 12, 15, 18 } end,
  d = function() return pick{ 0, 1, 2, 63 } end,
  f = function() return pick{ 'user', 'kernel', 'nowarn', 'movable|nowarn', 'user|zero',
                              'memalloc|nowarn' } end,
  z = function() return pick{ 'normal', 'movable', 'cma' } end,
  b = function() return math.random(2) == 1 end,
}
local function push(args, v) args.n = args.n + 1 args[args.n] = v end
local function arguments(kind, name, pfns)
  local args = { n = 0 }
  for c in (forms[kind .. ':' .. name] or forms[name] or ''):gmatch('.') do
    if math.random(25) == 1 then push(args, pick(junk))
    elseif c == 'r' or c == 'h' then
      local unit = c == 'h' and 32768 or pick{ 1, 512 }
      -- Sections: those that can come, and the movable ones of the last node.
      local start = c == 'h' and (1 << 18) + 32768 * math.random(-1, 1) or pick(pfns) // unit * unit
      push(args, start)
      push(args, start + unit * pick{ 1, 1, 2 })
    elseif tables[tonumber(c)] then push(args, pick(tables[tonumber(c)]))
    elseif math.random(12) == 1 then push(args, nil)
    else push(args, makers[c](pfns)) end
  end
  return args
end
local function call(o, name, pfns)
  local args = arguments(o[1], name, pfns)
  return pcall(o[2][name], o[2], table.unpack(args, 1, args.n))
end
local function keep(r, pfns, objects)
  if math.type(r) == 'integer' and r >= 0 then pfns[8 + math.random(56)] = r end
  local kind = type(r) == 'userdata' and tostring(r):match('^hvo%.(%a+)')
  if tostring(r):match('^pool') then kind = 'pool' pools[1 + #pools % 4] = r end
  if kind and names[kind] and #objects < 20 then objects[#objects + 1] = { kind, r } end
end
local function audit(m, what)
  local n, list = m:audit()
  if n > 0 then error(list[1].rule .. ': ' .. list[1].what .. ', ' .. what) end
end
function fuzz(seed, mode, calls)
  math.randomseed(seed)
  local m = assert(hvo.machine{ memory = '1G', nodes = 2, movable = '128M', cma = '128M',
    hotplug = '256M', mode = mode, seed = seed })
  local p, g = m:pool{}, m:pool{ size = '4M' }
  pools = { p, g }
  p:resize(30)
  g:resize(5)
  local objects = { { 'machine', m }, { 'machine', m }, { 'machine', m }, { 'machine', m },
    { 'pool', p }, { 'pool', g }, { 'hog', m:hog{ movable = true } }, { 'cma', m:cma('8M') },
    { 'churn', m:churn{ mix = { { order = 1 }, { pool = p } } } } }
  local pfns = { 0, 1, 512, 32768, 65536, 131072, 262144, 262144 + 32768 }
  for i = 9, 64 do pfns[i] = math.random(0, 1 << 18) end
  m:shrinker(function(n)
    local o = pick(objects)
    local name = pick(names[o[1]])
    if name ~= 'close' then call(o, name, pfns) end
    return 0
  end)
  for i = 1, calls do
    local o = pick(objects)
    local name = pick(names[o[1]])
    if name ~= 'close' and name ~= 'shrinker' then
      local ok, r = call(o, name, pfns)
      local what = name .. ', seed ' .. seed .. ', call ' .. i
      if not ok and tostring(r):match('simulation') then error(what .. ': ' .. r) end
      if ok then keep(r, pfns, objects) end
      done[name] = (done[name] or 0) + (ok and r and 1 or 0)
      if i % 250 == 0 then audit(m, what) end
    end
  end
  audit(m, 'seed ' .. seed .. ', at the end')
  m:close()
  for _, o in ipairs(objects) do pcall(o[2].stat, o[2]) end
end
-- Most of what there is must have worked now and then.
function worked(nr)
  local n = 0
  for name, times in pairs(done) do n = n + (times > 0 and 1 or 0) end
  assert(n >= nr, n .. ' of the bindings ever worked')
end
done = {}
