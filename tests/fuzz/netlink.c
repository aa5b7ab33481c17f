/* Target: the kernel's answers, byte by byte, through the netlink driver's own socket code: dumps of routes and
 * addresses, nexthop objects, settings, acks with their words.
 *
 * The first byte says what is asked of the driver; then each datagram is two bytes of length (little-endian) and that
 * many bytes.  A sequence number of 0 stands for the one that was asked with.  Where they end, dumps end.  Nothing is
 * sent: sendto and recvmsg are this file's (--wrap), and what lies behind a datagram may not be looked at.
 *
 * SPDX-License-Identifier: MIT */
#include "linux/internal.h"

#include "fuzz.h"
#include "routes.h"

#include <errno.h>
#include <sys/socket.h>

#ifndef __has_feature /* clang's; gcc defines __SANITIZE_ADDRESS__ */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n)   ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

enum { ENDS_MOST = 40, BUF_BYTES = 64 * 1024 };

ssize_t __wrap_sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to,
                      socklen_t n_to);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

static struct {
    const uint8_t *at, *end;
    uint32_t seq;
    unsigned ends; /* of dumps, put in by us */
} kernel;

ssize_t __wrap_sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to,
                      socklen_t n_to)
{
    (void)fd;
    (void)flags;
    (void)to;
    (void)n_to;
    size_t at = 0;
    while (n - at >= sizeof(struct nlmsghdr)) { /* a batch: its last one counts */
        const struct nlmsghdr *h = (const struct nlmsghdr *)((const char *)bytes + at);
        kernel.seq = h->nlmsg_seq;
        if (h->nlmsg_len < sizeof *h)
            break;
        at += NLMSG_ALIGN(h->nlmsg_len);
    }
    return (ssize_t)n;
}

static size_t next_datagram(uint8_t *to, size_t room)
{
    if (kernel.end - kernel.at < 2) {
        struct {
            struct nlmsghdr h;
            int error;
        } done = {{.nlmsg_len = sizeof done, .nlmsg_type = NLMSG_DONE, .nlmsg_flags = NLM_F_DUMP_FILTERED},
                  0};
        memcpy(to, &done, sizeof done);
        return ++kernel.ends > ENDS_MOST ? 0 : sizeof done;
    }
    size_t n = kernel.at[0] | (size_t)kernel.at[1] << 8, left = (size_t)(kernel.end - kernel.at) - 2;
    kernel.at += 2;
    n = n < left ? n : left;
    n = n < room ? n : room;
    memcpy(to, kernel.at, n);
    kernel.at += n;
    return n;
}

static void set_sequence(uint8_t *bytes, size_t n)
{
    for (size_t at = 0; n - at >= sizeof(struct nlmsghdr);) {
        struct nlmsghdr *h = (struct nlmsghdr *)(bytes + at);
        if (!h->nlmsg_seq)
            h->nlmsg_seq = kernel.seq;
        if (h->nlmsg_len < sizeof *h || h->nlmsg_len > n - at || NLMSG_ALIGN(h->nlmsg_len) > n - at)
            return;
        at += NLMSG_ALIGN(h->nlmsg_len);
    }
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    (void)fd;
    (void)flags;
    uint8_t *to = message->msg_iov->iov_base;
    ASAN_UNPOISON_MEMORY_REGION(to, BUF_BYTES);
    size_t n = next_datagram(to, BUF_BYTES);
    set_sequence(to, n);
    ASAN_POISON_MEMORY_REGION(to + n, BUF_BYTES - n);
    if (!n)
        errno = ENOBUFS;
    return n ? (ssize_t)n : -1;
}

/* The interfaces of this machine are not asked about. */
static unsigned ifindex(const struct ferry_linux *d, const char *name)
{
    (void)d;
    return !strcmp(name, "lan0") ? 2 : !strcmp(name, "eth0") ? 3 : 0;
}

static void ifname(const struct ferry_linux *d, unsigned index, char ret[static FERRY_DEV_LEN])
{
    (void)d;
    memset(ret, 0, FERRY_DEV_LEN);
    strcpy(ret, index == 2 ? "lan0" : index == 3 ? "eth0" : "");
}

static int ifflags(const struct ferry_linux *d, const char *name)
{
    return ifindex(d, name) ? IFF_UP | IFF_RUNNING : -1;
}

unsigned __wrap_ferry_linux_ifindex(const struct ferry_linux *d, const char *name);
void __wrap_ferry_linux_ifname(const struct ferry_linux *d, unsigned index, char ret[static FERRY_DEV_LEN]);
int __wrap_ferry_linux_ifflags(const struct ferry_linux *d, const char *name);
int __wrap_ferry_linux_lan_probe(struct ferry_linux *d, struct ferry_linux_probe *probes, size_t n,
                                 unsigned wait_ms, struct ferry_err *err);

unsigned __wrap_ferry_linux_ifindex(const struct ferry_linux *d, const char *name)
{
    return ifindex(d, name);
}

void __wrap_ferry_linux_ifname(const struct ferry_linux *d, unsigned index, char ret[static FERRY_DEV_LEN])
{
    ifname(d, index, ret);
}

int __wrap_ferry_linux_ifflags(const struct ferry_linux *d, const char *name)
{
    return ifflags(d, name);
}

int __wrap_ferry_linux_lan_probe(struct ferry_linux *d, struct ferry_linux_probe *probes, size_t n,
                                 unsigned wait_ms, struct ferry_err *err)
{
    (void)d;
    (void)probes;
    (void)n;
    (void)wait_ms;
    (void)err;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    fuzz_begin();
    kernel.at = data + 1;
    kernel.end = data + size;
    kernel.ends = 0;
    struct ferry_linux *d = ferry_calloc(1, sizeof *d);
    d->base.ops = &ferry_driver_linux;
    d->env = &fuzz_env;
    d->router = ferry_strdup("edge");
    d->fd = -1;
    d->buf_bytes = BUF_BYTES;
    d->buf = ferry_calloc(1, BUF_BYTES);
    struct ferry_driver *driver = (struct ferry_driver *)d;
    switch (data[0] % 4) {
    case 0:
        fuzz_read(driver);
        break;
    case 1:
        fuzz_check_ops(driver);
        break;
    case 2:
        fuzz_apply(driver);
        break;
    default:
        fuzz_read_all(driver);
        break;
    }
    ASAN_UNPOISON_MEMORY_REGION(d->buf, BUF_BYTES);
    ferry_driver_linux.close(driver);
    return 0;
}
