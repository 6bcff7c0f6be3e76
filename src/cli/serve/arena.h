/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_SERVE_ARENA_H
#define HVO_CLI_SERVE_ARENA_H

/* What the memory of a served machine is made of: the option, and the files that say so. */

#include "tree/tree.h"

#include <hvo/linux.h>

/* --arena memfd, anonymous, hugetlb or hugetlb:1G. 0, or an exit status with the error printed. */
int arena_parse(const char *value, struct hvo_linux_options *ret);

/* What tree_add() says. @host stays until tree_free(). */
int arena_add_files(struct hvo_linux *host, struct tree *tree);

#endif
