/* The traffic selectors of a simulated router, in its files: {"prefix", "side", "tunnel"}.  See table.h.
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include "model/json.h"

#include <ferry/tunnel.h>

#include <string.h>

void ferry_sim_put_selector(FILE *f, const struct ferry_prefix *prefix, const struct ferry_entry *e)
{
    char text[FERRY_PREFIX_STRLEN], tunnel[FERRY_TUNNEL_MAX + 1];
    snprintf(tunnel, sizeof tunnel, "%.*s", (int)e->native_len, (const char *)e->native);
    fprintf(f, "{\"prefix\": \"%s\", \"side\": \"%s\", \"tunnel\": ", ferry_prefix_text(prefix, text),
            ferry_side_name(e->protocol));
    ferry_sim_put_string(f, tunnel);
    fputc('}', f);
}

int ferry_sim_load_selector(struct ferry_json *doc, uint32_t v, struct ferry_sim_table *table,
                            struct ferry_err *err)
{
    struct ferry_prefix prefix;
    const char *side, *text;
    int r = ferry_json_want(doc, v, FERRY_JSON_OBJECT, err);
    if (r == 0)
        r = ferry_sim_get_prefix(doc, v, &prefix, err);
    if (r == 0)
        r = ferry_json_need_string(doc, v, "side", &side, err);
    if (r == 0)
        r = ferry_json_need_string(doc, v, "tunnel", &text, err);
    if (r < 0)
        return r;
    uint8_t remote = strcmp(side, "remote") == 0 ? FERRY_SIDE_REMOTE : FERRY_SIDE_LOCAL;
    struct ferry_entry e = {.type = FERRY_TRAFFIC_SELECTOR,
                            .metric = ferry_selector_key(text, strlen(text), remote),
                            .protocol = remote,
                            .native_len = (uint32_t)strlen(text),
                            .native = (const uint8_t *)text};
    ferry_sim_table_select(table, &prefix, e.metric, &e);
    return 0;
}
