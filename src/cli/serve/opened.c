// SPDX-License-Identifier: MIT
#include "opened.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct opened_user {
	struct opened_user *next;
	uid_t uid;
	bool limited;
	struct opened_count has;
};

static struct opened_user *find_user(struct opened *o, uid_t uid)
{
	struct opened_user *user = o->users;

	while (user && user->uid != uid)
		user = user->next;
	if (user)
		return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->limited = uid && uid != geteuid();
	user->next = o->users;
	o->users = user;
	return user;
}

static void drop_idle(struct opened *o, struct opened_user *user)
{
	struct opened_user **link = &o->users;

	if (user->has.files)
		return;
	while (*link != user)
		link = &(*link)->next;
	*link = user->next;
	free(user);
}

/* Lock held. Modulo 2^64, so it takes away too. */
static void change(struct opened *o, struct opened_user *user, uint64_t files, uint64_t bytes)
{
	user->has.files += files;
	user->has.bytes += bytes;
	if (!user->limited)
		return;
	o->all.files += files;
	o->all.bytes += bytes;
}

int opened_add(struct opened *o, uid_t uid, struct opened_user **ret)
{
	struct opened_user *user;
	int rc = 0;

	pthread_mutex_lock(&o->lock);
	user = find_user(o, uid);
	if (!user)
		rc = -ENOMEM;
	else if (user->limited && user->has.files >= OPENED_USER_FILES)
		rc = -EMFILE;
	else if (user->limited && o->all.files >= OPENED_FILES)
		rc = -ENFILE;
	if (!rc) {
		change(o, user, 1, 0);
		*ret = user;
	} else if (user) {
		drop_idle(o, user);
	}
	pthread_mutex_unlock(&o->lock);
	return rc;
}

int opened_resize(struct opened *o, struct opened_user *user, uint64_t from, uint64_t to)
{
	uint64_t more = to > from ? to - from : 0;
	int rc = 0;

	pthread_mutex_lock(&o->lock);
	if (user->limited && more &&
	    (user->has.bytes + more > OPENED_USER_BYTES || o->all.bytes + more > OPENED_BYTES))
		rc = -EBUSY;
	else
		change(o, user, 0, to - from);
	pthread_mutex_unlock(&o->lock);
	return rc;
}

void opened_remove(struct opened *o, struct opened_user *user, uint64_t bytes)
{
	pthread_mutex_lock(&o->lock);
	change(o, user, UINT64_MAX, 0 - bytes);
	drop_idle(o, user);
	pthread_mutex_unlock(&o->lock);
}
