/* What the files of the iproute driver share.  README.md says which file does what.
 *
 * The driver is the netlink driver (drivers/linux) with another means of conversation: the router's own `ip` carries
 * the kernel's messages.  Questions are commands whose answers are kept for the length of one slot's call, so that all
 * that a slot will want is fetched in one exchange, before it asks.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_IPROUTE_INTERNAL_H
#define FERRY_IPROUTE_INTERNAL_H

#include "iproute.h"

#include "linux/native.h"
#include "remote/remote.h"

/* iproute2's ip/iproute.c, ip/ipaddress.c and ip/iprule.c: what saved messages begin with, in the byte order of their
 * router. */
enum {
    FERRY_IPROUTE_ROUTES = 0x45311224,
    FERRY_IPROUTE_ADDRESSES = 0x47361222,
    FERRY_IPROUTE_RULES = 0x71706986
};
bool ferry_iproute_saved(uint32_t magic);

/* What the router's ip said to one command. */
struct ferry_iproute_answer {
    char *command; /* as ip_answer takes it, router/ip.sh */
    uint8_t *out;  /* n_out bytes, then a NUL; aligned as messages need it */
    size_t n_out;
    int status; /* of ip */
    char *err;  /* what it said on standard error */
};

struct ferry_iproute_link {
    char name[FERRY_DEV_LEN];
    unsigned index;
    int flags;      /* IFF_UP, IFF_RUNNING */
    uint32_t group; /* 0: one that is not a number, too */
    bool enslaved;
};

struct ferry_iproute {
    struct ferry_linux base; /* first */
    struct ferry_remote *remote;
    char *state_dir;                      /* whose the claim is; or NULL */
    struct ferry_remote_process *session; /* ip_session, router/ip.sh; NULL: not yet, or no more */
    struct ferry_iproute_answer *answers; /* of this call of a slot */
    size_t n_answers;
    struct ferry_iproute_link *links; /* the router's interfaces, as last asked */
    size_t n_links;
    /* Route ops, where only what stands under their own prefixes is wanted (slots.c); n 0: whole tables. */
    const struct ferry_op *exact;
    size_t n_exact;
    /* A batch on its way (batch.c): lines for ip, and whose they are. */
    struct ferry_text lines;
    uint32_t *tags;
    size_t n_tags;
    bool told; /* said already that addresses cannot be probed */
};

/* ---- Conversation (talk.c). ---- */

/* One exchange: `what` is "show" or "batch", `lines` what it is about.  -FERRY_EIO: nothing was run;
 * -FERRY_EUNKNOWN: who knows. */
int ferry_iproute_talk(struct ferry_iproute *d, const char *what, const char *lines, size_t n, size_t n_lines,
                       char **ret, size_t *ret_n, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_iproute_hang_up(struct ferry_iproute *d);
/* What one ip said: takes it off the front of what is left, or returns false. */
struct ferry_iproute_part {
    const char *out, *err;
    size_t n_out, n_err;
    int status;
};
bool ferry_iproute_part(const char *bytes, size_t n, size_t *at, struct ferry_iproute_part *ret);

/* Commands to ask, each once, in order. */
struct ferry_iproute_list {
    char **v;
    size_t n;
};
void ferry_iproute_list_add(struct ferry_iproute_list *l, const char *fmt, ...) FERRY_PRINTF(2, 3);
void ferry_iproute_list_clear(struct ferry_iproute_list *l);
/* Asks all that is not answered yet, in one call.  -FERRY_EIO. */
int ferry_iproute_fetch(struct ferry_iproute *d, const struct ferry_iproute_list *commands,
                        struct ferry_err *err) FERRY_MUST_CHECK;
/* NULL: it was not asked. */
const struct ferry_iproute_answer *ferry_iproute_answer(const struct ferry_iproute *d, const char *command);
/* The answer, asked for now where it was not. */
int ferry_iproute_ask(struct ferry_iproute *d, const char *command, const struct ferry_iproute_answer **ret,
                      struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_iproute_forget(struct ferry_iproute *d);
/* "IP SAID: words", of the first line of what ip complained about. */
const char *ferry_iproute_words(const char *err, char *buf, size_t size);
/* Takes the interfaces out of the answer to "link show". */
int ferry_iproute_links(struct ferry_iproute *d, struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- The netlink driver's questions, and its messages (means.c, answers.c, batch.c). ---- */

extern const struct ferry_linux_means ferry_iproute_means;
#define FERRY_IPROUTE_VLANS "-d link show type vlan"

/* The commands that answer a look. */
int ferry_iproute_look(struct ferry_linux *base, const struct ferry_linux_survey *s, struct ferry_err *err);
void ferry_iproute_say_lookup(char *buf, size_t size, const struct ferry_addr *via, const char *dev);
/* JSON answers as the kernel's messages. */
int ferry_iproute_tell(struct ferry_iproute *d, const struct ferry_iproute_answer *answer, unsigned type,
                       const char *interface, void (*each)(void *ctx, struct nlmsghdr *answer), void *ctx,
                       struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_iproute_send(struct ferry_linux_batch *b, bool last);
/* What gateways bring along (device.c). */
int ferry_iproute_refresh(struct ferry_linux *base, struct ferry_err *err);
int ferry_iproute_link(struct ferry_linux *base, const char *name, uint32_t *ret_group, uint32_t *ret_master,
                       struct ferry_err *err);
int ferry_iproute_vlan(struct ferry_linux *base, const char *name, struct ferry_linux_vlan *ret,
                       struct ferry_err *err);
int ferry_iproute_run(struct ferry_linux *base, const char *lines, struct ferry_err *err);
int ferry_iproute_writable(const struct ferry_entry *entry, struct ferry_err *err);

/* ---- The slots (slots.c, lan.c, undo.c). ---- */

int ferry_iproute_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                       struct ferry_err *err);
int ferry_iproute_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);
int ferry_iproute_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);
int ferry_iproute_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                           struct ferry_err *err);
int ferry_iproute_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                         size_t size);
int ferry_iproute_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                          const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                          unsigned *ret_left_s, struct ferry_err *err);
int ferry_iproute_claim(struct ferry_driver *driver, bool wanted, struct ferry_err *err);
int ferry_iproute_probe(struct ferry_linux *base, struct ferry_linux_probe *probes, size_t n,
                        unsigned wait_ms, struct ferry_err *err);

#endif
