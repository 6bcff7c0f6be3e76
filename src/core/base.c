// SPDX-License-Identifier: MIT
/*
 * The way out: a broken invariant stops the machine, with a dump by the platform.
 *
 * Linux: BUG_ON(), include/asm-generic/bug.h.
 */
#include "base.h"

void machine_panic(struct hvo_machine *m, const char *what, hvo_pfn_t pfn)
{
	const struct hvo_page *page = pfn < m->mm.nr_frames ? hvo_page_addr(&m->mm, pfn) : NULL;
	bool none = table_layout(m) && page == m->mm.array + pfn % HVO_PAGES_PER_FRAME;

	m->ops->panic(m->ctx, what, pfn, none || m->mm.translate ? NULL : page);
}
