/* A steady stream of ICMP echoes, and what came back: the stopwatch of the outage benchmark, independent of
 * Ferry's prober.
 *
 * Usage: bench-stream ADDRESS PERIOD_US, in the namespace of the machine that asks.  Prints "ready" when the
 * first answer came, runs until SIGTERM, then prints one line of JSON: sent, lost, duplicates, ttl_exceeded,
 * outage_ms (from the sending of the first lost probe of the longest gap to the sending of the next answered
 * one).
 *
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_PROBES 2000000u

static volatile sig_atomic_t stop;
static uint64_t *sent_us;
static uint8_t *answers;

static void on_term(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint16_t checksum(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

struct probe {
    struct icmphdr header;
    uint32_t magic, number;
};

static void send_probe(int fd, const struct sockaddr_in *to, uint32_t magic, uint32_t number)
{
    struct probe p = {.header = {.type = ICMP_ECHO}, .magic = magic, .number = number};
    p.header.un.echo.id = (uint16_t)magic;
    p.header.un.echo.sequence = htons((uint16_t)number);
    p.header.checksum = checksum(&p, sizeof p);
    sent_us[number] = now_us();
    /* A refusal (no route, unreachable) is a lost probe, like any other. */
    ssize_t n = sendto(fd, &p, sizeof p, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to);
    (void)n;
}

static void take(int fd, uint32_t magic, uint32_t n_sent, unsigned *ttl_exceeded)
{
    uint8_t buf[2048];
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n < (ssize_t)sizeof(struct iphdr))
            return;
        size_t head = (size_t)(buf[0] & 15) * 4;
        struct probe p;
        if ((size_t)n < head + sizeof(struct icmphdr))
            continue;
        memset(&p, 0, sizeof p);
        memcpy(&p, buf + head, (size_t)n - head < sizeof p ? (size_t)n - head : sizeof p);
        if (p.header.type == ICMP_TIME_EXCEEDED)
            ++*ttl_exceeded;
        else if (p.header.type == ICMP_ECHOREPLY && p.magic == magic && p.number < n_sent &&
                 answers[p.number] < 255)
            answers[p.number]++;
    }
}

static void report(uint32_t n_sent, unsigned ttl_exceeded)
{
    uint32_t lost = 0, duplicates = 0;
    uint64_t outage = 0, since = 0;
    bool in_gap = false;
    for (uint32_t i = 0; i < n_sent; i++) {
        if (answers[i]) {
            duplicates += answers[i] - 1u;
            if (in_gap && sent_us[i] - since > outage)
                outage = sent_us[i] - since;
            in_gap = false;
        } else {
            lost++;
            if (!in_gap)
                since = sent_us[i];
            in_gap = true;
        }
    }
    printf("{\"sent\": %u, \"lost\": %u, \"duplicates\": %u, \"ttl_exceeded\": %u, \"outage_ms\": %.3f}\n",
           n_sent, lost, duplicates, ttl_exceeded, (double)outage / 1000.0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || atoi(argv[2]) <= 0) {
        fprintf(stderr, "usage: bench-stream ADDRESS PERIOD_US\n");
        return 64;
    }
    uint64_t period_us = (uint64_t)atoi(argv[2]);
    uint32_t magic = (uint32_t)getpid() << 16 | (uint32_t)(now_us() & 0xffff);
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    int bytes = 4 << 20;
    if (fd < 0) {
        perror("bench-stream: raw socket");
        return 1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    struct sched_param priority = {.sched_priority = 10};
    sched_setscheduler(0, SCHED_FIFO, &priority);
    sent_us = calloc(MOST_PROBES, sizeof *sent_us);
    answers = calloc(MOST_PROBES, 1);
    if (!sent_us || !answers)
        return 1;
    uint32_t n = 0;
    unsigned ttl_exceeded = 0;
    bool ready = false;
    uint64_t next = now_us();
    while (!stop && n < MOST_PROBES) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        uint64_t now = now_us();
        if (now >= next) {
            send_probe(fd, &to, magic, n++);
            next += period_us;
            continue;
        }
        struct timespec until = {.tv_nsec = (long)(next - now) * 1000};
        if (ppoll(&wait, 1, &until, NULL) > 0)
            take(fd, magic, n, &ttl_exceeded);
        if (!ready && n > 1 && answers[n - 1]) {
            ready = true;
            printf("ready\n");
            fflush(stdout);
        }
    }
    uint64_t end = now_us() + 200000; /* the last answers are still on their way */
    while (now_us() < end) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 10) > 0)
            take(fd, magic, n, &ttl_exceeded);
    }
    report(n, ttl_exceeded);
    return 0;
}
