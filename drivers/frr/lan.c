/* The slot `announce`: what the LAN is told, by the router's own tools (remote/router/ip.sh).
 * SPDX-License-Identifier: MIT */
#include "internal.h"

int ferry_frr_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                       struct ferry_err *err)
{
    struct ferry_frr *d = (struct ferry_frr *)driver;
    FERRY_CLEANUP(ferry_remote_reply_clear) struct ferry_remote_reply reply = {0};
    struct ferry_frr_text lines = {0};
    char address[FERRY_ADDR_STRLEN];
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == FERRY_KIND_GATEWAY && ops[i].after && ops[i].gateway &&
            !ops[i].gateway->via.family && ops[i].interface && ferry_frr_name_fits(ops[i].interface))
            ferry_frr_text_add(&lines, "%s %s\n", ops[i].interface,
                               ferry_addr_text(&ops[i].gateway->address.addr, address));
    FERRY_AUTOFREE char *input = lines.v;
    if (!lines.n)
        return 0;
    struct ferry_remote_call call = {.verb = "ip_announce", .input = input, .n_input = lines.n};
    int result = ferry_remote_call(d->remote, &call, &reply, err);
    return result < 0 ? ferry_error_prefix(err, result, "%s: announcing the gateway", d->router) : 0;
}
