/* What is said on the router's LANs: its kernel is made to ask (router/ip.sh), for no tool is sure to be there.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

static void add_line(struct ferry_text *t, const char *dev, const struct ferry_addr *address)
{
    char text[FERRY_ADDR_STRLEN];
    t->buf = ferry_realloc(t->buf, t->n + 128, 1);
    t->size = t->n + 128;
    ferry_say(t, "%s %s\n", dev, ferry_addr_text(address, text));
}

int ferry_iproute_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                           struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)driver;
    FERRY_AUTOFREE char *said = NULL;
    struct ferry_text lines = {0};
    size_t n_lines = 0, n_said;
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == FERRY_KIND_GATEWAY && ops[i].after && ops[i].gateway &&
            !ops[i].gateway->via.family && ops[i].interface) {
            add_line(&lines, ops[i].interface, &ops[i].gateway->address.addr);
            n_lines++;
        }
    FERRY_AUTOFREE char *input = lines.buf;
    if (!lines.n)
        return 0;
    int result = ferry_iproute_talk(d, "announce", input, lines.n, n_lines, &said, &n_said, err);
    return result < 0 ? ferry_error_prefix(err, result, "%s: announcing the gateway", d->base.router) : 0;
}

/* A line of the answer: "ADDRESS DEV MAC". */
static void hear(struct ferry_linux_probe *probes, size_t n, const char *line)
{
    char address[FERRY_ADDR_STRLEN], dev[FERRY_DEV_LEN], text[FERRY_ADDR_STRLEN];
    uint8_t mac[6];
    if (sscanf(line, "%45s %15s %2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", address, dev, &mac[0], &mac[1], &mac[2],
               &mac[3], &mac[4], &mac[5]) != 8)
        return;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(dev, probes[i].interface) && !strcmp(address, ferry_addr_text(probes[i].address, text))) {
            probes[i].taken = true;
            memcpy(probes[i].by, mac, sizeof mac);
        }
}

int ferry_iproute_probe(struct ferry_linux *base, struct ferry_linux_probe *probes, size_t n,
                        unsigned wait_ms, struct ferry_err *err)
{
    struct ferry_iproute *d = (struct ferry_iproute *)base;
    FERRY_AUTOFREE char *said = NULL, *input = NULL;
    struct ferry_text lines = {0};
    size_t n_said;
    char *rest = NULL;
    lines.buf = ferry_calloc(1, lines.size = 16);
    ferry_say(&lines, "0.%03u\n", wait_ms);
    for (size_t i = 0; i < n; i++)
        add_line(&lines, probes[i].interface, probes[i].address);
    input = lines.buf;
    if (ferry_iproute_talk(d, "probe", input, lines.n, n + 1, &said, &n_said, err) < 0)
        return -FERRY_EIO; /* nothing was written */
    for (char *line = strtok_r(said, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strcmp(line, "mute") && !d->told) {
            d->told = true;
            ferry_log(base->env, FERRY_LOG_WARNING,
                      "warning: %s cannot ask whether another machine has the gateway's address (its ip is "
                      "too old): nobody asked",
                      base->router);
        }
        hear(probes, n, line);
    }
    return 0;
}
