/* SPDX-License-Identifier: MIT */
/*
 * A buffer pool, as a database has one: pages of 4 KiB and of 2 MiB that two threads read and
 * write, while the main thread moves every one of them and then shrinks the pool of huge pages.
 * Ends with 0 only if all contents survived.
 *
 *	cc -std=c11 -pthread examples/bufferpool.c $(pkg-config --cflags --libs libhvo)
 *
 * What makes memory movable is an owner: three functions that the library calls when a block is to
 * move. Users of a buffer pin it, and name it by its number; only the table below knows in
 * which frames it is. So to follow a move is to change one number in the table.
 */
#include <hvo/linux.h>
#include <hvo/migrate.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define NR_SMALL 256u
#define NR_LARGE 16u
#define NR_BUFFERS (NR_SMALL + NR_LARGE)
#define NR_THREADS 2u

enum where { FREE_TO_USE, PINNED, MOVING };

struct buffer {
	hvo_pfn_t pfn;	  /* first frame; changes when the buffer moves */
	unsigned order;	  /* 0: 4 KiB, 9: 2 MiB */
	enum where where; /* one user at a time */
	uint64_t version; /* what was written last */
};

struct buffer_pool {
	struct hvo_machine *m;
	struct hvo_pool *huge;
	struct hvo_owner owner;
	uint32_t owner_id;

	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t changed; /* a buffer became free to use */
	struct buffer buffers[NR_BUFFERS];
	uint64_t uses, moved_small, moved_large;
	bool stop;
};

static void must(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "%s: %s (%s)\n", what, hvo_error_text(rc), hvo_error_name(rc));
		exit(1);
	}
}

/* ---- the owner ----------------------------------------------------------------- */

/*
 * These run in the thread that makes the library move something: here in the one that calls
 * hvo_migrate(). They may wait for the mutex, since nobody moves or allocates with it in
 * his hands. A block's private word 0 says which buffer it is.
 */
static uint32_t isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			unsigned int order)
{
	struct buffer_pool *bp = owner->arg;
	uint32_t references = 0;
	uint64_t i;

	(void)order;
	if (hvo_page_private(m, pfn, 0, &i))
		return 0;
	pthread_mutex_lock(&bp->lock);
	if (bp->buffers[i].where == FREE_TO_USE) { /* else: not now */
		bp->buffers[i].where = MOVING;
		references = 1; /* the one of the allocation */
	}
	pthread_mutex_unlock(&bp->lock);
	return references;
}

/* All that was at @src is at @dst, the private words too. After that @src is not ours. */
static int move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		unsigned int order)
{
	struct buffer_pool *bp = owner->arg;
	uint64_t i;
	int rc;

	rc = hvo_page_private(m, src, 0, &i);
	if (rc)
		return rc; /* the library puts all back */
	pthread_mutex_lock(&bp->lock);
	bp->buffers[i].pfn = dst;
	bp->buffers[i].where = FREE_TO_USE;
	if (order)
		bp->moved_large++;
	else
		bp->moved_small++;
	pthread_cond_broadcast(&bp->changed);
	pthread_mutex_unlock(&bp->lock);
	return 0;
}

/* It stays where it is: no room for it, or the move failed. */
static void putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		    unsigned int order)
{
	struct buffer_pool *bp = owner->arg;
	uint64_t i;

	(void)order;
	must(hvo_page_private(m, pfn, 0, &i), "putback");
	pthread_mutex_lock(&bp->lock);
	bp->buffers[i].where = FREE_TO_USE;
	pthread_cond_broadcast(&bp->changed);
	pthread_mutex_unlock(&bp->lock);
}

/* ---- buffers ------------------------------------------------------------------- */

static void *pin(struct buffer_pool *bp, unsigned i)
{
	struct buffer *b = &bp->buffers[i];
	void *bytes;

	pthread_mutex_lock(&bp->lock);
	while (b->where != FREE_TO_USE)
		pthread_cond_wait(&bp->changed, &bp->lock);
	b->where = PINNED;
	bytes = hvo_window(bp->m, b->pfn, UINT64_C(1) << b->order);
	pthread_mutex_unlock(&bp->lock);
	return bytes;
}

static void unpin(struct buffer_pool *bp, unsigned i)
{
	pthread_mutex_lock(&bp->lock);
	bp->buffers[i].where = FREE_TO_USE;
	pthread_cond_broadcast(&bp->changed);
	pthread_mutex_unlock(&bp->lock);
}

static size_t words_of(const struct buffer *b)
{
	return (HVO_FRAME_SIZE << b->order) / sizeof(uint64_t);
}

static uint64_t word(unsigned i, uint64_t version, size_t k)
{
	return ((uint64_t)i << 48 | version << 24) ^ k;
}

/* The next two: of a buffer that is pinned. */
static void fill(struct buffer_pool *bp, unsigned i, uint64_t *bytes)
{
	struct buffer *b = &bp->buffers[i];
	size_t k;

	b->version++;
	for (k = 0; k < words_of(b); k++)
		bytes[k] = word(i, b->version, k);
}

static void check(struct buffer_pool *bp, unsigned i, const uint64_t *bytes)
{
	const struct buffer *b = &bp->buffers[i];
	size_t k;

	for (k = 0; k < words_of(b); k++) {
		if (bytes[k] == word(i, b->version, k))
			continue;
		fprintf(stderr, "buffer %u: word %zu is wrong\n", i, k);
		exit(1);
	}
}

static void *use_buffers(void *arg)
{
	struct buffer_pool *bp = arg;
	bool stop = false;
	unsigned i;

	for (i = 0; !stop;
	     i = (i + 7) % NR_BUFFERS) { /* 7 does not divide NR_BUFFERS: all of them */
		uint64_t *bytes = pin(bp, i);

		check(bp, i, bytes);
		fill(bp, i, bytes);
		unpin(bp, i);
		pthread_mutex_lock(&bp->lock);
		bp->uses++;
		stop = bp->stop;
		pthread_mutex_unlock(&bp->lock);
	}
	return NULL;
}

static void allocate(struct buffer_pool *bp, unsigned i)
{
	struct buffer *b = &bp->buffers[i];

	b->order = i < NR_SMALL ? 0 : HVO_PAGEBLOCK_ORDER;
	if (b->order)
		must(hvo_pool_alloc(bp->huge, HVO_GFP_KERNEL, HVO_NODE_ANY, &b->pfn),
		     "a huge page");
	else /* movable memory, for it has an owner */
		must(hvo_alloc_pages(bp->m, HVO_GFP_USER, 0, HVO_NODE_ANY, &b->pfn), "a frame");
	fill(bp, i, pin(bp, i));
	unpin(bp, i);
	must(hvo_page_set_private(bp->m, b->pfn, 0, i), "private word");
	/* From here on the library may call isolate() for it. */
	must(hvo_set_owner(bp->m, b->pfn, bp->owner_id), "owner");
}

static void release(struct buffer_pool *bp, unsigned i)
{
	struct buffer *b = &bp->buffers[i];

	check(bp, i, pin(bp, i));
	if (b->order)
		must(hvo_pool_free(bp->huge, b->pfn), "huge page back");
	else
		must(hvo_put_page(bp->m, b->pfn), "frame back");
}

/* To another place on its node. -HVO_EBUSY: a thread was faster, and has it pinned. */
static void migrate(struct buffer_pool *bp, unsigned i)
{
	hvo_pfn_t pfn;
	int rc;

	do {
		pthread_mutex_lock(&bp->lock);
		while (bp->buffers[i].where != FREE_TO_USE)
			pthread_cond_wait(&bp->changed, &bp->lock);
		pfn = bp->buffers[i].pfn;
		pthread_mutex_unlock(&bp->lock);
		rc = hvo_migrate(bp->m, pfn, HVO_NODE_ANY, NULL);
	} while (rc == -HVO_EBUSY);
	must(rc, "migrate");
}

/* ---- the program --------------------------------------------------------------- */

static void resize(struct buffer_pool *bp, uint64_t nr)
{
	struct hvo_resize_result r = { .size = sizeof(r) };
	struct hvo_pool_stat s = { .size = sizeof(s) };

	must(hvo_pool_resize(bp->huge, HVO_NODE_ANY, nr, &r), "resize");
	must(hvo_pool_stat(bp->huge, HVO_NODE_ANY, &s), "figures of the pool");
	printf("pool resized to %llu: %llu of %llu done, %llu refused; it has %llu pages, %llu free\n",
	       (unsigned long long)nr, (unsigned long long)r.done, (unsigned long long)r.asked,
	       (unsigned long long)r.refused, (unsigned long long)s.total,
	       (unsigned long long)s.free);
	if (r.done != r.asked) {
		fprintf(stderr, "not all of it\n");
		exit(1);
	}
}

int main(void)
{
	static struct buffer_pool bp = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.owner = { .size = sizeof(bp.owner),
			   .isolate = isolate,
			   .move = move,
			   .putback = putback,
			   .arg = &bp },
	};
	struct hvo_config cfg = { .size = sizeof(cfg), .memory_bytes = UINT64_C(256) << 20 };
	pthread_t threads[NR_THREADS];
	struct hvo_linux *host;
	int64_t mistakes;
	unsigned i;

	must(hvo_linux_create(&cfg, NULL, &host), "256 MiB of memory");
	bp.m = hvo_linux_machine(host);
	must(hvo_pool_create(bp.m, HVO_PAGEBLOCK_ORDER, &bp.huge), "a pool of 2 MiB pages");
	must(hvo_owner_register(bp.m, &bp.owner, &bp.owner_id), "an owner");
	resize(&bp, 2 * NR_LARGE); /* as many again, to move to */
	for (i = 0; i < NR_BUFFERS; i++)
		allocate(&bp, i);

	for (i = 0; i < NR_THREADS; i++)
		must(-pthread_create(&threads[i], NULL, use_buffers, &bp), "a thread");
	for (i = 0; i < NR_BUFFERS; i++)
		migrate(&bp, i);
	resize(&bp, NR_LARGE); /* pages in use stay; freeing the others needs no memory */
	pthread_mutex_lock(&bp.lock);
	bp.stop = true;
	pthread_mutex_unlock(&bp.lock);
	for (i = 0; i < NR_THREADS; i++)
		must(-pthread_join(threads[i], NULL), "the end of a thread");

	printf("%llu buffers of 4 KiB and %llu of 2 MiB moved under %u threads that used %llu\n",
	       (unsigned long long)bp.moved_small, (unsigned long long)bp.moved_large, NR_THREADS,
	       (unsigned long long)bp.uses);
	for (i = 0; i < NR_BUFFERS; i++)
		release(&bp, i);
	must(hvo_owner_unregister(bp.m, bp.owner_id), "owner");
	resize(&bp, 0);
	mistakes = hvo_machine_audit(bp.m, NULL, NULL);
	printf("all contents survived, %lld mistakes\n", (long long)mistakes);
	hvo_linux_close(host);
	return mistakes || bp.moved_small < NR_SMALL || bp.moved_large < NR_LARGE;
}
