/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_SERVE_OPENED_H
#define HVO_CLI_SERVE_OPENED_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What users make a server keep by opening its files. A file that is open is kept as it was when it
 * was read, so without limits whoever may read could make the server as large as he likes.
 * Root and the server's own user have none, and are not kept from opening files by others.
 */
#define OPENED_USER_FILES UINT64_C(1024)
#define OPENED_USER_BYTES (UINT64_C(64) << 20)
#define OPENED_FILES UINT64_C(8192) /* of all who have limits */
#define OPENED_BYTES (UINT64_C(256) << 20)

struct opened_count {
	uint64_t files, bytes;
};

struct opened_user;

/* Zeroed but for its lock. */
struct opened {
	pthread_mutex_t lock;
	struct opened_user *users; /* who has a file open */
	struct opened_count all;   /* of those with limits */
};

/* One file more: 0; -EMFILE: too many of this user; -ENFILE: of all; -ENOMEM. */
int opened_add(struct opened *o, uid_t uid, struct opened_user **ret);
/* Its content was @from bytes, and is @to: 0; -EBUSY: too much. */
int opened_resize(struct opened *o, struct opened_user *user, uint64_t from, uint64_t to);
/* It is closed; its content was @bytes. @user may be gone. */
void opened_remove(struct opened *o, struct opened_user *user, uint64_t bytes);

#endif
