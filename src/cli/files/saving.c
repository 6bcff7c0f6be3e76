// SPDX-License-Identifier: MIT
#include "saving.h"

#include <unistd.h>

uint64_t saving_base_page(void)
{
	long page = sysconf(_SC_PAGESIZE);

	return page > 0 ? (uint64_t)page : SAVING_PAGE;
}

uint64_t saving_array(uint64_t bytes, uint64_t page, uint64_t descriptor)
{
	return bytes / page * descriptor;
}

uint64_t saving_per_page(uint64_t huge, uint64_t page, uint64_t descriptor)
{
	uint64_t pages = saving_array(huge, page, descriptor) / page;

	if (pages < 2 || (descriptor & (descriptor - 1)))
		return 0;
	return (pages - 1) * page;
}
