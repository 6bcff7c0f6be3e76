/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_SERVE_LEND_FILES_H
#define HVO_CLI_SERVE_LEND_FILES_H

#include <hvo/lend.h>

struct tree;

/*
 * Add sys/kernel/hvo/lend/{clients,pages,limit,refused}. The tree must be gone before
 * hvo_lend_close(). Returns what tree_add() does; files that were added before an error stay.
 */
int lend_add_files(struct hvo_lend *lend, struct tree *tree);

#endif
