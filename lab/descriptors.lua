-- How much memory do descriptors take over time, for workloads of mixed sizes, Linux mode against on-demand?
--
-- Each workload keeps a good part of the memory in use, in blocks that come and go: huge pages of a
-- pool that grows and shrinks with them, other large blocks, and small ones. What is measured is
-- all that descriptors take: set aside when memory came online, allocated since, and beside memory.

local memory = hvo.quick and "2G" or "16G"
local hours = hvo.quick and 4 or 12
local frames = hvo.size(memory) // 4096

-- Shares of the memory in use: a pool's huge pages, other blocks of 2 MiB, of 64 KiB, of 4 KiB.
local workloads = {
	{ name = "virtual machines", pool = 0.85, large = 0.02, medium = 0.01, small = 0.001 },
	{ name = "mixed", pool = 0.40, large = 0.25, medium = 0.05, small = 0.005 },
	{ name = "small blocks", pool = 0.00, large = 0.10, medium = 0.20, small = 0.020 },
}

-- Blocks that come so often, and live so long, that their share is in use on the average.
local function kind(share, order, life)
	local blocks = share * frames / 2^order
	return { order = order, life = life, rate = blocks / life }
end

local function mix(load, pool)
	local kinds, rate = {}, 0
	local all = {
		{ load.pool, 9, 4 * 3600, pool }, { load.large, 9, 2 * 3600 },
		{ load.medium, 4, 3600 }, { load.small, 0, 3 * 3600 },
	}
	for _, a in ipairs(all) do
		local k = kind(a[1], a[2], a[3])
		rate = rate + k.rate
		k.pool = a[4]
		kinds[#kinds + 1] = k
	end
	local list = {}
	for _, k in ipairs(kinds) do
		list[#list + 1] = { order = not k.pool and k.order or nil, pool = k.pool, life = k.life,
				    weight = math.floor(k.rate / rate * 1000000) }
	end
	return list, 1 / rate
end

local function run(load, mode)
	local m <close> = assert(hvo.machine{ memory = memory, mode = mode, clear = "never" })
	local pool = assert(m:pool{ policy = "mayfail" })
	assert(pool:set_overcommit(frames // 512))
	local list, every = mix(load, pool)
	local churn = m:churn{ every = every, mix = list }
	local points, sum, most = {}, 0, 0
	churn:run{ time = hours * 3600, every = hours * 3600 / 48, sample = function(t)
		m:work()
		local stat = m:stat()
		local taken = stat.memmap_boot + stat.memmap + stat.head_bytes / 4096
		points[#points + 1] = { t / 3600, 100 * taken / frames }
		sum = sum + taken
		most = math.max(most, taken)
		hvo.progress(t, hours * 3600, load.name .. ", " .. mode)
	end }
	local used = churn:stat().frames
	return points, sum / #points, most, used, churn:stat().failed, pool:stat().refused
end

local series, rows, notes = {}, {}, {}
for _, load in ipairs(workloads) do
	local mean = {}
	for _, mode in ipairs{ "linux", "on-demand" } do
		local points, average, most, used, failed, refused = run(load, mode)
		series[#series + 1] = { name = load.name .. ", " .. mode, points = points }
		rows[#rows + 1] = { load.name, mode, used / frames * 100, average * 4096 / 2^20,
				    most * 4096 / 2^20, average / frames * 100, failed, refused }
		mean[mode] = average
	end
	notes[#notes + 1] = ("%s: %.0f MiB in Linux mode, %.0f MiB on demand: %.1f times less."):format(
		load.name, mean.linux * 4096 / 2^20, mean["on-demand"] * 4096 / 2^20,
		mean.linux / mean["on-demand"])
end

hvo.result("descriptors", {
	title = "Memory for descriptors over time",
	question = "How much memory do descriptors take over time, for workloads of mixed sizes, Linux mode against on-demand?",
	parameters = { memory = memory, hours = hours },
	x = "hours", y = "descriptors, % of the memory",
	series = series,
	columns = { "workload", "mode", "in use at the end, %", "mean MiB", "most MiB", "mean %",
		    "not placed", "refused frees" },
	rows = rows,
	notes = notes,
})
