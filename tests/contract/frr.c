/* Routers that run FRR, for the contract suite: zebra and staticd started by hand in the router's namespace,
 * which takes 0.1 s.  The whole program moves into a mount namespace of its own, where /etc/frr and /run/frr
 * are empty.  SPDX-License-Identifier: MIT */
#include "frr.h"
#include "shell.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

int contract_frr_available(void)
{
    static const char *const own[] = {"/etc/frr", "/run/frr", "/var/log/frr"};
    if (system("command -v vtysh >/dev/null && test -x /usr/lib/frr/zebra && test -x /usr/lib/frr/staticd")) {
        fprintf(stderr, "SKIPPED: there is no FRR\n");
        return 77;
    }
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        fprintf(stderr, "SKIPPED: no mount namespace for FRR\n");
        return 77;
    }
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if ((mkdir(own[i], 0755) && errno != EEXIST) || mount("tmpfs", own[i], "tmpfs", 0, "mode=755")) {
            fprintf(stderr, "SKIPPED: no directory of its own for FRR\n");
            return 77;
        }
    shell("chown frr:frrvty /etc/frr /run/frr && chown frr:frr /var/log/frr");
    return 0;
}

void contract_frr_up(struct contract_router *router)
{
    const char *ns = router->netns;
    shell("mkdir /etc/frr/%s /run/frr/%s && echo service integrated-vtysh-config >/etc/frr/%s/vtysh.conf", ns,
          ns, ns);
    shell("touch /etc/frr/%s/frr.conf && chown -R frr:frrvty /etc/frr/%s /run/frr/%s", ns, ns, ns);
    shell("ip netns exec %s /usr/lib/frr/zebra -d -A 127.0.0.1 -s 90000000 -N %s 2>/dev/null", ns, ns);
    shell("ip netns exec %s /usr/lib/frr/staticd -d -A 127.0.0.1 -N %s", ns, ns);
    shell("for i in $(seq 600); do test $(vtysh -N %s -c 'show daemons' 2>/dev/null | wc -w) -ge 2 && exit "
          "0; sleep "
          "0.05; done; exit 1",
          ns);
    router->config.pathspace = router->netns;
}

void contract_frr_down(struct contract_router *router)
{
    const char *ns = router->netns;
    shell("for p in /run/frr/%s/*.pid; do kill $(cat $p); done", ns);
    shell("for i in $(seq 999); do for p in $(ip netns pids %s); do case $(cat /proc/$p/comm 2>/dev/null) in "
          "zebra|staticd) sleep 0.02; continue 2;; esac; done; exit 0; done; exit 1",
          ns);
    shell("rm -rf /etc/frr/%s /run/frr/%s", ns, ns);
}

void contract_frr_vtysh(const struct contract_router *router, const char *lines)
{
    shell("printf '%s\\n' | vtysh -N %s -f /dev/stdin", lines, router->netns);
}
