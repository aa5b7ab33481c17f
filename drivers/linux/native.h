/* Commands as text; what native.c and native_route.c share.  SPDX-License-Identifier: MIT */
#ifndef FERRY_LINUX_NATIVE_H
#define FERRY_LINUX_NATIVE_H

#include "internal.h"

/* A text that goes on counting where its buffer ends, as snprintf does. */
struct ferry_text {
    char *buf;
    size_t size, n;
};
void ferry_say(struct ferry_text *t, const char *fmt, ...) FERRY_PRINTF(2, 3);
/* "ip -n NETNS -6 WHAT" */
void ferry_say_ip(struct ferry_text *t, const struct ferry_driver_config *config, bool v6, const char *what);
/* A name from a router, as a shell reads it.  ip's batches read what is quoted without a backslash likewise. */
void ferry_say_word(struct ferry_text *t, const char *before, const char *word);
void ferry_say_address(struct ferry_text *t, const char *before, uint8_t family, const void *bytes);
/* One line: "ip route VERB …". */
void ferry_say_route(struct ferry_text *t, const struct ferry_driver_config *config, const char *verb,
                     const struct ferry_prefix *prefix, const struct ferry_entry *e);
/* What of the entry has no words: a short text, or NULL: all is said. */
const char *ferry_say_route_unsaid(const struct ferry_entry *e);
/* One line: "ip addr VERB …". */
void ferry_say_interface_address(struct ferry_text *t, const struct ferry_driver_config *config,
                                 const char *verb, const struct ferry_linux_address *a, const char *interface,
                                 bool nodad);

#endif
