/* The three streams that a program has from its start.  SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_STD_H
#define FERRY_BASE_STD_H

/* Puts a placeholder where one of them is closed (`ferry … >&-`): else the first socket, file or lock that is
 * opened gets its number, and what is printed goes to a router or into the journal.  The placeholder is
 * opened the wrong way round, so that writing to a closed stdout still fails.  To be called before anything
 * is opened. */
void ferry_std_keep(void);

#endif
