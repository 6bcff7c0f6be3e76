/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SIZED_H
#define HVO_CORE_SIZED_H

#include <hvo/types.h>

/*
 * Structures of the caller's, which begin with their size: see <hvo/types.h>. No function here
 * needs a library: the client has none.
 *
 * Linux: copy_struct_from_user(), copy_struct_to_user().
 */

/* Can a structure of the caller's be used at all? 0; -HVO_EINVAL; -HVO_E2BIG. */
static inline int sized_check(const void *user)
{
	uint32_t size;

	if (!user)
		return -HVO_EINVAL;
	size = *(const uint32_t *)user;
	if (size < HVO_SIZE_MIN)
		return -HVO_EINVAL;
	return size > HVO_SIZE_MAX ? -HVO_E2BIG : 0;
}

/* Is what lies behind the fields that the library knows zero? */
static inline int sized_known(const void *user, uint32_t known)
{
	const uint8_t *bytes = (const uint8_t *)user;
	int rc = sized_check(user);
	uint32_t i;

	for (i = known; !rc && i < *(const uint32_t *)user; i++)
		if (bytes[i])
			rc = -HVO_E2BIG;
	return rc;
}

/* One that stays where it is, of functions that are called later: none may be missing. */
static inline int sized_whole(const void *user, uint32_t known)
{
	int rc = sized_known(user, known);

	return !rc && *(const uint32_t *)user < known ? -HVO_EINVAL : rc;
}

static inline uint32_t sized_common(const void *user, uint32_t known)
{
	uint32_t size = *(const uint32_t *)user;

	return size < known ? size : known;
}

/* Copy @user to @own, of @known bytes, with zeroes for fields that the caller does not know. */
static inline int sized_in(void *own, uint32_t known, const void *user)
{
	int rc = sized_known(user, known);

	if (rc)
		return rc;
	__builtin_memset(own, 0, known);
	__builtin_memcpy(own, user, sized_common(user, known));
	*(uint32_t *)own = known;
	return 0;
}

/*
 * Copy @own, of @known bytes, to @user, which sized_check() found good: as much as it has room for,
 * with zeroes for fields that the library does not know. The size stays the caller's.
 */
static inline void sized_out(void *user, const void *own, uint32_t known)
{
	uint32_t size = *(const uint32_t *)user, common = sized_common(user, known);

	__builtin_memcpy((uint8_t *)user + sizeof(size), (const uint8_t *)own + sizeof(size),
			 common - sizeof(size));
	__builtin_memset((uint8_t *)user + common, 0, size - common);
}

#define SIZED_IN(own, user) sized_in(own, (uint32_t)sizeof(*(own)), user)
#define SIZED_OUT(user, own) sized_out(user, own, (uint32_t)sizeof(*(own)))

#endif
