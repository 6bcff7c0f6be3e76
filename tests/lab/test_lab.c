/* SPDX-License-Identifier: MIT */
/*
 * The lab: bindings against the C functions that they stand for, what scripts may not do, the
 * same bytes from the same seed, the experiments, and the report.
 */

#include "command.h"

#include "common/box.h"
#include "lab/internal.h"
#include "lab/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- lines of Lua ----------------------------------------------------------------- */

static lua_State *open_lab(uint64_t seed)
{
	struct lab_options opt = { .seed = seed, .quick = true };
	lua_State *L = lab_open(&opt);

	assert_non_null(L);
	return L;
}

/* It must go well. */
static void good(lua_State *L, const char *text)
{
	char *error = NULL, *statements;
	enum lab_line rc;

	/* No expression: its value would be printed. */
	assert_true(asprintf(&statements, "do end %s", text) > 0);
	rc = lab_run_line(L, statements, &error);
	if (rc != LAB_LINE_OK)
		fail_msg("%s: %s", text, error ? error : "unfinished");
	free(statements);
}

/* It must be an error that has a place, and these words. */
static void bad(lua_State *L, const char *text, const char *words)
{
	char *error = NULL;
	enum lab_line rc = lab_run_line(L, text, &error);

	if (rc != LAB_LINE_FAILED || !error)
		fail_msg("%s: no error", text);
	else if (strncmp(error, "shell:", 6) != 0 || !strstr(error, words))
		fail_msg("%s: %s", text, error);
	free(error);
}

/* ---- the bindings and the library --------------------------------------------------- */

static uint64_t global_number(lua_State *L, const char *name)
{
	lua_Integer n;

	lua_getglobal(L, name);
	assert_true(lua_isinteger(L, -1));
	n = lua_tointeger(L, -1);
	lua_pop(L, 1);
	return (uint64_t)n;
}

/* The same steps by a script and by hand. */
static void test_same_as_library(void **state)
{
	const struct hvo_config cfg = { .size = sizeof(cfg),
					.memory_bytes = UINT64_C(512) << 20,
					.nr_nodes = 2,
					.mode = HVO_LINUX,
					.optimize = true };
	struct hvo_pool_stat in_pool = { .size = sizeof(in_pool) };
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct hvo_zone_stat zone = { .size = sizeof(zone) };
	struct hvo_pool *pool;
	lua_State *L = open_lab(7);
	hvo_pfn_t pfn;
	struct box box;

	(void)state;
	good(L, "m = assert(hvo.machine{memory='512M', nodes=2, mode='linux'}) "
		"pool = assert(m:pool{size='2M', policy='noretry'}) r = assert(pool:resize(40)) "
		"pfn = assert(m:alloc(3, 'kernel', 1)) page = assert(pool:alloc()) "
		"s = m:stat() p = pool:stat() z = m:zone_stat(1, 'normal')");
	good(L, "done, free, memmap = r.done, s.free_frames, s.memmap "
		"total, in_pool, opt = p.total, p.free, p.optimized "
		"zfree, low, blocks = z.free, z.watermark_low, z.nr_free[9]");

	assert_int_equal(box_open(&box, &cfg, true, NULL, 7), 0);
	assert_int_equal(hvo_pool_create(box.m, HVO_PAGEBLOCK_ORDER, &pool), 0);
	assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find("noretry")), 0);
	assert_int_equal(hvo_pool_resize(pool, HVO_NODE_ANY, 40, &res), 0);
	assert_int_equal(hvo_alloc_pages(box.m, HVO_GFP_KERNEL, 3, 1, &pfn), 0);
	assert_int_equal(global_number(L, "pfn"), pfn);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_USER, HVO_NODE_ANY, &pfn), 0);
	assert_int_equal(global_number(L, "page"), pfn);
	hvo_machine_stat(box.m, &stat);
	assert_int_equal(hvo_pool_stat(pool, HVO_NODE_ANY, &in_pool), 0);
	assert_int_equal(hvo_zone_stat(box.m, 1, HVO_ZONE_NORMAL, &zone), 0);
	assert_int_equal(global_number(L, "done"), res.done);
	assert_int_equal(global_number(L, "free"), stat.free_frames);
	assert_int_equal(global_number(L, "memmap"), stat.memmap);
	assert_int_equal(global_number(L, "total"), in_pool.total);
	assert_int_equal(global_number(L, "in_pool"), in_pool.free);
	assert_int_equal(global_number(L, "opt"), in_pool.optimized);
	assert_int_equal(global_number(L, "zfree"), zone.free);
	assert_int_equal(global_number(L, "low"), zone.watermark_low);
	assert_int_equal(global_number(L, "blocks"), zone.nr_free[9]);
	box_close(&box);
	lab_close(L);
}

static void test_bindings(void **state)
{
	static const char *const lines[] = {
		"m = hvo.machine{memory='1G', nodes=2, movable='128M', cma='128M', hotplug='128M'}",
		/* frames */
		"a = assert(m:alloc(4)) assert(m:get(a + 3) == a) assert(m:put(a))",
		"assert(m:page(a).state == 'used' and m:page(a + 1).head == a)",
		"assert(m:map(a) and not m:put(a) and m:unmap(a))",
		"assert(m:split(a, 2)) for i = 0, 12, 4 do assert(m:put(a + i)) end",
		"assert(select(2, m:put(a)) == 'EINVAL' and select(2, m:get(a)) == 'EBUSY')",
		"b = assert(m:alloc(9, 'user')) assert(m:page(b).order == 9 and m:page(b).folded)",
		"assert(select(2, m:memory_failure(b + 1)) == 'EBUSY') assert(m:put(b))",
		"m:work() assert(m:poisoned()[1] == b + 1 and #m:poisoned() == 1)",
		"r = hvo.machine{memory='128M'} for i = 1, 1100 do r:memory_failure(20000 + i) end",
		"assert(#r:poisoned() == 1100 and r:poisoned()[1100] == 21100) r:close()",
		/* pools */
		"p = assert(m:pool{}) g = assert(m:pool{size='8M'}) assert(g:resize(4).done == 4)",
		"assert(g:demote(1) == 1 and p:stat().total == 4 and g:stat().total == 3)",
		"assert(p:reserve(2) and p:stat().reserved == 2) c = assert(p:alloc_reserved())",
		"assert(p:free_reserved(c) and p:unreserve(2) and p:stat().reserved == 0)",
		"assert(p:set_overcommit(4)) o = {} for i = 1, 8 do o[i] = assert(p:alloc()) end",
		"assert(p:stat().surplus == 4 and select(2, p:alloc()) == 'ENOMEM')",
		"for i = 1, 8 do assert(p:free(o[i])) end assert(p:stat().total == 4)",
		"t, n = p:shrink_each(100) assert(#t == 4 and n == 4 and p:stat().total == 0)",
		"assert(m:dissolve(0) and g:resize(0).done == 3)",
		"l = hvo.machine{memory='128M', mode='linux'} q = l:pool{} q:set_overcommit(1)",
		"e = assert(q:alloc()) assert(l:page(e).state == 'hugetlb_used' and l:page(e).folded)",
		"assert(q:free(e) and l:page(e).state == 'taken' and l:audit() == 0)",
		"l:work() assert(l:page(e).state ~= 'taken' and l:audit() == 0) l:close()",
		/* ranges */
		"s = assert(m:contig_pages(1000)) assert(m:free_contig(s, s + 1000))",
		"assert(m:contig(1 << 15, (1 << 15) + 77) and m:free_contig(1 << 15, (1 << 15) + 77))",
		"x = assert(m:cma('4M', 0)) y = assert(x:alloc(512, 9)) assert(x:stat().used == 512)",
		"assert(x:release(y, 512) and x:stat().used == 0 and x:stat().frames == 1024)",
		/* memory that comes and goes */
		"h = 1 << 18 assert(m:section_state(h) == 'absent')",
		"assert(m:memory_add(1, h, h + 32768, {on_memory = true}))",
		"assert(m:memory_online(h, h + 32768, 'movable') and m:section_state(h) == 'online')",
		"assert(m:memory_offline(h, h + 32768) and m:memory_remove(h, h + 32768))",
		/* what is movable moves */
		"k = m:hog{movable = true} assert(k:take(3, 9) == 3) f = k:pfn(2)",
		"d = assert(m:migrate(f)) assert(d ~= f and k:pfn(2) == d and k:stat().blocks == 3)",
		"assert(k:shuffle(3) and k:release(1) == 1 and k:stat().frames == 1024)",
		"assert(select(2, m:migrate(assert(m:alloc(0)))) == 'EINVAL')",
		/* time, work, events */
		"n = m:now() assert(m:sleep('90m') and m:now() - n >= 5400)",
		"assert(m:work() >= 0 and m:collapse() >= 0 and m:compact() >= 0)",
		"assert(m:report_free(9) > 0 and m:stat().reported > 0)",
		"assert(m:events().poisoned == 1 and m:events().cut > 0)",
		"assert(m:config().nodes == 2 and m:config().mode == 'on-demand')",
		"assert(m:audit() == 0) m:close() m:close() assert(tostring(m) == 'machine (closed)')",
		/* nodes that are not alike */
		"b = {[0]=2, [2]=1}",
		"m = hvo.machine{memory='12G', nodes=3, movable_nodes={1}, max_order=10, boot_gigantic=b}",
		"g = assert(m:pool{size='1G'}) assert(g:stat().total == 3 and g:stat(0).total == 2)",
		"assert(g:stat(1).total == 0 and m:config().boot_gigantic == 3)",
		"assert(#m:config().movable_nodes == 1 and m:config().movable_nodes[1] == 1)",
		"assert(m:zone_stat(1, 'normal').present == 0 and m:audit() == 0) m:close()",
		"assert(not pcall(hvo.machine, {boot_gigantic = {[64] = 1}}))",
		"assert(not pcall(hvo.machine, {boot_gigantic = {'x'}}))",
		"assert(not pcall(hvo.machine, {movable_nodes = 1}))",
		"assert(select(2, hvo.machine{movable_nodes = {0}}) == 'EINVAL')",
		/* on real memory */
		"m = assert(hvo.machine{platform='linux', memory='128M'})",
		"assert(m:pool{}:resize(5).done == 5 and m:audit() == 0) m:close()",
	};
	lua_State *L = open_lab(1);
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		good(L, lines[i]);
	lab_close(L);
}

/* take_all() leaves exactly what it is told to, in either mode. */
static void test_hog(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L, "for _, mode in ipairs{'linux', 'on-demand'} do "
		"for _, left in ipairs{0, 1, 7, 300, 505, 512, 1023, 5000} do "
		"local m <close> = assert(hvo.machine{memory='128M', mode=mode}) "
		"local h = m:hog{} h:take_all(left) "
		"assert(m:stat().free_frames == left, mode .. left) "
		"assert(h:release() > 0 and h:stat().frames == 0) m:collapse() "
		"assert(m:audit() == 0) end end");
	lab_close(L);
}

static void test_policies(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L, "assert(#hvo.policies() == 8) "
		"m = hvo.machine{memory='128M', mode='linux', min_free='4k'} p = m:pool{} "
		"for _, n in ipairs(hvo.policies()) do "
		"local t = hvo.policy(n) assert(t.name == n and #t.steps >= 1) "
		"assert(p:set_policy(n) and p:set_policy(t)) end");
	good(L, "assert(hvo.policy('retry').steps[1].retries == math.huge)");
	/* One of our own: from the reserves, then from the page itself. */
	good(L, "assert(p:set_policy{name='mine', heal=true, steps={{source='alloc', "
		"flags='memalloc'}, {source='carve'}}}) "
		"p:grow_all() h = m:hog{} h:take_all() r = p:resize(0) "
		"assert(r.done == r.asked and r.carved > 0 and m:stat().carved_blocks > 0) "
		"h:release() m:work() assert(m:stat().carved_blocks == 0 and m:audit() == 0)");
	/* What the library does not take. */
	good(L, "assert(select(2, p:set_policy{name='x', steps={}}) == 'EINVAL')");
	bad(L, "p:set_policy('nonsense')", "hvo.policies()");
	bad(L, "p:set_policy{name='x', steps={{source='sky'}}}", "sky");
	bad(L, "p:set_policy{name='x', steps={{},{},{},{},{}}}", "4 at most");
	bad(L, "p:set_policy{name=string.rep('x', 99), steps={{}}}", "15 characters");
	bad(L, "p:set_policy{name='x', steps={{retries=-1}}}", "retries");
	bad(L, "p:set_policy{name='x', steps={{delay=0/0}}}", "delay");
	lab_close(L);
}

static void test_scopes(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L,
	     "assert(table.concat(hvo.scopes(), ' ') == 'all boot normal unmovable') "
	     "m = hvo.machine{memory='512M', movable='256M', mode='linux'} "
	     "p = m:pool{scope='boot', boot=10} assert(p:scope() == 'boot') "
	     "p:resize(15) s = p:stat() "
	     "assert(s.total == 15 and s.optimized == 10 and s.out_of_scope == 5) "
	     "for _, n in ipairs(hvo.scopes()) do assert(p:set_scope(n) and p:scope() == n) end");
	/* All pages are in movable memory, and stay there. */
	good(L,
	     "f = p:alloc() assert(select(2, m:migrate(f)) == 'EINVAL') assert(p:free(f)) "
	     "h = m:hog{movable=true} h:take_pool(p, 1) "
	     "assert(select(2, m:migrate(h:pfn(1))) == 'EBUSY' and p:stat().moves_refused == 1) "
	     "m:set_optimize(false) assert(m:migrate(h:pfn(1)) and p:stat().move_restores == 0)");
	bad(L, "p:set_scope('norma')", "hvo.scopes()");
	bad(L, "p:set_scope(3)", "hvo.scopes()");
	bad(L, "m:pool{scope={}}", "hvo.scopes()");
	bad(L, "m:pool{boot=-1}", "boot");
	good(L, "d = hvo.machine{memory='128M'} p = d:pool{boot=3} assert(p:stat().total == 3) "
		"assert(select(2, p:set_scope('all')) == 'EINVAL') "
		"assert(select(2, p:scope()) == 'EINVAL') "
		"assert(select(2, d:pool{scope='all'}) == 'EINVAL')");
	lab_close(L);
}

/* ---- what calls back ------------------------------------------------------------------ */

static void test_shrinker(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L, "m = hvo.machine{memory='128M', mode='linux'} h = m:hog{} calls = 0 "
		"s = m:shrinker(function(n) calls = calls + 1 local b = h:stat().frames "
		"h:release(8) return b - h:stat().frames end) "
		"h:take_all() assert(m:alloc(0, 'kernel')) assert(calls > 0)");
	/* Calls that may wait are errors in there, and an error comes out of the outer call. */
	bad(L,
	    "s:remove() s = m:shrinker(function() m:collapse() end) h:take_all() "
	    "m:alloc(0, 'kernel')",
	    "may wait");
	good(L, "assert(m:audit() == 0)");
	bad(L, "s:remove() s = m:shrinker(function() error('I am full') end) m:alloc(0, 'kernel')",
	    "I am full");
	bad(L, "s:remove() s = m:shrinker(function() return 'many' end) m:alloc(0, 'kernel')",
	    "how many frames");
	bad(L, "s:remove() s = m:shrinker(function() return -1 end) m:alloc(0, 'kernel')",
	    "how many frames");
	bad(L,
	    "s:remove() s = m:shrinker(function() m:alloc(0, 'kernel') end) m:alloc(0, 'kernel')",
	    "may wait");
	bad(L, "s:remove() s = m:shrinker(function() m:close() end) m:alloc(0, 'kernel')",
	    "in use");
	bad(L,
	    "s:remove() s = m:shrinker(function() coroutine.yield() end) "
	    "coroutine.wrap(function() m:alloc(0, 'kernel') end)()",
	    "yield");
	bad(L, "s:remove() s = m:shrinker(function() s:remove() end) m:alloc(0, 'kernel')",
	    "may wait");
	/* An allocation that does not wait is fine there, and so is another machine. */
	good(L, "s:remove() h:release(3) s = m:shrinker(function() local o <close> = "
		"hvo.machine{memory='128M'} o:alloc(0) local p = m:alloc(0, 'nowarn') "
		"if p then m:put(p) end return 0 end) h:take_all() m:alloc(0, 'kernel|nowarn')");
	good(L, "assert(s:remove()) assert(select(2, s:remove()) == 'EINVAL')");
	good(L, "n = 0 m:oom(function(o) n = n + 1 return h:release(4) * 1 end) "
		"assert(m:alloc(0, 'kernel') and n > 0) m:oom(nil)");
	bad(L, "h:take_all() m:oom(function() error('no') end) m:alloc(0, 'kernel')", "no");
	good(L, "m:oom(nil) assert(m:audit() == 0) m:close()");
	lab_close(L);
}

/* A script that frees what is not its own harms nobody else. */
static void test_not_ours(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L,
	     "m = hvo.machine{memory='256M', mode='linux'} h = m:hog{} assert(h:take(2, 9) == 2) "
	     "x = h:pfn(2) assert(m:put(x)) o = m:hog{} assert(o:take(1, 9) == 1 and o:pfn(1) == x)");
	/* The first hog's entry is stale, the block is the other one's. */
	good(L, "h:release() assert(m:page(x).state == 'used' and m:put(x)) o:release() "
		"assert(m:audit() == 0)");
	/* From a shrinker only what a hog or the script took as a block: the rest may be in work. */
	good(L, "c = m:contig_pages(512) x = m:alloc(0, 'user') h:take_all() "
		"s = m:shrinker(function() foreign = foreign or m:put(c) or m:unmap(c) "
		"own = own or m:put(x) return 0 end) m:alloc(0, 'kernel') "
		"assert(own and not foreign and m:page(c).refs == 1) s:remove() "
		"assert(m:free_contig(c, c + 512) and m:audit() == 0)");
	lab_close(L);
}

/* ---- workloads -------------------------------------------------------------------------- */

static void test_churn(void **state)
{
	lua_State *L = open_lab(3);

	(void)state;
	good(L, "m = hvo.machine{memory='256M'} p = m:pool{} p:resize(20) "
		"c = m:churn{every='100ms', movable=true, mix={{order=0, weight=10, life='20s'}, "
		"{order=9, life='10s'}, {pool=p, life='30s'}}}");
	good(L,
	     "n = 0 start = m:now() r = c:run{time='5m', every='1m', sample=function(t) n = n + 1 "
	     "assert(t == 60 * n) end} assert(n == 5 and r.time == 300 and r.allocs > 2000) "
	     "assert(m:now() - start >= 300 and r.allocs - r.frees == r.blocks)");
	good(L, "r = c:run{ops=10} assert(m:audit() == 0)");
	/* What it holds can be moved, and is found again. */
	good(L, "assert(m:compact() >= 0) c:run{time='1m'} assert(m:audit() == 0) "
		"assert(c:release() > 0 and c:stat().frames == 0) m:collapse() "
		"assert(m:audit() == 0 and p:stat().free == 20)");
	bad(L, "c:run{time='1m', every='1s', sample=function() c:run{ops=1} end}", "is running");
	bad(L, "c:run{time='1m', every='1s', sample=function() error('stop') end}", "stop");
	good(L, "c:run{ops=1}"); /* it is not running any more */
	bad(L, "c:run{}", "how long");
	bad(L, "c:run{time=1, every=1}", "belong together");
	bad(L, "c:run{time=1, every=1, sample=1}", "a function");
	bad(L, "m:churn{mix={}}", "nothing comes");
	bad(L, "m:churn{mix={{order=19}}}", "order");
	bad(L, "m:churn{every=0, mix={{}}}", "every");
	bad(L, "m:churn{mix={{pool=hvo.machine{}:pool{}}}}", "another machine");
	/* The machine goes away under it. */
	bad(L, "c:run{time='1m', every='1s', sample=function() m:close() end} c:run{ops=1}",
	    "closed");
	bad(L, "c:stat()", "closed");
	lab_close(L);
}

static void test_replay(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L, "m = hvo.machine{memory='128M'} "
		"h, r = m:replay{text='# begin\\n0 alloc 1 9\\n\\n5 alloc 2 0 # small\\n"
		"1000000000 free 1\\n2000000000 alloc 1 3\\n2000000001 free 7\\n'} "
		"assert(r.allocs == 3 and r.frees == 1 and r.missed == 1 and r.peak_frames == 513) "
		"assert(h:stat().blocks == 2 and h:stat().frames == 9 and m:now() >= 2)");
	good(L, "n = 0 m:replay{text='10000000000 alloc 1 0\\n', every=1, sample=function(t) "
		"n = n + 1 assert(t == n) end} assert(n == 10)");
	good(L, "assert(h:take(3) == 3 and h:release() == 5 and m:audit() == 0)");
	bad(L, "m:replay{text='0 alloc 1 9\\n0 alloc 1 9'}", "text:2: this number is in use");
	bad(L, "m:replay{text='9 alloc 1 9\\n0 free 1'}", "text:2: time goes backwards");
	bad(L, "m:replay{text='nonsense'}", "text:1:");
	bad(L, "m:replay{text='0 alloc 1'}", "text:1:");
	bad(L, "m:replay{text='0 alloc 1 19'}", "text:1:");
	/* Numbers may be any up to the largest, and far between. */
	good(L, "h, r = m:replay{text='0 alloc 16777215 1\\n0 alloc 0 1\\n0 free 16777215\\n"
		"0 free 5000000\\n0 alloc 16777215 1'} assert(r.frees == 1 and r.missed == 1 and "
		"h:stat().blocks == 2) h:release()");
	bad(L, "m:replay{text='0 alloc 16777216 1'}", "text:1:");
	bad(L, "m:replay{text='0 alloc 99999999999 1'}", "text:1:");
	bad(L, "m:replay{text='99999999999999999999 free 1'}", "text:1:");
	bad(L, "m:replay{file='/nonexistent'}", "/nonexistent");
	bad(L, "m:replay{}", "file or text");
	bad(L,
	    "m:replay{text='0 free 1\\n9000000000 free 1', every=1, sample=function() m:close() end}",
	    "closed");
	lab_close(L);
}

/* ---- nonsense ---------------------------------------------------------------------------- */

static void test_nonsense(void **state)
{
	static const struct {
		const char *line, *words;
	} lines[] = {
		{ "hvo.machine{memroy='1G'}", "there is no option 'memroy'" },
		{ "hvo.machine{'1G'}", "there is no option '1'" },
		{ "hvo.machine{memory='much'}", "is not a size" },
		{ "hvo.machine{memory=0/0}", "a size is" },
		{ "hvo.machine{memory=-1}", "a size is" },
		{ "hvo.machine{memory=1.5}", "a size is" },
		{ "hvo.machine{memory={}}", "a size is" },
		{ "hvo.machine{memory='99999999999999999999'}", "is not a size" },
		{ "hvo.machine{nodes=65}", "nodes" },
		{ "hvo.machine{nodes=1e300}", "nodes" },
		{ "hvo.machine{platform='moon'}", "moon" },
		{ "hvo.machine{mode=1}", "a string" },
		{ "hvo.machine{optimize=1}", "true or false" },
		{ "hvo.machine(1)", "table expected" },
		{ "m:alloc()", "number expected" },
		{ "m:alloc(-1)", "an order is" },
		{ "m:alloc(19)", "an order is" },
		{ "m:alloc(math.mininteger)", "an order is" },
		{ "m:alloc(0/0)", "no integer representation" },
		{ "m:alloc(0, 'sky')", "'sky' is not an allocation flag" },
		{ "m:alloc(0, 'user', 64)", "a node is" },
		{ "m.alloc(1, 0)", "hvo.machine expected" },
		{ "m.alloc(p, 0)", "hvo.machine expected" },
		{ "p.resize(m, 0)", "hvo.pool expected" },
		{ "p:resize(-1)", "negative" },
		{ "m:put(-1)", "negative" },
		{ "m:put(2^70)", "no integer representation" },
		{ "m:pool{size='3M'}", "a power of two" },
		{ "m:pool{size='4k'}", "a power of two" },
		{ "m:pool{policy=1}", "a policy is" },
		{ "m:zone_stat(0, 'nowhere')", "nowhere" },
		{ "m:sleep(-1)", "a time is" },
		{ "m:sleep('5 fortnights')", "a time is" },
		{ "m:sleep('1.2.3s')", "a time is" },
		{ "m:sleep(1e300)", "a time is" },
		{ "m:shrinker(1)", "function expected" },
		{ "m:oom(1)", "a function" },
		{ "m:hog{node=99}", "a node is" },
		{ "m:hog{}:take_pool(hvo.machine{}:pool{})", "another machine" },
		{ "hvo.policy('nonsense')", "no policy" },
		{ "hvo.size('x')", "is not a size" },
		{ "local x = pairs(1)", "pairs() needs a table" },
		{ "load('\\27Lua')()", "attempt to call a nil value" },
		{ "debug.getmetatable(m)", "debug" },
		{ "getmetatable(m).__gc(m)", "index a boolean" },
		{ "getmetatable(p).__index = {}", "index a boolean" },
		{ "assert(m:put(5))", "EINVAL" },
		{ "error({})", "table" },
		{ "local function f() return f() + 1 end f()", "stack overflow" },
		{ "string.rep('x', 1 << 40)", "" },
	};
	lua_State *L = open_lab(1);
	unsigned int i;

	(void)state;
	good(L, "m = hvo.machine{memory='128M'} p = m:pool{}");
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		bad(L, lines[i].line, lines[i].words);
	/* What the library refuses is no error of Lua's. */
	good(L, "assert(select(2, hvo.machine{memory='100M'}) == 'EINVAL')");
	good(L, "assert(select(2, hvo.machine{memory='32T'}) == 'EINVAL')");
	good(L, "assert(select(2, hvo.machine{max_order=3}) == 'EINVAL')");
	good(L, "assert(select(2, m:put(math.maxinteger)) == 'EINVAL')");
	good(L, "assert(select(2, m:contig(0, math.maxinteger)) == 'EINVAL')");
	good(L, "assert(select(2, m:memory_offline(0, math.maxinteger)) == 'EINVAL')");
	good(L, "assert(select(2, m:page(math.maxinteger)) == 'EINVAL')");
	good(L, "assert(select(2, p:resize(1, 63)) == 'EINVAL')");
	good(L, "x = m:alloc(0) assert(m:put(x) and select(2, m:put(x)) == 'EINVAL')");
	good(L, "assert(m:audit() == 0)");
	/* All that belonged to a machine that is closed. */
	good(L,
	     "h = m:hog{} c = m:churn{mix={{}}} s = m:shrinker(function() end) h:take(4) m:close()");
	bad(L, "m:stat()", "closed");
	bad(L, "p:stat()", "closed");
	bad(L, "h:release()", "closed");
	bad(L, "c:run{ops=1}", "closed");
	bad(L, "s:remove()", "closed");
	bad(L, "m:hog{}", "closed");
	good(L, "h, c, s, m, p = nil collectgarbage()");
	lab_close(L);
}

/* ---- random calls -------------------------------------------------------------------------- */

/* names.KIND = { "method", ... } from the tables that the bindings are made of. */
static void push_names(lua_State *L, const char *kind, const struct lab_binding *const *lists)
{
	const struct lab_binding *b;
	lua_Integer n = 0;

	lua_getglobal(L, "names");
	lua_newtable(L);
	for (; *lists; lists++)
		for (b = *lists; b->name; b++) {
			lua_pushstring(L, b->name);
			lua_rawseti(L, -2, ++n);
		}
	lua_setfield(L, -2, kind);
	lua_pop(L, 1);
}

static void test_random_calls(void **state)
{
	static const struct lab_binding *const machine[] = { lab_machine_bindings,
							     lab_frames_bindings,
							     lab_range_bindings, lab_work_bindings,
							     NULL };
	static const struct lab_binding *const pool[] = { lab_pool_bindings, NULL };
	static const struct lab_binding *const hog[] = { lab_hog_bindings, NULL };
	static const struct lab_binding *const churn[] = { lab_churn_bindings, NULL };
	static const struct lab_binding *const cma[] = { lab_cma_bindings, NULL };
	lua_State *L = open_lab(1);
	char line[128];
	uint64_t seed[64];
	size_t nr = seeds_of_test(seed, sizeof(seed) / sizeof(seed[0])), i;

	(void)state;
	lua_newtable(L);
	lua_setglobal(L, "names");
	push_names(L, "machine", machine);
	push_names(L, "pool", pool);
	push_names(L, "hog", hog);
	push_names(L, "churn", churn);
	push_names(L, "cma", cma);
	good(L, "dofile('" HVO_SOURCE "/tests/lab/random.lua')");
	for (i = 0; i < nr; i++) {
		repeat_with("HVO_SEED", "%llu", (unsigned long long)seed[i]);
		(void)snprintf(line, sizeof(line), "fuzz(%llu, '%s', 2000)",
			       (unsigned long long)seed[i], seed[i] % 2 ? "on-demand" : "linux");
		good(L, line);
	}
	/* One seed alone does not get everywhere. */
	if (nr > 1)
		good(L, "worked(55)");
	lab_close(L);
}

/* ---- the command ------------------------------------------------------------------------------ */

static char dir[] = "/tmp/hvo-test-lab-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char line[128];

	(void)state;
	(void)snprintf(line, sizeof(line), "rm -rf %s", dir);
	return system(line);
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static char *read_file(const char *name)
{
	size_t max = 1 << 22, len;
	char path[128], *text = malloc(max);
	FILE *f;

	assert_non_null(text);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(text, 1, max - 1, f);
	text[len] = '\0';
	fclose(f);
	return text;
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int nr = 0;

	for (; (text = strstr(text, what)); text++)
		nr++;
	return nr;
}

/* One line, that status, these words. */
static void refused(int wanted, const char *args, const char *words)
{
	int status;
	char *out = run_shell(&status, "cd %s && %s %s 2>&1", dir, HVO_COMMAND, args);

	if (status != wanted || count(out, "\n") != 1 || !strstr(out, words))
		fail_msg("hvo %s: status %d: %s", args, status, out);
	free(out);
}

static void test_run(void **state)
{
	int status;
	char *out;

	(void)state;
	refused(2, "run", "needs a script");
	refused(2, "run --frob", "--frob");
	refused(2, "run --seed x y.lua", "--seed");
	refused(1, "run nonexistent.lua", "nonexistent.lua");
	write_file("broken.lua", "local x = \n= 1\n");
	refused(1, "run broken.lua", "broken.lua:2:");
	write_file("failing.lua", "\n\nassert(hvo.machine{memory = '100M'})\n");
	refused(1, "run -o out failing.lua", "failing.lua:3: EINVAL");
	write_file("binary.lua", "\033Lua");
	refused(1, "run binary.lua", "binary");
	write_file("args.lua", "print(hvo.seed, hvo.quick, arg[0], #arg, arg[1], arg[2])");
	out = run_shell(&status, "cd %s && %s run --quick args.lua --seed 9 -- --json -o 2>&1", dir,
			HVO_COMMAND);
	assert_int_equal(status, 0);
	assert_string_equal(out, "9\ttrue\targs.lua\t2\t--json\t-o\n");
	free(out);
	/* What is not for the script is not handed to it. */
	refused(2, "run args.lua args.lua", "one script at a time");
	refused(2, "run args.lua --frob", "--frob");
	refused(2, "run args.lua --sede 9", "did you mean --seed?");
}

static void test_result(void **state)
{
	static const char *const nonsense[] = {
		"hvo.result()",
		"hvo.result('', {})",
		"hvo.result('a', 1)",
		"hvo.result('a', {ttile='x'})",
		"hvo.result('a', {title=1})",
		"hvo.result('a', {series=1})",
		"hvo.result('a', {series={1}})",
		"hvo.result('a', {series={{points={}}}})",
		"hvo.result('a', {series={{name='x'}}})",
		"hvo.result('a', {series={{name='x', points={{1}}}}})",
		"hvo.result('a', {series={{name='x', points={{1, 'y'}}}}})",
		"hvo.result('a', {series={{name='x', points={{1, 0/0}}}}})",
		"hvo.result('a', {rows={{1}}})",
		"hvo.result('a', {columns={}, rows={}})",
		"hvo.result('a', {columns={1}})",
		"hvo.result('a', {columns={'x'}, rows={{1, 2}}})",
		"hvo.result('a', {columns={'x'}, rows={{{}}}})",
		"hvo.result('a', {columns={'x'}, rows={{1/0}}})",
		"hvo.result('a', {columns={'x'}, rows={{'\\xff'}}})",
		"hvo.result('a', {parameters={1}})",
		"hvo.result('a', {parameters={x={}}})",
		"hvo.result('a', {notes={1}})",
		"hvo.result('a', {x='zero\\0'}) hvo.result('a', {})",
	};
	lua_State *L = open_lab(1);
	unsigned int i;
	char *text;

	(void)state;
	for (i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]) - 1; i++) {
		bad(L, nonsense[i], "");
		assert_int_equal(json_array_size(lab_results(L)), 0);
	}
	bad(L, nonsense[i], "of that name");
	good(L, "hvo.result('b', {title='T', logx=true, parameters={z=1, a=2.5, k=true}, "
		"series={{name='s', points={{1, 2}, {2.5, -3}}}}, columns={'c', 'd'}, "
		"rows={{1, 'x'}, {0.1, false}}, notes='n'})");
	text = json_dumps(json_array_get(lab_results(L), 1),
			  JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(15));
	assert_string_equal(text,
			    "{\"columns\":[\"c\",\"d\"],\"logx\":true,\"logy\":false,"
			    "\"name\":\"b\",\"notes\":[\"n\"],\"parameters\":{\"a\":2.5,\"k\":true,"
			    "\"z\":1},\"rows\":[[1,\"x\"],[0.1,false]],\"series\":[{\"name\":\"s\","
			    "\"points\":[[1,2],[2.5,-3]]}],\"title\":\"T\"}");
	free(text);
	lab_close(L);
}

/* ---- the experiments ----------------------------------------------------------------------------- */

/* Names for people: no signs for a table of this command's. */
static void check_columns(const json_t *columns)
{
	const json_t *name;
	size_t i;

	assert_true(json_array_size(columns) > 0);
	json_array_foreach(columns, i, name) if (strpbrk(json_string_value(name), "<|"))
		fail_msg("column '%s'", json_string_value(name));
}

/* A quick run of lab/NAME.lua, into the test's directory. */
static json_t *experiment(const char *name, const char *options)
{
	char *text, *out, file[64];
	json_t *doc, *results;
	int status;

	out = run_shell(&status, "%s run --quick %s -o %s %s/lab/%s.lua 2>&1", HVO_COMMAND, options,
			dir, HVO_SOURCE, name);
	if (status)
		fail_msg("%s: %s", name, out);
	free(out);
	(void)snprintf(file, sizeof(file), "%s.json", name);
	text = read_file(file);
	doc = json_loads(text, 0, NULL);
	free(text);
	assert_non_null(doc);
	assert_string_equal(json_string_value(json_object_get(doc, "script")), name);
	results = json_object_get(doc, "results");
	assert_int_equal(json_array_size(results), 1);
	assert_true(json_array_size(json_object_get(json_array_get(results, 0), "notes")) > 0);
	assert_true(json_array_size(json_object_get(json_array_get(results, 0), "series")) > 0);
	check_columns(json_object_get(json_array_get(results, 0), "columns"));
	return doc;
}

/* The cell of the row that begins with @row, in the column with this name. */
static double cell(const json_t *doc, const char *row, const char *column)
{
	const json_t *result = json_array_get(json_object_get(doc, "results"), 0), *r, *c;
	const char *name;
	size_t i, k;

	json_array_foreach(json_object_get(result, "columns"), k,
			   c) if (!strcmp(json_string_value(c), column)) break;
	assert_true(k < json_array_size(json_object_get(result, "columns")));
	json_array_foreach(json_object_get(result, "rows"), i, r)
	{
		name = json_string_value(json_array_get(r, 0));
		if (strcmp(name, row) != 0)
			continue;
		c = json_array_get(r, k);
		return json_is_number(c) ? json_number_value(c) : -1;
	}
	fail_msg("no row %s", row);
	return 0;
}

static double parameter(const json_t *doc, const char *name)
{
	const json_t *result = json_array_get(json_object_get(doc, "results"), 0);

	return json_number_value(json_object_get(json_object_get(result, "parameters"), name));
}

static void test_frees(void **state)
{
	json_t *doc = experiment("frees", "");
	double pages = parameter(doc, "pages");

	(void)state;
	assert_true(pages > 0);
	assert_true(cell(doc, "on-demand", "freed, none free") >= pages);
	assert_true(cell(doc, "on-demand", "processes killed") <= 0);
	assert_true(cell(doc, "noretry", "freed, none free") <= 0);
	assert_true(cell(doc, "mayfail", "freed, none free") <= 0);
	assert_true(cell(doc, "carve", "freed, none free") >= pages);
	assert_true(cell(doc, "carve", "carved") >= 1);
	assert_true(cell(doc, "oom", "processes killed") >= 1);
	/* Frames of this node only: never enough. Half of the reserve: less than all of it. */
	assert_true(cell(doc, "mayfail-node", "MiB for all") < 0);
	assert_true(cell(doc, "atomic", "MiB for all") > 0);
	assert_true(cell(doc, "atomic", "MiB for all") < cell(doc, "mayfail", "MiB for all"));
	json_decref(doc);
}

static void test_reserves(void **state)
{
	json_t *doc = experiment("reserves", "");
	double min = parameter(doc, "watermark_min"), pages = parameter(doc, "pages");

	(void)state;
	assert_true(cell(doc, "on-demand", "pages freed") >= pages);
	assert_true(cell(doc, "on-demand", "least free frames") > min);
	assert_true(cell(doc, "mayfail", "least free frames") >= min);
	assert_true(cell(doc, "mayfail", "pages freed") < pages);
	assert_true(cell(doc, "atomic", "least free frames") < min);
	assert_true(cell(doc, "atomic", "least free frames") >= min / 2);
	json_decref(doc);
}

static void test_carve(void **state)
{
	json_t *doc = experiment("carve", "");

	(void)state;
	assert_true(cell(doc, "carve", "carved") > 0);
	assert_true(cell(doc, "carve", "left when all is free") > 0);
	assert_true(cell(doc, "carve-heal", "carved") > 0);
	assert_true(cell(doc, "carve-heal", "descriptor frames moved") > 0);
	assert_true(cell(doc, "carve-heal", "left when all is free") <= 0);
	assert_true(cell(doc, "on-demand", "carved") <= 0);
	json_decref(doc);
}

static void test_descriptors(void **state)
{
	json_t *doc = experiment("descriptors", ""), *row;
	const json_t *rows;
	double mean[2];
	size_t i;

	(void)state;
	rows = json_object_get(json_array_get(json_object_get(doc, "results"), 0), "rows");
	assert_int_equal(json_array_size(rows), 6);
	json_array_foreach(rows, i, row)
	{
		mean[i % 2] = json_number_value(json_array_get(row, 5));
		/* None but those of cut memory at the least, all of them at the most. */
		assert_true(mean[i % 2] > 0 && mean[i % 2] < 1.57);
		if (i % 2)
			assert_true(mean[1] < mean[0] / 2);
	}
	json_decref(doc);
}

static void test_gigantic(void **state)
{
	json_t *doc = experiment("gigantic", "");
	double pages = parameter(doc, "gigantic_pages");

	(void)state;
	assert_true(cell(doc, "on-demand", "freed, none free") >= pages);
	assert_true(cell(doc, "on-demand", "demoted to, none free") >= 512);
	assert_true(cell(doc, "mayfail", "freed, none free") <= 0);
	assert_true(cell(doc, "mayfail", "demoted to, none free") <= 0);
	/* What 4095 frames are, at the least. */
	assert_true(cell(doc, "mayfail", "MiB for all") >= 16);
	assert_true(cell(doc, "carve", "freed, none free") >= pages);
	json_decref(doc);
}

static void test_offline(void **state)
{
	json_t *doc = experiment("offline", "");

	(void)state;
	assert_true(cell(doc, "on-demand", "sections") > 0);
	assert_true(cell(doc, "on-demand", "offline, none free") >=
		    cell(doc, "on-demand", "sections"));
	assert_true(cell(doc, "mayfail", "offline, none free") <= 0);
	assert_true(cell(doc, "mayfail", "MiB for all") > 0);
	json_decref(doc);
}

static void test_scope(void **state)
{
	json_t *doc = experiment("scope", "");

	(void)state;
	/* The most is folded by all, and the most is broken; on demand nothing is. */
	assert_true(cell(doc, "all", "folded") >= cell(doc, "all", "pages"));
	assert_true(cell(doc, "all", "offline/2") <= 1);
	assert_true(cell(doc, "all", "memmap MiB") < cell(doc, "boot", "memmap MiB"));
	assert_true(cell(doc, "all", "memmap MiB") < cell(doc, "normal", "memmap MiB"));
	assert_true(cell(doc, "on-demand", "memmap MiB") <= cell(doc, "all", "memmap MiB"));
	assert_true(cell(doc, "on-demand", "offline/2") >= 2);
	assert_true(cell(doc, "on-demand", "CMA/8") >= 8);
	assert_true(cell(doc, "on-demand", "kernel/8") >= 8);
	/* Movable memory stays so under these; what is in the kernel zone cannot leave it. */
	assert_true(cell(doc, "normal", "offline/2") >= 2);
	assert_true(cell(doc, "unmovable", "offline/2") >= 2);
	assert_true(cell(doc, "normal", "kernel/8") <= 0);
	assert_true(cell(doc, "unmovable", "kernel/8") <= 0);
	assert_true(cell(doc, "unmovable", "pages") < cell(doc, "normal", "pages") / 4);
	json_decref(doc);
}

static void test_latency(void **state)
{
	json_t *doc = experiment("latency", "");
	static const char *const names[] = { "on-demand", "Linux mode, HVO on",
					     "Linux mode, HVO off" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_true(cell(doc, names[i], "frees") > 0);
		assert_true(cell(doc, names[i], "median ns") > 0);
		assert_true(cell(doc, names[i], "median ns") <= cell(doc, names[i], "p99 ns"));
		assert_true(cell(doc, names[i], "p99 ns") <= cell(doc, names[i], "maximum ns"));
	}
	json_decref(doc);
}

/* The same bytes again, and others from another seed where anything is random. */
static void test_deterministic(void **state)
{
	static const char *const names[] = { "carve", "descriptors", "frees", "reserves" };
	char *first, *again, file[64];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(file, sizeof(file), "%s.json", names[i]);
		json_decref(experiment(names[i], "--seed 5"));
		first = read_file(file);
		json_decref(experiment(names[i], "--seed 5"));
		again = read_file(file);
		assert_string_equal(first, again);
		free(again);
		if (i < 2) {
			json_t *a = experiment(names[i], "--seed 6"),
			       *b = json_loads(first, 0, NULL);

			if (i == 1)
				assert_false(json_equal(json_object_get(a, "results"),
							json_object_get(b, "results")));
			json_decref(a);
			json_decref(b);
		}
		free(first);
	}
	/* The order of pairs() too. */
	write_file("pairs.lua",
		   "local t = {} for i = 1, 200 do t['k' .. math.random(1 << 30)] = i end "
		   "for k in pairs(t) do io.write(k, ' ') end");
	first = run_shell(&(int){ 0 }, "%s run %s/pairs.lua", HVO_COMMAND, dir);
	again = run_shell(&(int){ 0 }, "%s run %s/pairs.lua", HVO_COMMAND, dir);
	assert_true(strlen(first) > 1000);
	assert_string_equal(first, again);
	free(first);
	free(again);
}

/* 1 TiB, all of it huge pages, then freed with no frame left: how much memory does that take? */
static void test_terabyte(void **state)
{
	char *const argv[] = { (char[]){ HVO_COMMAND }, (char[]){ "run" }, NULL, NULL };
	char *args[4], path[128];
	struct rusage usage;
	int status;
	pid_t pid;

	(void)state;
	write_file("terabyte.lua",
		   "for _, mode in ipairs{'on-demand', 'linux'} do "
		   "local m <close> = assert(hvo.machine{memory='1T', mode=mode, clear='never'}) "
		   "local p, h = m:pool{policy='mayfail'}, m:hog{} "
		   "local n = mode == 'linux' and 16384 or 1 << 20 "
		   "p:resize(n) n = p:stat().total assert(n >= 16384) h:take_all() "
		   "local r = p:resize(0) "
		   "assert(r.done == (mode == 'linux' and 0 or n)) end");
	(void)snprintf(path, sizeof(path), "%s/terabyte.lua", dir);
	memcpy(args, argv, sizeof(args));
	args[2] = path;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execv(args[0], args);
		_exit(127);
	}
	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	assert_true((uint64_t)usage.ru_maxrss < UINT64_C(8) << 20);
}

/* ---- the report --------------------------------------------------------------------------------- */

/* Every element that begins ends, in order; returns how many there are. */
static unsigned int check_elements(const char *html)
{
	char open[64][32], name[32];
	unsigned int depth = 0, nr = 0;
	const char *end;

	for (; (html = strchr(html, '<')); html = end) {
		end = strchr(html, '>');
		assert_non_null(end);
		assert_int_equal(sscanf(html + 1 + (html[1] == '/'), "%31[a-zA-Z0-9!?]", name), 1);
		if (name[0] == '!')
			continue;
		nr++;
		if (html[1] == '/') {
			assert_true(depth > 0);
			assert_string_equal(open[--depth], name);
		} else if (end[-1] != '/') {
			assert_true(depth < 64);
			strcpy(open[depth++], name);
		}
	}
	assert_int_equal(depth, 0);
	return nr;
}

static bool has_gnuplot(void)
{
	return !system("command -v gnuplot >/dev/null");
}

static void test_report(void **state)
{
	int status;
	char *out, *html;

	(void)state;
	refused(2, "report", "needs a directory or files");
	refused(2, "report -o x.html", "needs a directory or files");
	refused(1, "report -o x.html nonexistent.json", "nonexistent.json");
	write_file("list.json", "[]");
	refused(2, "report --frob list.json", "--frob");
	refused(1, "report -o x.html list.json", "no results");
	write_file("odd.json", "{\"results\": [1, {}, {\"series\": 5, \"rows\": [3]}, "
			       "{\"series\": [{\"points\": [1, [], [null, 2]]}]}], \"seed\": []}");
	out = run_shell(&status, "cd %s && %s report -o odd.html odd.json 2>&1", dir, HVO_COMMAND);
	assert_int_equal(status, 0);
	assert_string_equal(out, "");
	free(out);
	html = read_file("odd.html");
	assert_true(check_elements(html) > 10);
	free(html);
	if (!has_gnuplot())
		skip();
	write_file("evil.lua",
		   "local e = [[<script>\"'&]] .. '\\n`id` $x \\\\ @m \\1' "
		   "hvo.result(e, {title=e, question=e, x=e, y=e, parameters={[e]=e}, "
		   "series={{name=e, points={{1, 2}, {3, 4}}}, {name=e, points={{0, -1}}}}, "
		   "columns={e}, rows={{e}, {-1234567}}, notes={e}}) "
		   "hvo.result('bars', {series={{name=e, points={{e, 1}, {'b', 2}}}, "
		   "{name='c', points={{'b', 3}}}}}) "
		   "hvo.result('flat', {logy=true, series={{name='c', points={{1, 0}}}}})");
	out = run_shell(&status,
			"cd %s && rm -f *.json && %s run -o . evil.lua >/dev/null && "
			"%s report . -o evil.html 2>&1 && ls -A",
			dir, HVO_COMMAND, HVO_COMMAND);
	if (status)
		fail_msg("%s", out);
	/* Nothing is left behind. */
	assert_null(strstr(out, "gnuplot"));
	free(out);
	html = read_file("evil.html");
	assert_true(check_elements(html) > 100);
	assert_null(strstr(html, "<script"));
	assert_null(strstr(html, "src="));
	assert_int_equal(count(html, "href="), count(html, "href=\"#") + count(html, "href='#"));
	assert_int_equal(count(html, "<svg"), 3);
	assert_int_equal(count(html, "</table>"), 1);
	assert_non_null(strstr(html, "&lt;script&gt;"));
	assert_non_null(strstr(html, "-1\u202f234\u202f567"));
	free(html);
}

static void test_no_gnuplot(void **state)
{
	int status;
	char *out;

	(void)state;
	write_file("plot.json", "{\"results\": [{\"name\": \"x\", \"series\": [{\"name\": \"s\", "
				"\"points\": [[1, 2]]}]}]}");
	out = run_shell(&status, "cd %s && PATH=%s %s report -o none.html plot.json 2>&1", dir, dir,
			HVO_COMMAND);
	assert_int_equal(status, 1);
	assert_non_null(strstr(out, "gnuplot"));
	assert_int_equal(count(out, "\n"), 1);
	free(out);
	out = run_shell(&status, "test -e %s/none.html", dir);
	assert_int_equal(status, 1);
	free(out);
}

/* ---- the shell ------------------------------------------------------------------------------------ */

static void test_shell(void **state)
{
	int status;
	char *out;

	(void)state;
	refused(2, "shell x", "unexpected argument");
	out = run_shell(&status,
			"printf 'm = hvo.machine{memory=\"128M\"}\\nm\\nfor i = 1, 2 do\\n"
			"print(i * 21)\\nend\\n{b = 1, a = {2}}\\nhvo.help()\\n' | %s shell 2>&1",
			HVO_COMMAND);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "machine (sim, 128 MiB)\n21\n42\n{ a = { 2 }, b = 1 }\n"));
	/* The manual knows all. */
	assert_non_null(strstr(out, "pool:resize(pages"));
	assert_non_null(strstr(out, "m:memory_offline("));
	free(out);
	out = run_shell(&status, "printf 'x.y\\n' | %s shell 2>&1", HVO_COMMAND);
	assert_int_equal(status, 1);
	assert_int_equal(count(out, "\n"), 1);
	free(out);
	out = run_shell(&status, "printf 'for\\n' | %s shell 2>&1", HVO_COMMAND);
	assert_int_equal(status, 1);
	free(out);
}

static void completes(lua_State *L, const char *text, const char *wanted)
{
	char **words = lab_complete(L, text), all[1024] = "";
	unsigned int i;

	assert_non_null(words);
	for (i = 0; words[i]; i++) {
		strncat(all, words[i], sizeof(all) - strlen(all) - 1);
		strncat(all, " ", sizeof(all) - strlen(all) - 1);
	}
	assert_string_equal(all, wanted);
	lab_free_words(words);
}

static void test_completion(void **state)
{
	lua_State *L = open_lab(1);

	(void)state;
	good(L, "m = hvo.machine{memory='128M'} t = {pool=m:pool{}, n=1}");
	completes(L, "hvo.ma", "hvo.machine ");
	completes(L, "hvo.pol", "hvo.policies hvo.policy ");
	completes(L, "m:memory_o", "m:memory_offline m:memory_online ");
	completes(L, "t.pool:re", "t.pool:reserve t.pool:resize ");
	completes(L, "t.", "t.n t.pool ");
	completes(L, "t:", "");
	completes(L, "nothing.x", "");
	completes(L, "hvo.quick.x", "");
	completes(L, "hv", "hvo ");
	lab_close(L);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_library),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_hog),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_shrinker),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_random_calls),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_frees),
		cmocka_unit_test(test_reserves),
		cmocka_unit_test(test_carve),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_gigantic),
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_terabyte),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_no_gnuplot),
		cmocka_unit_test(test_shell),
		cmocka_unit_test(test_completion),
	};

	return run_program(argc, argv, tests, make_dir, remove_dir);
}
