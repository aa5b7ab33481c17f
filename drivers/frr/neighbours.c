/* What the protocols themselves say of an announcement, beside the configuration: whether it could be made, whether it
 * is made, and whether a neighbour has been told.
 *
 * Measured (FRR 8.4): bgpd originates 2 ms after a `network` line and tells its neighbours 50 ms later; after
 * `no network` it tells them within 50 ms as well; everybody knows within 0.2 s.  ospfd tells them within 20
 * ms, and up to 5 s later where it has said something less than 5 s ago (`timers throttle lsa all`).  A
 * prefix-list that filters a redistribution is looked at when the address comes or goes, or 5 s after it was
 * edited.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <json-c/json.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

enum {
    HEARD_US = 6000000, /* ospfd's 5 s between two of its announcements, and one more to arrive */
    STEP_US = 20000,
};

static const char *text_of(struct json_object *o, const char *key)
{
    struct json_object *v;
    const char *s = o && json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;
    return s ? s : "";
}

static bool true_of(struct json_object *o, const char *key)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_boolean) &&
           json_object_get_boolean(v);
}

static struct json_object *child(struct json_object *o, const char *key)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static size_t length(struct json_object *array)
{
    return array && json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static bool is_map(struct json_object *o)
{
    return o && json_object_is_type(o, json_type_object);
}

/* ---- BGP. ---- */

struct bgp_prefix {
    bool sourced; /* this router has a path of its own, and its route is there: it is announced */
    size_t told;  /* neighbours */
};

static int see_bgp_prefix(void *ctx, struct json_object *document, struct ferry_err *err)
{
    struct bgp_prefix *p = ctx;
    struct json_object *paths = child(document, "paths"), *told = child(document, "advertisedTo");
    (void)err;
    for (size_t i = 0; i < length(paths); i++) {
        struct json_object *path = json_object_array_get_idx(paths, i);
        if (is_map(path) && true_of(path, "sourced") && true_of(path, "valid"))
            p->sourced = true;
    }
    if (is_map(told))
        p->told += (size_t)json_object_object_length(told);
    return 0;
}

static const char *bgp_family(const struct ferry_op *op)
{
    return op->prefix.addr.family == AF_INET6 ? "ipv6" : "ipv4";
}

static int read_bgp_prefix(struct ferry_frr *d, const struct ferry_op *op, struct bgp_prefix *ret,
                           struct ferry_err *err)
{
    char prefix[FERRY_PREFIX_STRLEN], command[128];
    snprintf(command, sizeof command, "show bgp %s unicast %s json", bgp_family(op),
             ferry_prefix_text(&op->prefix, prefix));
    *ret = (struct bgp_prefix){0};
    return ferry_frr_show_json(d, command, see_bgp_prefix, ret, err);
}

static int see_established(void *ctx, struct json_object *document, struct ferry_err *err)
{
    size_t *n = ctx;
    struct json_object *peers = child(document, "peers");
    (void)err;
    if (is_map(peers)) {
        json_object_object_foreach(peers, name, peer)
        {
            (void)name;
            *n += is_map(peer) && strcmp(text_of(peer, "state"), "Established") == 0;
        }
    }
    return 0;
}

/* ---- OSPF. ---- */

static int see_full(void *ctx, struct json_object *document, struct ferry_err *err)
{
    size_t *n = ctx;
    struct json_object *neighbours = child(document, "neighbors");
    (void)err;
    if (!is_map(neighbours))
        return 0;
    json_object_object_foreach(neighbours, name, list)
    {
        (void)name;
        for (size_t i = 0; i < length(list); i++) {
            struct json_object *one = json_object_array_get_idx(list, i);
            const char *state = text_of(is_map(one) ? one : NULL, "nbrState");
            *n += strncmp(state, "Full", 4) == 0;
        }
    }
    return 0;
}

struct ospf_prefix {
    const struct ferry_prefix *prefix;
    bool found;
};

static void match(struct ospf_prefix *p, const char *address, int len)
{
    struct ferry_err ignored;
    struct ferry_prefix of = {.len = (uint8_t)len};
    if (len < 0 || len > 32 || ferry_addr_parse(address, &of.addr, &ignored) < 0)
        return;
    of = ferry_prefix_network(&of);
    p->found = p->found || ferry_prefix_equal(&of, p->prefix);
}

/* `show ip ospf interface json`: OSPF has taken an interface with an address of the prefix. */
static int see_interface(void *ctx, struct json_object *document, struct ferry_err *err)
{
    struct json_object *interfaces = child(document, "interfaces");
    (void)err;
    if (!is_map(interfaces))
        return 0;
    json_object_object_foreach(interfaces, name, one)
    {
        (void)name;
        if (is_map(one) && true_of(one, "ospfEnabled"))
            match(ctx, text_of(one, "ipAddress"), json_object_get_int(child(one, "ipAddressPrefixlen")));
    }
    return 0;
}

static int mask_length(const char *mask)
{
    struct ferry_err ignored;
    struct ferry_addr addr;
    if (ferry_addr_parse(mask, &addr, &ignored) < 0)
        return -1;
    int n = 0;
    while (n < 32 && addr.bytes[n / 8] & (0x80 >> n % 8))
        n++;
    return n;
}

/* What this router has told: the stub networks of its own router LSA, or its external LSAs. */
static int see_lsa(void *ctx, struct json_object *lsa)
{
    struct json_object *links = child(lsa, "routerLinks");
    if (strcmp(text_of(lsa, "lsaType"), "AS-external-LSA") == 0)
        match(ctx, text_of(lsa, "linkStateId"), json_object_get_int(child(lsa, "networkMask")));
    if (!is_map(links))
        return 0;
    json_object_object_foreach(links, name, link)
    {
        (void)name;
        if (is_map(link) && strcmp(text_of(link, "linkType"), "Stub Network") == 0)
            match(ctx, text_of(link, "networkAddress"), mask_length(text_of(link, "networkMask")));
    }
    return 0;
}

static int see_lsas(void *ctx, struct json_object *o, unsigned deep)
{
    if (*text_of(o, "lsaType"))
        return see_lsa(ctx, o);
    json_object_object_foreach(o, name, below)
    {
        (void)name;
        if (deep && is_map(below))
            see_lsas(ctx, below, deep - 1);
    }
    return 0;
}

static int see_database(void *ctx, struct json_object *document, struct ferry_err *err)
{
    (void)err;
    return is_map(document) ? see_lsas(ctx, document, 3) : 0;
}

/* ---- Questions. ---- */

static bool is_ospf(const struct ferry_entry *e)
{
    return e->protocol == RTPROT_OSPF;
}

static int count_neighbours(struct ferry_frr *d, const struct ferry_op *op, bool ospf, size_t *ret,
                            struct ferry_err *err)
{
    *ret = 0;
    if (ospf)
        return ferry_frr_show_json(d, "show ip ospf neighbor json", see_full, ret, err);
    char command[64];
    snprintf(command, sizeof command, "show bgp %s unicast summary json", bgp_family(op));
    return ferry_frr_show_json(d, command, see_established, ret, err);
}

int ferry_frr_announce_settled(struct ferry_frr *d, const struct ferry_op *op, struct ferry_err *err)
{
    const struct ferry_entry *e = op->after;
    if (!e || (is_ospf(e) && d->config.prefix_list))
        return 1;
    if (is_ospf(e)) {
        struct ospf_prefix p = {.prefix = &op->prefix};
        int r = ferry_frr_show_json(d, "show ip ospf interface json", see_interface, &p, err);
        return r < 0 ? r : p.found;
    }
    struct bgp_prefix p;
    int r = read_bgp_prefix(d, op, &p, err);
    return r < 0 ? r : p.sourced;
}

static int told(struct ferry_frr *d, const struct ferry_op *op, bool ospf, struct ferry_err *err)
{
    if (!ospf) {
        struct bgp_prefix p;
        int r = read_bgp_prefix(d, op, &p, err);
        return r < 0 ? r : p.sourced && p.told;
    }
    struct ospf_prefix p = {.prefix = &op->prefix};
    int r = ferry_frr_show_json(d,
                                d->config.prefix_list ? "show ip ospf database external self-originate json"
                                                      : "show ip ospf database router self-originate json",
                                see_database, &p, err);
    return r < 0 ? r : p.found;
}

static bool asked_to_announce(const struct ferry_frr *d, const struct ferry_prefix *prefix)
{
    for (size_t i = 0; i < d->n_announced; i++)
        if (ferry_prefix_equal(&d->announced[i], prefix))
            return true;
    return false;
}

/* Whether the announcement stands: before that, in the outage, nothing is waited for. */
static bool announces(struct ferry_frr *d, const struct ferry_prefix *prefix)
{
    struct ferry_entry e;
    FERRY_AUTOFREE uint8_t *native = NULL;
    return d->running && ferry_frr_announce_find(&d->config, d->running, prefix, &e, &native);
}

int ferry_frr_announce_heard(struct ferry_frr *d, const struct ferry_op *op, struct ferry_err *err)
{
    if (op->kind != FERRY_KIND_ROUTE || !op->before || op->after || op->before->protocol != FERRY_PROTOCOL ||
        !asked_to_announce(d, &op->prefix) || !announces(d, &op->prefix))
        return 0;
    bool ospf = d->config.routing == FERRY_ROUTING_OSPF;
    size_t neighbours;
    int r = count_neighbours(d, op, ospf, &neighbours, err);
    uint64_t end = d->env->monotonic_us(d->env->ctx) + HEARD_US;
    while (r >= 0 && neighbours) {
        r = told(d, op, ospf, err);
        if (r != 0)
            break;
        if (d->env->monotonic_us(d->env->ctx) >= end)
            return ferry_refuse(err, "frr-unheard",
                                "%s announces it, and none of %zu neighbours was told: is "
                                "there an outbound filter?",
                                ospf ? "OSPF" : "BGP", neighbours);
        ferry_frr_pause(d, STEP_US);
    }
    return r < 0 ? r : 0;
}

/* ---- The precheck. ---- */

/* Whether an entry of a list, "seq 5 deny 192.168.0.0/16 le 24", speaks of the prefix; its action goes to `deny`. */
static bool entry_matches(const char *text, const struct ferry_prefix *prefix, bool *deny)
{
    char action[8], of[FERRY_PREFIX_STRLEN + 1], rest[64] = "";
    unsigned seq, ge = 0, le = 0;
    struct ferry_prefix outer;
    struct ferry_err ignored;
    if (sscanf(text, "seq %u %7s %50s %63[^\n]", &seq, action, of, rest) < 3)
        return false;
    *deny = strcmp(action, "deny") == 0;
    if (strcmp(of, "any") == 0)
        return true;
    if (ferry_prefix_parse(of, &outer, &ignored) < 0 || !ferry_prefix_covers(&outer, prefix))
        return false;
    const char *g = strstr(rest, "ge "), *l = strstr(rest, "le ");
    if (g)
        ge = (unsigned)strtoul(g + 3, NULL, 10);
    if (l)
        le = (unsigned)strtoul(l + 3, NULL, 10);
    unsigned least = ge ? ge : outer.len, most = le ? le : ge ? 128 : outer.len;
    return prefix->len >= least && prefix->len <= most;
}

/* The first entry that speaks of the prefix, other than its own, must not deny it. */
static int check_list(const struct ferry_frr_config *running, const char *list, const struct ferry_op *op,
                      struct ferry_err *err)
{
    FERRY_AUTOFREE char *beginning =
        ferry_asprintf("%s prefix-list %s ", op->prefix.addr.family == AF_INET6 ? "ipv6" : "ip", list);
    for (size_t i = 0; i < running->n_blocks; i++) {
        const char *header = running->blocks[i].header;
        bool deny;
        if (strncmp(header, beginning, strlen(beginning)) != 0 ||
            !entry_matches(header + strlen(beginning), &op->prefix, &deny))
            continue;
        return !deny
                   ? 0
                   : ferry_refuse(err, "frr-prefix-list",
                                  "'%s' stands before the entry that Ferry would add, and denies the prefix",
                                  header);
    }
    return 0;
}

/* `line` redistributes connected routes through a route-map of which a permitting clause asks this list. */
static bool uses_list(const struct ferry_frr_config *running, const char *line, const char *match_line)
{
    char map[128];
    const char *at = strstr(line, " route-map ");
    line += strspn(line, " ");
    if (strncmp(line, "redistribute connected", 22) != 0 || !at || sscanf(at, " route-map %127s", map) != 1)
        return false;
    FERRY_AUTOFREE char *beginning = ferry_asprintf("route-map %s permit ", map);
    for (size_t i = 0; i < running->n_blocks; i++)
        if (strncmp(running->blocks[i].header, beginning, strlen(beginning)) == 0 &&
            ferry_frr_block_has(&running->blocks[i], match_line))
            return true;
    return false;
}

static int check_redistribution(const struct ferry_frr *d, const struct ferry_frr_config *running,
                                const struct ferry_frr_block *block, bool ospf, const struct ferry_op *op,
                                struct ferry_err *err)
{
    const char *list = d->config.prefix_list, *ip = op->prefix.addr.family == AF_INET6 ? "ipv6" : "ip";
    FERRY_AUTOFREE char *match_line = ferry_asprintf("match %s address prefix-list %s", ip, list);
    bool used = false;
    if (ospf)
        for (size_t i = 0; i < block->n_lines; i++)
            used = used || uses_list(running, block->lines[i], match_line);
    else
        for (size_t i = 0; ferry_frr_bgp_next(block, op->prefix.addr.family, &i);)
            used = used || uses_list(running, block->lines[i - 1], match_line);
    if (used)
        return check_list(running, list, op, err);
    return ferry_refuse(err, "frr-prefix-list",
                        "nothing is announced by the prefix-list %s: under '%s' there is no 'redistribute "
                        "connected route-map …' with a permitting clause that says '%s'",
                        list, block->header, match_line);
}

/* `ip ospf area` on interfaces and `network` exclude each other. */
static int check_interfaces(const struct ferry_frr_config *running, struct ferry_err *err)
{
    for (size_t i = 0; i < running->n_blocks; i++)
        for (size_t k = 0; k < running->blocks[i].n_lines; k++)
            if (strncmp(running->blocks[i].header, "interface ", 10) == 0 &&
                strncmp(running->blocks[i].lines[k], "ip ospf area ", 13) == 0)
                return ferry_refuse(err, "frr-ospf-area",
                                    "'%s' has '%s', and ospfd takes no 'network' beside it: use "
                                    "\"origination\": {\"prefix-list\": …}",
                                    running->blocks[i].header, running->blocks[i].lines[k]);
    return 0;
}

static const struct ferry_frr_block *instance(const struct ferry_frr_config *running, bool ospf,
                                              struct ferry_err *err)
{
    const struct ferry_frr_block *b = ospf ? ferry_frr_ospf_block(running) : ferry_frr_bgp_block(running);
    size_t instances = 0;
    for (size_t i = 0; i < running->n_blocks; i++)
        instances += strncmp(running->blocks[i].header, "router bgp ", 11) == 0;
    if (!b) {
        ferry_refuse(err, "frr-no-instance", "there is no %s in the default VRF",
                     ospf ? "'router ospf'" : "'router bgp'");
        return NULL;
    }
    if (!ospf && instances > 1) {
        ferry_refuse(err, "frr-bgp-instances", "there are %zu BGP instances: not supported yet", instances);
        return NULL;
    }
    return b;
}

int ferry_frr_announce_check(struct ferry_frr *d, const struct ferry_frr_config *running,
                             const struct ferry_op *op, struct ferry_err *err)
{
    struct ferry_frr_files lines = {0};
    int r = ferry_frr_announce_lines(&d->config, op, &lines, err);
    ferry_frr_files_clear(&lines);
    if (r < 0)
        return r;
    bool ospf = is_ospf(op->after ? op->after : op->before);
    const struct ferry_frr_block *block = instance(running, ospf, err);
    if (!block)
        return -FERRY_EREFUSED;
    if (!op->after)
        return 0;
    if (d->config.prefix_list)
        r = check_redistribution(d, running, block, ospf, op, err);
    else if (ospf)
        r = check_interfaces(running, err);
    size_t neighbours = 0;
    if (r == 0)
        r = count_neighbours(d, op, ospf, &neighbours, err);
    if (r == 0 && !neighbours)
        r = ferry_refuse(err, "frr-no-neighbour", "%s has no neighbour: nobody would hear of the subnet",
                         ospf ? "OSPF" : "BGP");
    if (r == 0 && !asked_to_announce(d, &op->prefix)) {
        FERRY_GROW(d->announced, d->n_announced);
        d->announced[d->n_announced++] = op->prefix;
    }
    return r;
}
