-- Which huge pages should be folded at all: what does each answer save, and what does it break?
--
-- A machine of a kernel zone (an eighth), a CMA area (a quarter) and movable memory. First its pool
-- grows until there is no page left: how much memory can the kernel still use? Then the kernel has
-- all of that, half of the pool is in use, and there is room for what moves, in movable memory: can
-- half of that be taken offline, and how many ranges are to be had in the CMA area and in the kernel
-- zone?

local memory = hvo.quick and "1G" or "2G"
local steps = 32
local bytes = hvo.size(memory)
local movable = bytes // 8 * 5
local pages = bytes // hvo.size("2M")
local section, range = hvo.size("128M") // 4096, hvo.size("8M") // 4096
local most = 8 -- ranges
local variants = { "on-demand", table.unpack(hvo.scopes()) }

local function mib(frames)
	return math.floor(frames * 4096 / 2^20 * 10 + 0.5) / 10
end

-- A tenth of the pages is there from boot on, which is what scope boot is about.
local function open(name)
	local linux = name ~= "on-demand"
	local m = assert(hvo.machine{ memory = memory, movable = movable, cma = bytes // 4,
				      clear = "never", mode = linux and "linux" or "on-demand" })
	local area = assert(m:cma(bytes // 4))
	local before = m:zone_stat(0, "normal").free
	local pool = assert(m:pool{ boot = pages // 10, policy = linux and "mayfail" or nil,
				    scope = linux and name or nil })
	return m, pool, area, before
end

-- What is left of the kernel zone by how large the pool is, and the figures at the end.
local function grow(name)
	local m <close>, pool, _, before = open(name)
	local points = { { 0, mib(before) } }
	for k = 1, steps do
		assert(pool:resize(math.max(pages // 10, pages * k // steps)))
		local has, left = pool:stat().total, m:zone_stat(0, "normal").free
		points[#points + 1] = { has * 2, mib(left) }
	end
	local stat, of_pool = m:stat(), pool:stat()
	local left = m:zone_stat(0, "normal").free
	return points, { name, of_pool.total, of_pool.optimized, mib(stat.memmap_boot + stat.memmap),
			 mib(left), mib(stat.free_frames - left) }
end

-- The same pool, half of it in use; room for an eighth of it; nothing free in the kernel zone.
local function full(name)
	local m, pool, area = open(name)
	local room, used = m:hog{ movable = true }, m:hog{ movable = true }
	assert(room:take(pages // 8, 9) == pages // 8)
	pool:grow_all()
	room:release()
	used:take_pool(pool)
	local put = {}
	for i = 1, used:stat().blocks, 2 do put[#put + 1] = used:pfn(i) end
	for _, pfn in ipairs(put) do assert(pool:free(pfn)) end
	m:hog{ flags = "memalloc|noretry|nowarn" }:take_all()
	assert(m:zone_stat(0, "normal").free == 0)
	return m, area
end

-- Of each kind in a machine of its own, since what moved away is not in the way any more.
local function offline(name)
	local m <close> = full(name)
	local zone, gone, all = m:zone_stat(0, "movable"), 0, 0
	for start = zone.start_pfn, (zone.start_pfn + zone.end_pfn) // 2 - section, section do
		all = all + 1
		gone = gone + (m:memory_offline(start, start + section) and 1 or 0)
	end
	assert(m:audit() == 0, "the audit found something")
	return gone, all
end

local function ranges(name, in_cma)
	local m <close>, area = full(name)
	local got = 0
	while got < most do
		local pfn = in_cma and area:alloc(range) or not in_cma and m:contig_pages(range)
		if not pfn then break end
		got = got + 1
	end
	return got
end

local series, rows, sections = {}, {}, nil
for i, name in ipairs(variants) do
	local points, row = grow(name)
	row[7], sections = offline(name)
	row[8], row[9] = ranges(name, true), ranges(name, false)
	series[i], rows[i] = { name = name, points = points }, row
	hvo.progress(i, #variants, name)
end

local base = rows[1]
local function names(column, want)
	local list = {}
	for _, row in ipairs(rows) do
		if row[column] == want then list[#list + 1] = row[1] end
	end
	return #list > 0 and table.concat(list, ", ") or "none"
end
local notes = {
	"MiB: taken by descriptors, and free in the kernel zone and in the others when the pool is full.",
}
for i = 2, #rows do
	local row = rows[i]
	notes[#notes + 1] = ("%s: a pool of %d pages, %d of them folded; descriptors take %.1f MiB, " ..
		"%.1f times as much as on demand."):format(row[1], row[2], row[3], row[4],
		row[4] / base[4])
end
notes[#notes + 1] = ("With the kernel zone full, all %d sections go offline with: %s."):format(
	sections, names(7, sections))
notes[#notes + 1] = ("All %d ranges of the CMA area can be had with: %s."):format(most, names(8, most))
notes[#notes + 1] = ("All %d ranges of the kernel zone can be had with: %s."):format(most,
	names(9, most))
notes[#notes + 1] = ("Under unmovable, %.0f MiB of movable memory stay free, which huge pages cannot use.")
	:format(rows[#rows][6])

hvo.result("scope", {
	title = "Which pages are folded",
	question = "Which huge pages should be folded at all: what does each answer save, and what does it break?",
	parameters = { memory = memory, movable = movable, cma = bytes // 4, boot_pages = pages // 10 },
	x = "pool, MiB", y = "free memory of the kernel zone, MiB",
	series = series,
	columns = { "scope", "pages", "folded", "memmap MiB", "kernel MiB", "other MiB",
		    "offline/" .. sections, "CMA/" .. most, "kernel/" .. most },
	rows = rows,
	notes = notes,
})
