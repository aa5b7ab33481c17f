/* See ssh.h.  SPDX-License-Identifier: MIT */
#include "ssh.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Made once, for all routers; removed at exit. */
static char dir[64], identity[96], known_hosts[96];
static pid_t sshd; /* of the router that is up */

static void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static void remove_dir(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
}

static void make_keys(void)
{
    char command[1200];
    strcpy(dir, "/tmp/ferry-contract-ssh-XXXXXX");
    assert_non_null(mkdtemp(dir));
    atexit(remove_dir);
    snprintf(identity, sizeof identity, "%s/id", dir);
    snprintf(known_hosts, sizeof known_hosts, "%s/known_hosts", dir);
    snprintf(
        command, sizeof command,
        "cd %s && ssh-keygen -q -t ed25519 -N '' -f id && ssh-keygen -q -t ed25519 -N '' -f host && "
        "cp id.pub authorized_keys && echo \"127.0.0.1 $(cat host.pub)\" >known_hosts && "
        "printf '%%s\\n' 'ListenAddress 127.0.0.1' 'HostKey %s/host' 'AuthorizedKeysFile %s/authorized_keys' "
        "'UsePAM no' 'UseDNS no' 'StrictModes no' 'PidFile %s/pid' >config",
        dir, dir, dir, dir);
    run(command);
}

int contract_ssh_available(void)
{
    if (!system("PATH=$PATH:/usr/sbin; command -v sshd >/dev/null && command -v ssh-keygen >/dev/null"))
        return 0;
    fprintf(stderr, "SKIPPED: there is no sshd\n");
    return 77;
}

void contract_ssh_up(struct contract_router *router)
{
    char command[700], pid_file[96];
    if (!*dir)
        make_keys();
    snprintf(pid_file, sizeof pid_file, "%s/pid", dir);
    /* /run is its own: sshd wants a directory there.  A slow .bashrc of root's is not what is tested. */
    snprintf(command, sizeof command,
             "exec ip netns exec %s sh -c 'mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd && "
             "{ [ ! -e /root/.bashrc ] || mount --bind /dev/null /root/.bashrc; } && "
             "exec /usr/sbin/sshd -D -f %s/config -E %s/log'",
             router->netns, dir, dir);
    unlink(pid_file);
    sshd = fork();
    assert_true(sshd >= 0);
    if (!sshd) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 12000 && access(pid_file, F_OK); i++)
        usleep(5000);
    assert_false(access(pid_file, F_OK));
    router->config.transport = "ssh";
    router->config.netns = router->netns;
    router->config.host = "127.0.0.1";
    router->config.user = "root";
    router->config.identity = identity;
    router->config.known_hosts = known_hosts;
}

void contract_ssh_down(struct contract_router *router)
{
    (void)router;
    kill(sshd, SIGTERM);
    waitpid(sshd, NULL, 0);
}
