-- How many blocks does carving spoil in a week of churn, against carve-heal and on-demand?
--
-- Every two hours a pool grows, everything else fills up, and the pool is
-- freed again with no frame left. Meanwhile small blocks come and go, as in any machine, and
-- what was put off is done once an hour.

local memory = hvo.quick and "1G" or "64G"
local hours = hvo.quick and 24 or 7 * 24
local pages = hvo.size(memory) // hvo.size("2M") // (hvo.quick and 2 or 16)

-- Small blocks that take some 1 % of the memory.
local function small_blocks(m)
	local frames = hvo.size(memory) // 4096
	local every = 3600 * 400 / (frames // (hvo.quick and 50 or 500))
	return m:churn{ every = every, mix = {
		{ order = 0, weight = 60, life = "10m" },
		{ order = 2, weight = 30, life = "1h" },
		{ order = 4, weight = 10, life = "8h" },
	} }
end

-- One round: grow, fill, shrink with nothing left, and let go.
local function round(m, pool, hog)
	assert(pool:resize(pages))
	hog:take_all()
	local done = assert(pool:resize(0))
	hog:release()
	return done.carved
end

local function week(policy)
	local m <close> = assert(hvo.machine{ memory = memory, clear = "never",
					      mode = policy and "linux" or "on-demand" })
	local pool = assert(m:pool{ policy = policy })
	local churn, hog = small_blocks(m), m:hog{}
	local points, carved, most = {}, 0, 0
	churn:run{ time = hours * 3600, every = "1h", sample = function(t)
		local hour = t // 3600
		if hour % 2 == 0 then carved = carved + round(m, pool, hog) end
		m:work()
		local spoiled = m:stat().carved_blocks
		most = math.max(most, spoiled)
		points[#points + 1] = { hour / 24, spoiled }
		hvo.progress(hour, hours, policy or "on-demand")
	end }
	churn:release()
	m:work()
	m:collapse()
	local findings = m:audit()
	assert(findings == 0, "the audit found something")
	return points, { policy or "on-demand", carved, most, m:stat().carved_blocks,
			 m:stat().moved }
end

local series, rows = {}, {}
for i, name in ipairs{ "carve", "carve-heal", "on-demand" } do
	local points, row = week(name ~= "on-demand" and name or nil)
	series[i] = { name = name, points = points }
	rows[i] = row
end

hvo.result("carve", {
	title = "Blocks spoiled by carving",
	question = "How many blocks does carving spoil in a week of churn, against carve-heal and on-demand?",
	parameters = { memory = memory, hours = hours, pages = pages },
	x = "days", y = "blocks of 2 MiB that are spoiled",
	series = series,
	columns = { "policy", "carved", "most at once", "left when all is free", "descriptor frames moved" },
	rows = rows,
	notes = {
		("Policy carve spoiled %d blocks, and with all memory free again %d stay so.")
			:format(rows[1][2], rows[1][4]),
		("Policy carve-heal carved %d, and %d stay; on-demand carved %d.")
			:format(rows[2][2], rows[2][4], rows[3][2]),
	},
})
