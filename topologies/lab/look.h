/* What a namespace of a lab holds now.  Used by status.c, and by ready.c while a lab starts.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LAB_LOOK_H
#define FERRY_LAB_LOOK_H

#include "lab.h"
#include "layout.h"

/* Sorted texts; all of them malloc'd. */
struct ferry_lab_lines {
    char **v;
    size_t n;
};
void ferry_lab_lines_clear(struct ferry_lab_lines *lines);
void ferry_lab_lines_add(struct ferry_lab_lines *lines, char *line); /* takes it */
void ferry_lab_lines_sort(struct ferry_lab_lines *lines);
bool ferry_lab_lines_have(const struct ferry_lab_lines *lines, const char *line);

/* Counts what is there: interfaces_up, addresses_found and routes_found of `space`. */
int ferry_lab_look(const struct ferry_lab_place *place, struct ferry_lab_space *space,
                   struct ferry_err *err) FERRY_MUST_CHECK;
/* The routes that BGP and OSPF have made, a line each, sorted; malloc'd. */
int ferry_lab_learnt(const struct ferry_lab_place *place, char **ret, struct ferry_err *err) FERRY_MUST_CHECK;

#endif
