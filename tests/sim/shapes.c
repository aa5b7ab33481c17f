/* The networks: families of graphs, and what they are dressed in (see `dresses`); and small public networks
 * where their edges are at hand.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include "base/mem.h"

#include <dirent.h>
#include <string.h>

#define LINKS 64

struct net {
    unsigned n, n_links, n_sites;
    unsigned a[LINKS], b[LINKS], cost[LINKS], site[SIM_ROUTERS];
};

struct dress {
    const char *name;
    bool v6, ecmp, frr, via, nested, parallel, dual_stack;
    const char *speaks;
    unsigned gateways, subnets, table; /* gateways: at most so many a site */
};

static void link_of(struct net *net, unsigned a, unsigned b, unsigned cost)
{
    if (net->n_links == LINKS || a == b)
        return;
    net->a[net->n_links] = a;
    net->b[net->n_links] = b;
    net->cost[net->n_links++] = cost;
}

/* ---- Families. ---- */

static void line(struct net *net)
{
    for (unsigned i = 0; i + 1 < net->n; i++)
        link_of(net, i, i + 1, 10);
}

static void ring(struct net *net)
{
    line(net);
    link_of(net, net->n - 1, 0, 10);
}

static void star(struct net *net)
{
    for (unsigned i = 1; i < net->n; i++)
        link_of(net, 0, i, 10);
}

static void mesh(struct net *net)
{
    for (unsigned i = 0; i < net->n; i++)
        for (unsigned k = i + 1; k < net->n; k++)
            link_of(net, i, k, 10 + (i + k) % 3);
}

static void grid(struct net *net)
{
    unsigned width = net->n % 4 == 0 && net->n > 6 ? 4 : net->n % 3 == 0 ? 3 : 2;
    for (unsigned i = 0; i < net->n; i++) {
        if (i % width + 1 < width && i + 1 < net->n)
            link_of(net, i, i + 1, 10);
        if (i + width < net->n)
            link_of(net, i, i + width, 10);
    }
}

static void tree(struct net *net)
{
    for (unsigned i = 1; i < net->n; i++)
        link_of(net, (i - 1) / 2, i, 10);
}

/* Two in the middle, everybody at both. */
static void dual_homed(struct net *net)
{
    link_of(net, 0, 1, 5);
    for (unsigned i = 2; i < net->n; i++) {
        link_of(net, 0, i, 10);
        link_of(net, 1, i, 10);
    }
}

/* A ring with cords of uneven cost: long detours, many changes. */
static void cords(struct net *net)
{
    ring(net);
    for (unsigned i = 0; i < net->n; i += 2)
        link_of(net, i, (i + net->n / 2) % net->n, 5 + 7 * (i % 3));
}

static const struct family {
    const char *name;
    void (*fn)(struct net *net);
    unsigned n, n_sites;
} families[] = {
    {"triangle", ring, 3, 3},
    {"line4", line, 4, 2},
    {"line6", line, 6, 3},
    {"ring5", ring, 5, 3},
    {"ring8", ring, 8, 3},
    {"star5", star, 5, 3},
    {"star9", star, 9, 4},
    {"mesh4", mesh, 4, 3},
    {"mesh6", mesh, 6, 3},
    {"grid6", grid, 6, 3},
    {"grid9", grid, 9, 3},
    {"grid12", grid, 12, 4},
    {"tree7", tree, 7, 3},
    {"tree10", tree, 10, 3},
    {"dual-homed6", dual_homed, 6, 3},
    {"dual-homed9", dual_homed, 9, 3},
    {"cords7", cords, 7, 3},
    {"cords10", cords, 10, 4},
};

static const struct dress dresses[] = {
    {.name = "plain", .gateways = 1, .subnets = 1},
    {.name = "v6", .gateways = 1, .subnets = 1, .v6 = true},
    {.name = "ecmp", .gateways = 1, .subnets = 1, .ecmp = true},
    {.name = "two-gateways", .gateways = 2, .subnets = 1},
    {.name = "two-gateways-ecmp-v6", .gateways = 2, .subnets = 1, .ecmp = true, .v6 = true},
    {.name = "subnets", .gateways = 1, .subnets = 4},
    {.name = "nested", .gateways = 1, .subnets = 2, .nested = true},
    {.name = "via", .gateways = 1, .subnets = 1, .via = true},
    {.name = "parallel", .gateways = 1, .subnets = 1, .parallel = true, .ecmp = true},
    {.name = "table", .gateways = 1, .subnets = 1, .table = 100},
    {.name = "frr", .gateways = 1, .subnets = 1, .frr = true},
    {.name = "bgp", .gateways = 1, .subnets = 1, .speaks = "bgp"},
    {.name = "ospf", .gateways = 1, .subnets = 1, .speaks = "ospf"},
};

/* ---- As a topology file. ---- */

static void put_router(FILE *f, const struct net *net, const struct dress *d, unsigned r)
{
    const char *driver = d->speaks ? "sim" : d->frr ? "frr" : "netlink";
    fprintf(f, "%s{\"name\": \"r%u\", \"site\": \"s%u\", \"driver\": {\"type\": \"%s\"", r ? ",\n" : "", r,
            net->site[r], driver);
    if (!d->speaks)
        fprintf(f, ", \"netns\": \"r%u\"", r);
    fprintf(f, "}, ");
    if (d->table)
        fprintf(f, "\"table\": %u, ", d->table);
    if (d->speaks)
        fprintf(f, "\"routing\": \"%s\", ", d->speaks);
    fputs("\"interfaces\": [", f);
    for (unsigned i = 0; i < net->n_links; i++)
        if (net->a[i] == r || net->b[i] == r)
            fprintf(f,
                    d->v6 ? "{\"name\": \"l%u\", \"addresses\": [\"fd00:%u::%u/64\"]}, "
                          : "{\"name\": \"l%u\", \"addresses\": [\"10.255.%u.%u/30\"]}, ",
                    i, i, net->a[i] == r ? 1u : 2u);
    if (d->via)
        fprintf(f, "{\"name\": \"core0\", \"addresses\": [\"172.16.%u.1/24\"]}, ", r);
    fputs("{\"name\": \"lan0\"}]}", f);
}

static void prefix_of(const struct dress *d, unsigned s, char prefix[64], char address[64])
{
    if (d->nested) {
        strcpy(prefix, s ? "10.40.8.0/24" : "10.40.0.0/16");
        strcpy(address, s ? "10.40.8.1/24" : "10.40.0.1/16");
    } else if (d->v6) {
        snprintf(prefix, 64, "2001:db8:%u::/64", s);
        snprintf(address, 64, "2001:db8:%u::1/64", s);
    } else {
        snprintf(prefix, 64, "10.%u.16.0/24", 40 + s);
        snprintf(address, 64, "10.%u.16.1/24", 40 + s);
    }
}

static void put_subnet(FILE *f, const struct net *net, const struct dress *d, unsigned s)
{
    unsigned at_site[SIM_ROUTERS] = {0};
    char prefix[64], address[64];
    const char *between = "";
    prefix_of(d, s, prefix, address);
    fprintf(f, "%s{\"name\": \"n%u\", \"prefix\": \"%s\", \"home\": \"s%u\", \"gateways\": [", s ? ",\n" : "",
            s, prefix, d->nested ? 0 : s % net->n_sites);
    for (unsigned r = 0; r < net->n; r++) {
        if (at_site[net->site[r]]++ >= d->gateways)
            continue;
        fprintf(f, "%s{\"router\": \"r%u\", ", between, r);
        if (d->via)
            fprintf(f, "\"via\": \"172.16.%u.2\", \"interface\": \"core0\"}", r);
        else
            fprintf(f, "\"interface\": \"lan0\", \"address\": \"%s\"}", address);
        between = ", ";
    }
    fputs("]}", f);
}

static char *text_of(const struct net *given, const struct dress *d)
{
    struct net net = *given;
    char *text = NULL;
    size_t size;
    for (unsigned i = 0, n = net.n_links; d->parallel && i < n; i += 2)
        link_of(&net, net.a[i], net.b[i], net.cost[i]);
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "{\"ferry\": 1, \"name\": \"shape\", \"ecmp\": %s, \"sites\": [", d->ecmp ? "true" : "false");
    for (unsigned i = 0; i < net.n_sites; i++)
        fprintf(f, "%s{\"name\": \"s%u\"}", i ? ", " : "", i);
    fputs("],\n\"routers\": [", f);
    for (unsigned r = 0; r < net.n; r++)
        put_router(f, &net, d, r);
    fputs("],\n\"links\": [", f);
    for (unsigned i = 0; i < net.n_links; i++)
        fprintf(f, "%s{\"endpoints\": [\"r%u:l%u\", \"r%u:l%u\"], \"cost\": %u}", i ? ",\n" : "", net.a[i], i,
                net.b[i], i, net.cost[i]);
    fputs("],\n\"subnets\": [", f);
    for (unsigned s = 0; s < d->subnets; s++)
        put_subnet(f, &net, d, s);
    fputs("]}\n", f);
    fclose(f);
    return text;
}

static void add(struct shape_list *list, char *name, char *text)
{
    size_t n = list->n;
    FERRY_GROW(list->names, n);
    n = list->n;
    FERRY_GROW(list->texts, n);
    list->names[list->n] = name;
    list->texts[list->n++] = text;
}

static void place(struct net *net)
{
    for (unsigned r = 0; r < net->n; r++)
        net->site[r] = r * net->n_sites / net->n;
}

/* ---- Public networks. ---- */

/* "N M" and M lines "A B COST".  False where it is too big. */
static bool read_edges(const char *path, struct net *net)
{
    FILE *f = fopen(path, "re");
    unsigned a, b, cost, m;
    bool good = f && fscanf(f, "%u %u", &net->n, &m) == 2 && net->n >= 4 && net->n <= 12 && m <= LINKS;
    while (good && fscanf(f, "%u %u %u", &a, &b, &cost) == 3) {
        bool twice = false;
        for (unsigned i = 0; i < net->n_links; i++)
            twice |= (net->a[i] == a && net->b[i] == b) || (net->a[i] == b && net->b[i] == a);
        if (!twice && a < net->n && b < net->n)
            link_of(net, a, b, cost ? cost : 1);
    }
    if (f)
        fclose(f);
    return good;
}

static void add_public(struct shape_list *list, const char *dir, const char **ret_missing)
{
    struct dirent **files = NULL;
    int n = scandir(dir, &files, NULL, alphasort), taken = 0;
    if (n < 0)
        *ret_missing = dir;
    for (int i = 0; i < n; i++) {
        size_t len = strlen(files[i]->d_name);
        struct net net = {.n_sites = 3};
        FERRY_AUTOFREE char *path = ferry_asprintf("%s/%s", dir, files[i]->d_name);
        if (len > 2 && taken < 16 && !strcmp(files[i]->d_name + len - 2, ".e") && read_edges(path, &net)) {
            place(&net);
            const struct dress *d = &dresses[taken++ % 5];
            add(list, ferry_asprintf("%.*s-%s", (int)len - 2, files[i]->d_name, d->name), text_of(&net, d));
        }
        free(files[i]);
    }
    free(files);
}

/* Every family plain and in some of the dresses: all of them on the triangle. */
const struct shape_list *shapes(const char *edges_dir, const char **ret_missing)
{
    static struct shape_list list;
    for (size_t i = 0; i < FERRY_COUNT(families); i++)
        for (size_t k = 0; k < FERRY_COUNT(dresses); k++) {
            struct net net = {.n = families[i].n, .n_sites = families[i].n_sites};
            if (i && k && (i + k) % 4)
                continue;
            families[i].fn(&net);
            place(&net);
            add(&list, ferry_asprintf("%s-%s", families[i].name, dresses[k].name),
                text_of(&net, &dresses[k]));
        }
    if (edges_dir)
        add_public(&list, edges_dir, ret_missing);
    return &list;
}
