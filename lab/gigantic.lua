-- Can 1 GiB pages be freed, and turned into 2 MiB pages, under memory pressure?
--
-- They are in the pool from boot on, so the frames for their descriptors were never set aside.
-- One needs 4095 of them. Everything else is full but for some frames.

local memory = hvo.quick and "16G" or "1T"
local giants = hvo.quick and 2 or 32
local steps = hvo.quick and 2 or 10

-- The 1 GiB pages in their pool, nothing else free but left frames.
local function fill(m, pool, hog, left)
	hog:release()
	m:work()
	assert(pool:resize(giants))
	local stat = pool:stat()
	assert(stat.total == giants and stat.surplus == 0)
	hog:take_all(left)
	assert(m:stat().free_frames == left)
end

-- How many pages of 2 MiB does one become?
local function demote(m, pool, small, hog, left)
	fill(m, pool, hog, left)
	pool:demote(1)
	return small:stat().total
end

local names = { "on-demand", "noretry", "mayfail", "atomic", "carve", "carve-heal" }
local series, rows, min = {}, {}, nil
for i, name in ipairs(names) do
	local policy = name ~= "on-demand" and name or nil
	local m <close> = assert(hvo.machine{ memory = memory, clear = "never", boot_gigantic = giants,
					      mode = policy and "linux" or "on-demand" })
	-- One that waits without end is cut short: nothing comes while it waits.
	local pool = assert(m:pool{ size = "1G", policy = policy and hvo.policy(policy, 2) })
	local small = assert(m:pool{ size = "2M", policy = policy and hvo.policy(policy, 2) })
	local hog, points, need, none = m:hog{}, {}, nil, nil
	min = m:zone_stat(0, "normal").watermark_min
	for k = 0, steps do
		-- From nothing to the watermark and what two pages need.
		local left = (min + 2 * 4096) * k // steps
		fill(m, pool, hog, left)
		local done = assert(pool:resize(0))
		points[#points + 1] = { left * 4096 / 2^20, 100 * done.done / giants }
		none = none or done
		if done.done < giants then need = nil else need = need or left end
		hvo.progress((i - 1) * (steps + 1) + k, #names * (steps + 1), name)
	end
	series[i] = { name = name, points = points }
	rows[i] = { name, giants, none.done, none.carved, demote(m, pool, small, hog, 0),
		    need and math.floor(need * 4096 / 2^20 + 0.5) or "more" }
end

local all, none = {}, {}
for _, row in ipairs(rows) do
	if row[3] == row[2] then all[#all + 1] = row[1] end
	if row[3] == 0 then none[#none + 1] = row[1] end
end
local function list(names)
	return #names > 0 and table.concat(names, ", ") or "none"
end
hvo.result("gigantic", {
	title = "1 GiB pages under pressure",
	question = "Can 1 GiB pages be freed, and turned into 2 MiB pages, under memory pressure?",
	parameters = { memory = memory, gigantic_pages = giants, min_watermark_frames = min },
	x = "free memory, MiB", y = "1 GiB pages freed, %",
	series = series,
	columns = { "policy", "asked", "freed, none free", "carved", "demoted to, none free",
		    "MiB for all" },
	rows = rows,
	notes = {
		("With no free frame all are freed by: %s; none by: %s."):format(list(all), list(none)),
		("On demand one 1 GiB page becomes %d pages of 2 MiB with no free frame; under mayfail %d.")
			:format(rows[1][5], rows[3][5]),
	},
})
