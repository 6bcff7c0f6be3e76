-- How many huge pages can be freed, by how much memory is free, under each policy?
--
-- Two nodes, full but for some frames on node 1; the pool has pages on both. Of the memory
-- between nothing and above the watermarks, how much must be free for all of them to go?

local memory = hvo.quick and "512M" or "1T"
local pages = hvo.quick and 32 or 4096
local steps = hvo.quick and 4 or 12
local victim = hvo.quick and 1024 or 65536 -- frames of a process that can be killed

local function open(policy)
	local m = assert(hvo.machine{ memory = memory, nodes = 2, clear = "never",
				      mode = policy and "linux" or "on-demand" })
	-- One that waits without end is cut short: nothing comes while it waits.
	local pool = assert(m:pool{ policy = policy and hvo.policy(policy, 2) })
	local hogs = {}
	for node = 0, 1 do
		hogs[node] = m:hog{ node = node, flags = "movable|memalloc|noretry|nowarn|thisnode" }
	end
	return m, pool, hogs
end

-- The out-of-memory notifier kills a process on either node, as long as there is one.
local function kill(hogs)
	local freed = 0
	for node = 0, 1 do
		local before = hogs[node]:stat().frames
		while before - hogs[node]:stat().frames < victim and hogs[node]:release(1) == 1 do end
		freed = freed + before - hogs[node]:stat().frames
	end
	return freed
end

-- A full pool and left frames on node 1; then the pool is freed.
local function try(m, pool, hogs, left)
	local killed = 0
	m:oom(nil)
	hogs[0]:release()
	hogs[1]:release()
	-- What was refused becomes persistent first, and goes: then the pool is even again.
	assert(pool:resize(pages) and pool:resize(0) and pool:resize(pages))
	assert(pool:stat(0).total == pages // 2 and pool:stat(1).total == pages // 2)
	assert(pool:stat().surplus == 0)
	hogs[0]:take_all()
	hogs[1]:take_all(left)
	assert(m:stat().free_frames == left)
	m:oom(function()
		killed = killed + 1
		return kill(hogs)
	end)
	local done = assert(pool:resize(0))
	return done.done, done.carved, killed
end

local names = { "on-demand", table.unpack(hvo.policies()) }
local series, rows, min = {}, {}, nil
for i, name in ipairs(names) do
	local m <close>, pool, hogs = open(name ~= "on-demand" and name or nil)
	local points, need, none = {}, nil, nil
	min = m:zone_stat(1, "normal").watermark_min
	for k = 0, steps do
		local left = min * 3 * k // (2 * steps)
		local done, carved, killed = try(m, pool, hogs, left)
		points[#points + 1] = { left * 4096 / 2^20, 100 * done / pages }
		none = none or { done, carved, killed }
		if done < pages then need = nil else need = need or left end
		hvo.progress((i - 1) * (steps + 1) + k, #names * (steps + 1), name)
	end
	series[i] = { name = name, points = points }
	rows[i] = { name, none[1], none[2], none[3], need and need * 4096 / 2^20 or "more" }
end

local free, never = {}, {}
for _, row in ipairs(rows) do
	if row[2] == pages and row[3] == 0 and row[4] == 0 then free[#free + 1] = row[1] end
	if row[2] == 0 then never[#never + 1] = row[1] end
end
local function list(names)
	return #names > 0 and table.concat(names, ", ") or "none"
end
hvo.result("frees", {
	title = "Success of frees against free memory",
	question = "How many huge pages can be freed, by how much memory is free, under each policy?",
	parameters = { memory = memory, nodes = 2, pages = pages, min_watermark_frames = min },
	x = "free memory on node 1, MiB", y = "pages freed, %",
	series = series,
	columns = { "policy", "freed, none free", "carved", "processes killed", "MiB for all" },
	rows = rows,
	notes = {
		("With no free frame all %d pages are freed, and nothing is lost, by: %s.")
			:format(pages, list(free)),
		("With no free frame nothing is freed by: %s."):format(list(never)),
	},
})
