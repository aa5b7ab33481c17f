/* Who acts: what the kernel says, what the user database says, and what is only claimed.
 * SPDX-License-Identifier: MIT */
#include <ferry/audit.h>

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void name_of(uint32_t uid, char ret[static 64])
{
    char buf[4096];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(uid, &entry, buf, sizeof buf, &found) || !found)
        return;
    snprintf(ret, 64, "%s", entry.pw_name);
}

/* Kernels without auditing have no such file. */
static uint32_t login_of_self(void)
{
    char text[16] = "";
    int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FERRY_NO_LOGIN;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    char *end;
    unsigned long uid = strtoul(text, &end, 10);
    return n > 0 && end != text && uid < FERRY_NO_LOGIN ? (uint32_t)uid : FERRY_NO_LOGIN;
}

void ferry_actor_self(struct ferry_actor *ret)
{
    const char *sudo = getenv("SUDO_USER");
    *ret = (struct ferry_actor){.uid = getuid(), .login = login_of_self(), .pid = getpid(), .via = "process"};
    name_of(ret->uid, ret->user);
    snprintf(ret->sudo_user, sizeof ret->sudo_user, "%s", sudo ? sudo : "");
}

void ferry_actor_peer(uint32_t uid, long pid, struct ferry_actor *ret)
{
    *ret = (struct ferry_actor){.uid = uid, .login = FERRY_NO_LOGIN, .pid = pid, .via = "socket"};
    name_of(uid, ret->user);
}
