/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_PROGRESS_H
#define HVO_COMMON_PROGRESS_H

/*
 * How far something is, on standard error: only on a terminal, and after two seconds. One thread.
 * progress_end() clears the line; what is shown next begins anew.
 */
void progress_show(double fraction, const char *what);
void progress_end(void);

#endif
