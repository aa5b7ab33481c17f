/* Which tunnels a forwarding needs.  SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_TUNNELS_H
#define FERRY_MODEL_TUNNELS_H

#include <ferry/topology.h>

/* Whether the router at this end of a link (0: a) forwards over the link by this entry (NULL: by none). */
bool ferry_link_carries(const struct ferry_topology *t, uint32_t link, int end,
                        const struct ferry_entry *way);
/* Whether a tunnel of this name has local selectors too. */
bool ferry_tunnel_has_local(const char *tunnel);
/* Puts the selectors that the ways ([router]) need into the stacks. */
void ferry_selectors_expect(const struct ferry_topology *t, const struct ferry_entry *const *ways,
                            struct ferry_pool *pool, const struct ferry_stack **stacks);

#endif
