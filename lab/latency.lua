-- How long does it take to free one huge page, median and tail, on real memory?
--
-- A pool in memory of this process, shrunk by one page at a time, in rounds. These times are real:
-- they differ from run to run.

local memory = hvo.quick and "256M" or "1G"
local pages = hvo.quick and 32 or 384
local rounds = hvo.quick and 2 or 12

local function quantile(sorted, q)
	return sorted[math.max(1, math.ceil(q * #sorted))]
end

local function measure(mode, optimize)
	local m <close> = assert(hvo.machine{ platform = "linux", memory = memory, mode = mode,
					      optimize = optimize })
	local pool = assert(m:pool{})
	local times = {}
	for round = 1, rounds do
		assert(pool:resize(pages).done == pages)
		local list, freed = assert(pool:shrink_each(pages))
		assert(freed == pages)
		for _, ns in ipairs(list) do times[#times + 1] = ns end
	end
	table.sort(times)
	return times
end

local variants = {
	{ "on-demand", "on-demand", false },
	{ "Linux mode, HVO on", "linux", true },
	{ "Linux mode, HVO off", "linux", false },
}
local series = { { name = "median", points = {} }, { name = "p99", points = {} },
		 { name = "maximum", points = {} } }
local rows = {}
for i, v in ipairs(variants) do
	local times = measure(v[2], v[3])
	local at = { quantile(times, 0.5), quantile(times, 0.99), times[#times] }
	for k = 1, 3 do series[k].points[i] = { v[1], at[k] } end
	rows[i] = { v[1], #times, at[1], quantile(times, 0.9), at[2], at[3] }
	hvo.progress(i, #variants, v[1])
end

hvo.result("latency", {
	title = "Time per free",
	question = "How long does it take to free one huge page, median and tail, on real memory?",
	parameters = { platform = "linux", memory = memory, pages = pages, rounds = rounds },
	y = "ns", logy = true,
	series = series,
	columns = { "variant", "frees", "median ns", "p90 ns", "p99 ns", "maximum ns" },
	rows = rows,
	notes = {
		("Median: %d ns on demand, %d ns in Linux mode with HVO on, %d ns with HVO off."):format(
			rows[1][3], rows[2][3], rows[3][3]),
		("p99: %d ns on demand, %d ns with HVO on: %.1f times longer."):format(rows[1][5],
			rows[2][5], rows[2][5] / rows[1][5]),
	},
})
