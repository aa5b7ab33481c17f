/* What the files of the netlink driver share.  README.md says which file does what.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_LINUX_INTERNAL_H
#define FERRY_LINUX_INTERNAL_H

#include "linux.h"

#include <base/mem.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>

/* watch.c: the slot of that name. */
int ferry_linux_watch(const struct ferry_driver_config *config, int *ret_fd, struct ferry_err *err);

struct ferry_linux_batch;
struct ferry_linux_dump;
struct ferry_linux_probe;
struct ferry_linux_survey;

/* A VLAN subinterface that is there (vlan.c). */
struct ferry_linux_vlan {
    uint16_t id;                /* 0: what is there is none */
    bool other;                 /* not 802.1Q but 802.1ad */
    char parent[FERRY_DEV_LEN]; /* "": in another namespace */
};

/* Another way to hold the conversation than a socket of this machine: drivers/iproute lets `ip` hold it on the router.
 * The messages are the kernel's either way, so that all that is decided about them is decided here, once.  Each
 * function stands for ferry_linux_<name>. */
struct ferry_linux;
struct ferry_linux_means {
    unsigned (*ifindex)(const struct ferry_linux *d, const char *name);
    void (*ifname)(const struct ferry_linux *d, unsigned index, char ret[static FERRY_DEV_LEN]);
    int (*ifflags)(const struct ferry_linux *d, const char *name);
    int (*dump)(struct ferry_linux *d, const struct ferry_linux_dump *dump, struct ferry_err *err);
    int (*ask)(struct ferry_linux *d, struct nlmsghdr *request,
               void (*each)(void *ctx, struct nlmsghdr *answer), void *ctx, struct ferry_err *err);
    int (*lan_probe)(struct ferry_linux *d, struct ferry_linux_probe *probes, size_t n, unsigned wait_ms,
                     struct ferry_err *err);
    /* A look begins, or begins again: what it will ask for is known. */
    int (*look)(struct ferry_linux *d, const struct ferry_linux_survey *s, struct ferry_err *err);
    /* Takes the messages of a batch; answers them with `last` at the latest. */
    void (*send)(struct ferry_linux_batch *b, bool last);
    /* What device.c asks and tells: the router's interfaces anew; the group and master of one; lines of ip,
     * where a positive number is that they were refused, in the words of `err`. */
    int (*refresh)(struct ferry_linux *d, struct ferry_err *err);
    int (*link)(struct ferry_linux *d, const char *name, uint32_t *ret_group, uint32_t *ret_master,
                struct ferry_err *err);
    int (*run)(struct ferry_linux *d, const char *lines, struct ferry_err *err);
    int (*vlan)(struct ferry_linux *d, const char *name, struct ferry_linux_vlan *ret, struct ferry_err *err);
    /* -FERRY_EREFUSED where it has no words for the route. */
    int (*writable)(const struct ferry_entry *entry, struct ferry_err *err);
};

struct ferry_linux {
    struct ferry_driver_base base;         /* first: the engine sees only this */
    const struct ferry_linux_means *means; /* NULL: the socket */
    const struct ferry_env *env;
    char *router;                       /* for texts */
    char *netns;                        /* or NULL */
    uint64_t netns_device, netns_inode; /* which one it was when the socket was opened */
    struct nl_sock *sock;
    int fd; /* of sock; strict, with extended acks */
    uint32_t seq;
    int packet_fd;    /* for announcements and probes, opened when first needed; 0: not yet */
    int member_fd;    /* member of groups (lan.c, L1), likewise */
    int claim_fd;     /* claim.c; 0: not claimed */
    char unmade[256]; /* why an interface or rule could not be made, of the last apply (device.c) */
    uint8_t *buf;     /* one receive */
    size_t buf_bytes;
    struct ferry_remote *remote; /* for the dead-man, opened when first needed; NULL: not yet */
};

/* ---- Names: interfaces by the socket's own namespace (names.c). ---- */

/* 0 where there is none. */
unsigned ferry_linux_ifindex(const struct ferry_linux *d, const char *name);
/* "" where there is none. */
void ferry_linux_ifname(const struct ferry_linux *d, unsigned index, char ret[static FERRY_DEV_LEN]);
/* IFF_UP, IFF_RUNNING and others; -1 where there is none. */
int ferry_linux_ifflags(const struct ferry_linux *d, const char *name);

/* ---- Conversation (talk.c). ---- */

/* -FERRY_EIO where the namespace of that name is not the one that the socket was opened in: it was made anew,
 * and a socket keeps the old one alive, with all its routes, for whoever goes on asking there. */
int ferry_linux_same_netns(const struct ferry_linux *d, struct ferry_err *err) FERRY_MUST_CHECK;
/* Remembers which one that is. */
int ferry_linux_note_netns(struct ferry_linux *d, struct ferry_err *err) FERRY_MUST_CHECK;
/* Opens the socket inside the namespace. */
int ferry_linux_connect(struct ferry_linux *d, struct ferry_err *err) FERRY_MUST_CHECK;
/* Runs `work` in a thread inside the router's namespace: for sockets of other kinds, and its /proc/sys. */
int ferry_linux_inside(const struct ferry_linux *d, int (*work)(void *ctx, struct ferry_err *err), void *ctx,
                       struct ferry_err *err) FERRY_MUST_CHECK;

/* Sends a dump request (header and body are the caller's, flags and sequence are put here) and calls `each`
 * for every answer; `each` must not talk to the kernel.  1: the kernel says that something changed meanwhile
 * (NLM_F_DUMP_INTR): what was heard is worth nothing.  `filtered`: the kernel must have heeded a filter. */
struct ferry_linux_dump {
    struct nlmsghdr *request;
    bool filtered;
    void (*each)(void *ctx, struct nlmsghdr *answer);
    /* May be NULL: before `each`, all answers that came together, to fetch what they will need.  They stay
     * where they are until the last was shown to `each`. */
    void (*glance)(void *ctx, const struct nlmsghdr *answers, int bytes);
    void *ctx;
};
int ferry_linux_dump(struct ferry_linux *d, const struct ferry_linux_dump *dump,
                     struct ferry_err *err) FERRY_MUST_CHECK;
/* One request, one answer: `each` gets it.  The kernel's "no" comes back as its positive errno, with its
 * words in `err`. */
int ferry_linux_ask(struct ferry_linux *d, struct nlmsghdr *request,
                    void (*each)(void *ctx, struct nlmsghdr *answer), void *ctx,
                    struct ferry_err *err) FERRY_MUST_CHECK;

/* A batch: messages gathered, sent up to a bound at once, answers matched by sequence number. */
struct ferry_linux_batch {
    struct ferry_linux *d;
    /* Told of every message in order: 0, or the kernel's errno with its words, or -1: no answer. */
    void (*answer)(void *ctx, uint32_t tag, int error, const char *words);
    void *ctx;
    uint8_t *bytes;
    size_t n_bytes;
    uint32_t tags[128];
    uint32_t last_offset; /* of the newest message: the one that asks for an ack */
    unsigned n;
    bool lost; /* the connection failed: everything from here on is unsent and reported as -2 */
    struct ferry_err why;
};
#define FERRY_LINUX_BATCH_BYTES 32768u
void ferry_linux_batch_init(struct ferry_linux_batch *b, struct ferry_linux *d,
                            void (*answer)(void *ctx, uint32_t tag, int error, const char *words), void *ctx);
/* Room for one message of at most `bytes`, sending first what does not fit beside it. */
uint8_t *ferry_linux_batch_room(struct ferry_linux_batch *b, size_t bytes);
/* The message written at the room is done. */
void ferry_linux_batch_add(struct ferry_linux_batch *b, uint32_t tag);
void ferry_linux_batch_flush(struct ferry_linux_batch *b); /* at the end: all is answered then */
/* So that what follows, up to `messages` and `bytes`, travels in one send: the kernel then works on it
 * without a pause, and a killed process cannot leave a half of it behind. */
void ferry_linux_batch_together(struct ferry_linux_batch *b, size_t messages, size_t bytes);
void ferry_linux_batch_clear(struct ferry_linux_batch *b);

/* ---- Bytes: the driver's own encoding of what the entry's fields cannot say (bytes.c). ---- */

/* Records of (u16 tag, u16 length, bytes, padded to 4), ascending by tag; kernel attributes have their own
 * number as tag.  In the byte order of this machine, like rtnetlink itself. */
enum {
    FERRY_LINUX_TOS = 0x100, /* u8 */
    FERRY_LINUX_SCOPE,       /* u8: where not what the next hops imply */
    FERRY_LINUX_TYPE,        /* u8 rtm_type: where the entry's type stands for another one (throw) */
    FERRY_LINUX_FLAGS,       /* u32: RTNH_F_PERVASIVE */
    FERRY_LINUX_SRC_LEN,     /* u8, with RTA_SRC */
    FERRY_LINUX_EXPIRES,     /* empty: it has a lifetime, nobody can restore that */
    FERRY_LINUX_LEGS,        /* next hops in the kernel's order, with what each has of its own */
    FERRY_LINUX_ADDRESS =
        0x200,         /* of a gateway: one address of the subnet on the interface; in the kernel's order */
    FERRY_LINUX_BARE,  /* empty: the attachment lacks its route */
    FERRY_LINUX_ROUTE, /* the gateway's own route, where it is not the plain one */
    FERRY_LINUX_DEPENDENT, /* a route for another prefix that leans on the address or the subnet */
};
struct ferry_linux_bytes {
    uint8_t *v;
    size_t n, room;
};
struct ferry_linux_record {
    unsigned tag, len;
    const uint8_t *v;
};
void ferry_linux_bytes_raw(struct ferry_linux_bytes *b, const void *v, size_t n);
void ferry_linux_bytes_put(struct ferry_linux_bytes *b, unsigned tag, const void *v, size_t n);
void ferry_linux_bytes_clear(struct ferry_linux_bytes *b);
/* Whether a name of at most size - 1 characters is one that a command can carry; "" is. */
bool ferry_linux_name_sound(const char *name, size_t size);
/* Steps through records: true while there is one. `*at` starts as 0.  False with *at != n: broken. */
bool ferry_linux_bytes_next(const uint8_t *v, size_t n, size_t *at, struct ferry_linux_record *ret);
/* The first record with the tag, or false. */
bool ferry_linux_bytes_find(const uint8_t *v, size_t n, unsigned tag, struct ferry_linux_record *ret);

/* ---- Routes (route.c, write.c). ---- */

/* A route as a message says it; its vectors are reused from message to message. */
struct ferry_linux_route {
    struct ferry_prefix prefix;
    struct ferry_entry entry;  /* points into the vectors below */
    struct ferry_addr prefsrc; /* family 0: none */
    unsigned first_ifindex;    /* of the first leg; 0: none */
    uint32_t nhid;             /* 0: none */
    struct ferry_nexthop *legs;
    unsigned *leg_ifindex; /* beside each leg, before sorting */
    size_t legs_room;
    struct ferry_linux_bytes native;
    char name[FERRY_DEV_LEN]; /* the last interface looked up, and its index */
    unsigned name_index;
};
/* False: a route that nobody asks about (cloned, local, broadcast, …). */
bool ferry_linux_route_parse(struct ferry_linux *d, const struct nlmsghdr *message,
                             struct ferry_linux_route *ret);
void ferry_linux_route_clear(struct ferry_linux_route *r);
/* Fills in the next hops of a route that names only its nexthop object; asks the kernel (nexthop.c).  Returns
 * what the caller frees after use; NULL: nothing to fill in. */
struct ferry_nexthop *ferry_linux_entry_resolve(struct ferry_linux *d, struct ferry_entry *entry);
/* The order in which Ferry writes next hops: by address, then device; the same for reader and writer. */
int ferry_linux_leg_compare(const struct ferry_nexthop *a, const struct ferry_nexthop *b);

/* A leg out of a FERRY_LINUX_LEGS record; what it has of its own follows as records after these bytes. */
#define FERRY_LINUX_LEG_BYTES (4u + 16u + FERRY_DEV_LEN)
bool ferry_linux_leg_unpack(const struct ferry_linux_record *record, struct ferry_nexthop *ret);
/* Takes a record out of an unpacked route's native bytes. */
void ferry_linux_route_drop(struct ferry_linux_route *r, unsigned tag);

/* Writes a route message of at most FERRY_LINUX_MESSAGE_MAX into `at`; returns its length.  -FERRY_EREFUSED
 * with the reason where it cannot be said (no such interface, a lifetime). */
#define FERRY_LINUX_MESSAGE_MAX 8192u
int ferry_linux_route_write(struct ferry_linux *d, uint8_t *at, uint16_t type, uint16_t flags,
                            const struct ferry_prefix *prefix, const struct ferry_entry *entry,
                            struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether it could be written: -FERRY_EREFUSED where not. */
int ferry_linux_route_writable(struct ferry_linux *d, const struct ferry_prefix *prefix,
                               const struct ferry_entry *entry, struct ferry_err *err) FERRY_MUST_CHECK;
/* Key attributes that entry fields do not show: two entries with the same can replace one another in the
 * kernel. */
bool ferry_linux_same_key(const struct ferry_entry *a, const struct ferry_entry *b);

/* A route packed into bytes, for gateways' snapshots. */
void ferry_linux_route_pack(struct ferry_linux_bytes *b, unsigned tag, const struct ferry_prefix *prefix,
                            const struct ferry_entry *entry);
/* `ret->legs` and native are filled; -1 where the bytes are broken. */
int ferry_linux_route_unpack(const struct ferry_linux_record *record, struct ferry_linux_route *ret);

/* ---- Addresses and attachments (address.c, gateway.c). ---- */

struct ferry_linux_address {
    uint8_t family, len, scope, proto;
    uint32_t flags;                           /* IFA_F_… */
    uint32_t metric;                          /* IFA_RT_PRIORITY */
    struct ferry_addr local, peer, broadcast; /* peer: family 0 where it is the local one */
    char label[FERRY_DEV_LEN];                /* "": the interface's name */
    bool finite;                              /* it has a lifetime (DHCP, SLAAC) */
    unsigned ifindex;
};
void ferry_linux_address_pack(struct ferry_linux_bytes *b, const struct ferry_linux_address *a);
int ferry_linux_address_unpack(const struct ferry_linux_record *record, struct ferry_linux_address *ret);
bool ferry_linux_address_parse(struct ferry_linux *d, const struct nlmsghdr *message,
                               struct ferry_linux_address *ret);
/* Why the addresses of one subnet on one interface could not be put back after they went; NULL: they could.
 */
const char *ferry_linux_addresses_lost(const struct ferry_linux_address *all, size_t n);
/* The address of a plain attachment: as `ip addr add A/L dev I` gives it, IPv6 with nodad. */
struct ferry_linux_address ferry_linux_address_plain(const struct ferry_gateway *g, uint32_t table);
/* flags of the message as given; writes RTM_NEWADDR or RTM_DELADDR.  Returns the length. */
int ferry_linux_address_write(uint8_t *at, uint16_t type, uint16_t flags, const struct ferry_linux_address *a,
                              unsigned ifindex);

/* What is known of one gateway during one look at the router. */
struct ferry_linux_attachment {
    struct ferry_prefix prefix;
    uint32_t table;
    const struct ferry_gateway *gateway;
    char interface[FERRY_DEV_LEN];
    unsigned ifindex;                      /* 0: there is no such interface */
    struct ferry_linux_address *addresses; /* of the subnet, on the interface, in the kernel's order */
    size_t n_addresses;
    bool present;   /* the gateway's own address is among them, or its route is there */
    bool passed;    /* a route for the prefix was seen already: one that comes later does not forward */
    unsigned n_own; /* routes that make it a gateway */
    struct ferry_linux_bytes own, dependents; /* packed; own: where it is not the plain one */
};

/* One look at the router: addresses, then routes, each route told to `route`. */
struct ferry_linux_survey {
    struct ferry_linux *d;
    struct ferry_linux_attachment *attachments;
    size_t n_attachments;
    uint32_t *order;                       /* attachments by prefix, so that a route finds its own */
    struct ferry_linux_address *addresses; /* all of the interfaces concerned */
    size_t n_addresses;
    uint32_t table[2];          /* the one table wanted of IPv4, IPv6; 0: several or all */
    bool wanted[2];             /* families */
    bool leaning;               /* some attachment is present: routes may lean on it */
    void (*restart)(void *ctx); /* forget all: it begins (again); may be NULL */
    void (*ready)(void *ctx);   /* the addresses are known, the routes come; may be NULL */
    /* `own`: the attachment that this route belongs to, or NULL. */
    void (*route)(void *ctx, struct ferry_linux_route *route, struct ferry_linux_attachment *own);
    /* Before a message is taken apart: true where the receiver needs to know no more of it.  May be NULL. */
    bool (*shortcut)(void *ctx, const struct nlmsghdr *message);
    void (*glance)(void *ctx, const struct nlmsghdr *messages, int bytes); /* as struct ferry_linux_dump's */
    void *ctx;
    struct ferry_linux_route scratch;
};
void ferry_linux_survey_attachment(struct ferry_linux_survey *s, const struct ferry_prefix *prefix,
                                   uint32_t table, const struct ferry_gateway *gateway,
                                   const char *interface);
void ferry_linux_survey_table(struct ferry_linux_survey *s, uint8_t family, uint32_t table);
int ferry_linux_survey_run(struct ferry_linux_survey *s, struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_linux_survey_clear(struct ferry_linux_survey *s);
/* The entry of an attachment after a survey, native in `bytes`; false: not attached. */
bool ferry_linux_attachment_entry(const struct ferry_linux_attachment *a, struct ferry_linux_bytes *bytes,
                                  struct ferry_entry *ret);
/* The route that a plain routed gateway, or one in a table of its own, is made of. */
struct ferry_entry ferry_linux_gateway_route(const struct ferry_gateway *g, const char *interface,
                                             uint32_t table, struct ferry_nexthop *leg);

/* ---- The LAN (lan.c). ---- */

/* Opens the packet socket, where it is not open yet.  Only where it will be needed: the kernel takes 10 to 20
 * ms to close one. */
int ferry_linux_lan_open(struct ferry_linux *d, struct ferry_err *err) FERRY_MUST_CHECK;
/* Joins the group on which machines ask for an IPv6 address, until the driver is closed.  Best effort, no
 * harm where done before; nothing for IPv4. */
void ferry_linux_lan_join(struct ferry_linux *d, unsigned ifindex, const struct ferry_addr *address);
/* Gratuitous ARP or unsolicited NA for an address on an interface.  Best effort: positive where the interface
 * is no Ethernet. */
int ferry_linux_lan_announce(struct ferry_linux *d, const char *interface, const struct ferry_addr *address,
                             struct ferry_err *err) FERRY_MUST_CHECK;
/* Asks the LANs who has these IPv4 addresses (ARP probes, RFC 5227 §2.1.1), once, waiting `wait_ms` for all
 * of them together; taken[i] is set where somebody answers. */
struct ferry_linux_probe {
    const char *interface;
    const struct ferry_addr *address;
    bool taken;
    uint8_t by[6]; /* who answered: its hardware address */
};
int ferry_linux_lan_probe(struct ferry_linux *d, struct ferry_linux_probe *probes, size_t n, unsigned wait_ms,
                          struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- What gateways bring along (device.c). ---- */

struct ferry_device;
/* Whether it could be made: positive, and why not. */
int ferry_linux_device_possible(struct ferry_linux *d, const char *name, const struct ferry_device *device,
                                struct ferry_err *err) FERRY_MUST_CHECK;
/* Whether what has its name already is not another VLAN (vlan.c): positive, and which. */
int ferry_linux_device_fits(struct ferry_linux *d, const char *name, const struct ferry_device *device,
                            struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_linux_devices_make(struct ferry_linux *d, const struct ferry_op *ops, size_t n,
                             struct ferry_err *err) FERRY_MUST_CHECK;
void ferry_linux_devices_unmake(struct ferry_linux *d, struct ferry_op *ops, size_t n);

/* Whether Ferry made this interface, or would: it is not there. */
bool ferry_linux_device_ours(struct ferry_linux *d, const char *name);
/* Whether an isolated gateway would be alone (isolated.c): positive, and why not. */
int ferry_linux_test_possible(struct ferry_linux *d, const struct ferry_op *op,
                              struct ferry_err *err) FERRY_MUST_CHECK;

/* ---- The slots of the driver. ---- */
int ferry_linux_read(struct ferry_driver *driver, const struct ferry_query *query, struct ferry_fib *ret,
                     struct ferry_err *err);
int ferry_linux_check(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);
int ferry_linux_apply(struct ferry_driver *driver, struct ferry_op *ops, size_t n, struct ferry_err *err);
int ferry_linux_announce(struct ferry_driver *driver, const struct ferry_op *ops, size_t n,
                         struct ferry_err *err);
int ferry_linux_deadman(struct ferry_driver *driver, enum ferry_deadman_verb verb,
                        const struct ferry_deadman *deadman, enum ferry_deadman_state *ret,
                        unsigned *ret_left_s, struct ferry_err *err);
int ferry_linux_claim(struct ferry_driver *driver, bool wanted, struct ferry_err *err);
/* The same for whoever reaches a Linux router by commands. */
struct ferry_remote;
int ferry_linux_undo(struct ferry_linux *d, struct ferry_remote *remote, enum ferry_deadman_verb verb,
                     const struct ferry_deadman *deadman, enum ferry_deadman_state *ret, unsigned *ret_left_s,
                     struct ferry_err *err) FERRY_MUST_CHECK;
int ferry_linux_native(const struct ferry_driver_config *config, const struct ferry_op *op, char *buf,
                       size_t size);

#endif
