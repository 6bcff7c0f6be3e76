-- How deep into the reserves does each policy dig to free huge pages?
--
-- One page after the other is freed, and somebody takes its 2 MiB at once, so that what a
-- restore takes is never made up for. How little memory is free when the policy gives up?

local memory = hvo.quick and "512M" or "1T"
local pages = hvo.quick and 128 or 8192

-- Returns the least free memory, the pages freed, and the zone's watermarks.
local function dig(policy)
	local m <close> = assert(hvo.machine{ memory = memory, clear = "never",
					      mode = policy and "linux" or "on-demand" })
	-- One that waits without end is cut short: nothing comes while it waits.
	local pool = assert(m:pool{ policy = policy and hvo.policy(policy, 2) })
	assert(pool:resize(pages).done == pages)
	local marks = m:zone_stat(0, "normal")
	local hog = m:hog{}
	hog:take_all(marks.watermark_min + 7 * pages // 4)
	local start = m:stat().free_frames
	local least, freed = start, 0
	for left = pages - 1, 0, -1 do
		local done = assert(pool:resize(left))
		if done.done == 0 then break end
		freed = freed + 1
		-- 2 MiB in one piece, or what carving left of it.
		if done.carved > 0 then hog:take(512 - 7) else hog:take(1, 9) end
		least = math.min(least, m:stat().free_frames)
	end
	return least, freed, marks, start, pool:stat().carved
end

local names = { "on-demand", table.unpack(hvo.policies()) }
local points, rows, deepest = {}, {}, nil
local marks
for i, name in ipairs(names) do
	local least, freed, start, carved
	least, freed, marks, start, carved = dig(name ~= "on-demand" and name or nil)
	points[i] = { name, least * 4096 / 2^20 }
	rows[i] = { name, freed, carved, least, 100 * least / marks.watermark_min }
	if not deepest or least < deepest[2] then deepest = { name, least } end
	hvo.progress(i, #names, name)
end

local into, kept = {}, {}
for _, row in ipairs(rows) do
	local list = row[4] < marks.watermark_min and into or kept
	list[#list + 1] = row[1]
end
hvo.result("reserves", {
	title = "How deep each policy digs into the reserves",
	question = "How little memory is free when a policy gives up, if what it frees is taken at once?",
	parameters = { memory = memory, pages = pages, watermark_min = marks.watermark_min },
	y = "least free memory, MiB",
	series = { { name = "least free memory", points = points } },
	columns = { "policy", "pages freed", "carved", "least free frames", "% of the min watermark" },
	rows = rows,
	notes = {
		("%s digs deepest: down to %.1f %% of the min watermark."):format(deepest[1],
			100 * deepest[2] / marks.watermark_min),
		("Below the min watermark: %s. Not below it: %s."):format(
			#into > 0 and table.concat(into, ", ") or "none", table.concat(kept, ", ")),
	},
})
