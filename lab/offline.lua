-- Can a node's movable memory go offline while everything is full, in both modes?
--
-- All of it is huge pages: half in use, half free in their pool. As many pages are free in the pool
-- elsewhere as are in use here, so there is room for what must move; besides, some frames.

local memory = hvo.quick and "1G" or "2G"
local steps = hvo.quick and 1 or 5
local section = hvo.size("128M") // 4096

-- The movable memory of the last node, and a machine without a free frame but left ones; at
-- most so many as that memory's descriptors may need, and the watermark.
local function full_machine(policy, left, most)
	local bytes = hvo.size(memory)
	local m = assert(hvo.machine{ memory = memory, nodes = 2, movable = bytes // 4,
				      clear = "never", mode = policy and "linux" or "on-demand" })
	-- One that waits without end is cut short: nothing comes while it waits.
	local pool = assert(m:pool{ policy = policy and hvo.policy(policy, 2) })
	local zone = m:zone_stat(1, "movable")
	-- Room for what is to be left is kept on node 0, in its kernel zone.
	local room = m:hog{ node = 0, flags = "memalloc|noretry|nowarn|thisnode" }
	room:take(most // 512 + 2, 9)
	pool:grow_all()
	local pages = m:hog{ movable = true }
	pages:take_pool(pool)
	-- Every second page inside goes back to the pool, and as many outside as stay in use.
	local inside, outside, put = {}, {}, {}
	for i = 1, pages:stat().blocks do
		local pfn = pages:pfn(i)
		local list = pfn >= zone.start_pfn and pfn < zone.end_pfn and inside or outside
		list[#list + 1] = pfn
	end
	local in_pool = #inside // 2
	local in_use = #inside - in_pool
	for i = 1, in_pool do put[i] = inside[2 * i] end
	for i = 1, in_use do put[#put + 1] = outside[i] end
	for _, pfn in ipairs(put) do assert(pool:free(pfn)) end
	m:hog{ node = 0, flags = "movable|memalloc|noretry|nowarn|thisnode" }:take_all()
	room:release()
	room:take_all(left)
	local rest = m:hog{ node = 1, flags = "memalloc|noretry|nowarn|thisnode" }
	rest:take_all()
	assert(m:zone_stat(0, "normal").free == left)
	return m, zone, in_use, in_pool
end

local function try(policy, left, most)
	local m <close>, zone, in_use, in_pool = full_machine(policy, left, most)
	local sections, gone, why = 0, 0, nil
	for start = zone.start_pfn, zone.end_pfn - 1, section do
		local ok, err = m:memory_offline(start, start + section)
		sections = sections + 1
		if ok then gone = gone + 1 else why = why or err end
	end
	for start = zone.start_pfn, zone.end_pfn - 1, section do
		if m:section_state(start) == "offline" then
			assert(m:memory_online(start, start + section, "movable"))
		end
	end
	if left == 0 then assert(m:audit() == 0, "the audit found something") end
	return gone, sections, why, in_use, in_pool
end

local probe = assert(hvo.machine{ memory = memory, nodes = 2, movable = hvo.size(memory) // 4 })
local min = probe:zone_stat(0, "normal").watermark_min
probe:close()
local most = min + 10 * hvo.size(memory) // 4 // hvo.size("2M")

local names = { "on-demand", "noretry", "mayfail", "carve", "carve-heal" }
local series, rows = {}, {}
for i, name in ipairs(names) do
	local points, row, need = {}, nil, nil
	for k = 0, steps do
		local policy = name ~= "on-demand" and name or nil
		local gone, sections, why, in_use, in_pool = try(policy, most * k // steps, most)
		points[#points + 1] = { most * k // steps * 4096 / 2^20, 100 * gone / sections }
		row = row or { name, in_use, in_pool, sections, gone, why or "" }
		if gone < sections then need = nil else need = need or most * k // steps end
		hvo.progress((i - 1) * (steps + 1) + k, #names * (steps + 1), name)
	end
	row[7] = need and math.floor(need * 4096 / 2^20 + 0.5) or "more"
	series[i], rows[i] = { name = name, points = points }, row
end

local notes = {}
for _, row in ipairs(rows) do
	notes[#notes + 1] = ("%s: %d of %d sections go offline with no free frame%s."):format(row[1],
		row[5], row[4], row[6] ~= "" and " (then " .. row[6] .. ")" or "")
end
hvo.result("offline", {
	title = "A movable node taken offline while full",
	question = "Can a node's movable memory go offline while everything is full, in both modes?",
	parameters = { memory = memory, nodes = 2, movable = hvo.size(memory) // 4,
		       min_watermark_frames = min },
	x = "free memory elsewhere, MiB", y = "sections offline, %",
	series = series,
	columns = { "policy", "huge pages in use", "free in the pool", "sections",
		    "offline, none free", "error", "MiB for all" },
	rows = rows,
	notes = notes,
})
