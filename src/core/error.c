// SPDX-License-Identifier: MIT
/*
 * What a caller may want to print: the library's version, and errors by name.
 */
#include <hvo/hvo.h>

static const struct {
	const char *name, *text;
} errors[] = {
#define ERROR(name_, text_) [HVO_##name_] = { #name_, text_ }
	ERROR(EPERM, "not allowed"),
	ERROR(EINTR, "interrupted"),
	ERROR(E2BIG, "a structure has fields that this library does not know"),
	ERROR(EAGAIN, "not now: try again"),
	ERROR(ENOMEM, "no memory for it"),
	ERROR(EFAULT, "not an address of the caller's"),
	ERROR(EBUSY, "in use, or it cannot be moved now"),
	ERROR(ENODEV, "the machine is gone"),
	ERROR(EINVAL, "no such thing, or an argument that makes no sense"),
	ERROR(EFBIG, "larger than the limit for files"),
	ERROR(ENOSPC, "no more of them: the number is limited"),
	ERROR(ERANGE, "out of range"),
	ERROR(ENOSYS, "the system cannot do that"),
	ERROR(EOVERFLOW, "the number is too large"),
	ERROR(EOPNOTSUPP, "not supported"),
#undef ERROR
};

#define NR_ERRORS (sizeof(errors) / sizeof(errors[0]))

const char *hvo_version(void)
{
	return HVO_VERSION;
}

/* Where an error is in the table; 0, which has no name, for what is not in it. */
static unsigned int find_error(int rc)
{
	unsigned int n = rc < 0 ? -(unsigned int)rc : (unsigned int)rc;

	return n < NR_ERRORS && errors[n].name ? n : 0;
}

const char *hvo_error_name(int rc)
{
	unsigned int n = find_error(rc);

	return n ? errors[n].name : rc ? "unknown" : "0";
}

const char *hvo_error_text(int rc)
{
	unsigned int n = find_error(rc);

	return n ? errors[n].text : rc ? "an error without a name" : "done";
}
