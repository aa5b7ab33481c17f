/* The directory of a lab: keys, and for each machine what it has for itself.  Neighbours: machine.h.
 *
 *   id_ed25519, id_ed25519.pub    the key that opens every router of the lab
 *   known_hosts                   the host keys of all of them
 *   NETNS/boot, boot.log, ready   what the first process runs, what it said, that it is done
 *   NETNS/ssh/                    sshd's configuration, host key, authorized_keys, log
 *   NETNS/frr/, log/, lib/, root/ /etc/frr, /var/log/frr, /var/lib and root's home
 *   NETNS/bird.conf               of a foreign router
 *
 * SPDX-License-Identifier: MIT */
#include "lab.h"
#include "machine.h"

#include "base/mem.h"
#include "model/driver_config.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *ferry_lab_file(const char *topology_name, const char *netns, const char *name)
{
    return ferry_asprintf("%s/%s/%s/%s", FERRY_LAB_DIR, topology_name, netns, name);
}

char *ferry_lab_file_read(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        return NULL;
    }
    char *text = NULL, buf[4096];
    size_t len, n;
    FILE *out = open_memstream(&text, &len);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0) {
        fwrite(buf, 1, n, out);
    }
    fclose(out);
    fclose(f);
    return text;
}

int ferry_lab_file_write(const char *path, const char *text, mode_t mode, struct ferry_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    ssize_t len = (ssize_t)strlen(text);
    bool failed = fd < 0 || fchmod(fd, mode) < 0 || write(fd, text, (size_t)len) != len;
    int code = errno;
    if (fd >= 0) {
        close(fd);
    }
    return failed ? ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(code)) : 0;
}

int ferry_lab_files_check(const struct ferry_lab_layout *layout, struct ferry_err *err)
{
    enum { SSHD = 1 << FERRY_LAB_SSHD, FRR = 1 << FERRY_LAB_FRR, BIRD = 1 << FERRY_LAB_BIRD };
    static const struct {
        const char *program, *what;
        unsigned machines;
    } needed[] = {
        {"/usr/sbin/sshd", "routers that are reached over SSH need sshd", SSHD},
        {"/usr/bin/ssh-keygen", "routers that are reached over SSH need ssh-keygen", SSHD},
        {"/usr/lib/frr/frrinit.sh", "routers with the driver frr need FRR", FRR},
        {"/usr/bin/vtysh", "routers with the driver frr need vtysh", FRR},
        {"/usr/sbin/bird", "hosts with `bird` need BIRD", BIRD},
    };
    for (size_t i = 0; i < layout->n_places; i++) {
        unsigned machine = 1u << layout->places[i].machine | (layout->places[i].ssh ? SSHD : 0);
        for (size_t n = 0; n < FERRY_COUNT(needed); n++) {
            if ((needed[n].machines & machine) && access(needed[n].program, X_OK) < 0) {
                return ferry_refuse(err, "packages",
                                    "%s, and %s is not there: run `sudo topologies/install-packages frr`",
                                    needed[n].what, needed[n].program);
            }
        }
    }
    return 0;
}

/* ---- What stands in a machine's directory ---- */

/* The first process of FRR that vtysh is to reach from outside: all but the processes is this machine's. */
static char *pathspace_script(const struct ferry_lab_place *place, const char *dir)
{
    return ferry_asprintf("#!/bin/sh\n"
                          "# %s, started by `ferry lab up` in namespaces of its own.\n"
                          "set -eu\n"
                          "umask 022\n"
                          "rm -f %s/ready\n"
                          "hostname %s\n"
                          "mount -n --make-rprivate /\n"
                          "mount -n -t proc proc /proc\n"
                          "mount -n -t tmpfs -o mode=1777 tmpfs /var/tmp\n"
                          "mkdir -p /etc/frr/%s\n"
                          "cp %s/frr/* /etc/frr/%s/\n"
                          "chown -R frr:frr /etc/frr/%s\n"
                          "chmod 750 /etc/frr/%s\n"
                          "/usr/lib/frr/frrinit.sh start %s\n"
                          ": >%s/ready\n"
                          "while :; do sleep infinity & wait; done\n",
                          place->netns, dir, place->of, place->pathspace, dir, place->pathspace,
                          place->pathspace, place->pathspace, place->pathspace, dir);
}

/* Runs as the first process.  /run/lab is the machine's directory; the private /run hides the machine's own, where
 * systemd, other labs and other FRRs are. */
static char *boot_script(const struct ferry_lab_place *place, const char *dir)
{
    if (place->pathspace) {
        return pathspace_script(place, dir);
    }
    bool frr = place->machine == FERRY_LAB_FRR;
    return ferry_asprintf(
        "#!/bin/sh\n"
        "# %s, started by `ferry lab up` in namespaces of its own.\n"
        "set -eu\n"
        "umask 022\n"
        "here=%s\n"
        "rm -f $here/ready\n"
        "hostname %s\n"
        "mount -n --make-rprivate /\n"
        "mount -n -t proc proc /proc\n"
        "mount -n -t sysfs sysfs /sys || :\n"
        "cat /proc/sys/kernel/random/uuid >$here/boot_id\n"
        "mount -n --bind $here/boot_id /proc/sys/kernel/random/boot_id # a restart of this router is one\n"
        "mount -n -t tmpfs -o mode=755 tmpfs $here/run\n"
        "mkdir $here/run/lab $here/run/lock $here/run/sshd $here/run/frr\n"
        "mount -n --bind $here $here/run/lab\n"
        "mount -n --bind $here/lib /var/lib\n"
        "mount -n --bind $here/root \"$(getent passwd root | cut -d : -f 6)\"\n"
        "mount -n --bind $here/shadow /etc/shadow # without PAM a locked account has no key either\n"
        "mount -n -t tmpfs -o mode=1777 tmpfs /var/tmp\n"
        "%s"
        "mount -n --move $here/run /run\n"
        "cd /\n"
        "%s%s%s"
        ": >/run/lab/ready\n"
        "while :; do sleep infinity & wait; done # and takes leave of every process that ends\n",
        place->netns, dir, place->role == FERRY_LAB_ROUTER ? place->of : place->netns,
        frr ? "chown -R frr:frr $here/frr $here/log\n"
              "chown frr:frrvty $here/run/frr $here/frr/vtysh.conf\n"
              "mount -n --bind $here/frr /etc/frr\n"
              "mount -n --bind $here/log /var/log/frr\n"
            : "",
        frr ? "/usr/lib/frr/frrinit.sh start\n" : "",
        place->machine == FERRY_LAB_BIRD
            ? "/usr/sbin/bird -c /run/lab/bird.conf -s /run/bird.ctl -P /run/bird.pid\n"
            : "",
        place->ssh ? "/usr/sbin/sshd -f /run/lab/ssh/sshd_config -E /run/lab/ssh/log\n" : "");
}

static char *sshd_config(const struct ferry_router *router)
{
    bool loopback = !strncmp(router->driver.host, "127.", 4) || !strcmp(router->driver.host, "::1");
    FERRY_AUTOFREE char *listen = loopback ? ferry_asprintf("ListenAddress %s\n", router->driver.host)
                                           : ferry_strdup("ListenAddress 0.0.0.0\nListenAddress ::\n");
    return ferry_asprintf("Port %u\n%s"
                          "HostKey /run/lab/ssh/host_ed25519\n"
                          "AuthorizedKeysFile /run/lab/ssh/authorized_keys\n"
                          "PidFile /run/sshd.pid\n"
                          "UsePAM no\nUseDNS no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                          "PermitRootLogin prohibit-password\nPrintMotd no\nX11Forwarding no\n",
                          router->driver.port ? router->driver.port : 22u, listen);
}

/* The accounts of this machine, none of them locked and none with a password. */
static char *shadow_text(void)
{
    FERRY_AUTOFREE char *passwd = ferry_lab_file_read("/etc/passwd");
    char *text, *rest = passwd;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        size_t n = strcspn(line, ":");
        if (n && line[n]) {
            fprintf(out, "%.*s:*:19000:0:99999:7:::\n", (int)n, line);
        }
    }
    fclose(out);
    return text;
}

static int write_in(const char *dir, const char *name, const char *text, mode_t mode, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = ferry_asprintf("%s/%s", dir, name);
    return ferry_lab_file_write(path, text, mode, err);
}

static int make_dir(const char *path, mode_t mode, struct ferry_err *err)
{
    if (mkdir(path, mode) < 0 || chmod(path, mode) < 0) {
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    }
    return 0;
}

static int write_frr(const struct ferry_topology *t, const struct ferry_lab_place *place, const char *dir,
                     struct ferry_err *err)
{
    FERRY_AUTOFREE char *conf = NULL;
    size_t len;
    FILE *out = open_memstream(&conf, &len);
    ferry_lab_frr_config(t, place, out);
    fclose(out);
    enum ferry_routing routing = place->router->driver.routing;
    FERRY_AUTOFREE char *daemons = ferry_asprintf(
        "bgpd=%s\nospfd=%s\nvtysh_enable=yes\n"
        "zebra_options=\"  -A 127.0.0.1 -s 90000000\"\nstaticd_options=\"-A 127.0.0.1\"\n"
        "bgpd_options=\"   -A 127.0.0.1\"\nospfd_options=\"  -A 127.0.0.1\"\n",
        routing == FERRY_ROUTING_BGP ? "yes" : "no", routing == FERRY_ROUTING_OSPF ? "yes" : "no");
    int r = write_in(dir, "frr/frr.conf", conf, 0640, err);
    if (r == 0) {
        r = write_in(dir, "frr/vtysh.conf", "service integrated-vtysh-config\n", 0640, err);
    }
    return r < 0 ? r : write_in(dir, "frr/daemons", daemons, 0640, err);
}

static int make_host_key(const struct ferry_lab_place *place, const char *dir, FILE *known_hosts, int lock_fd,
                         struct ferry_err *err)
{
    const struct ferry_driver_config *driver = &place->router->driver;
    FERRY_AUTOFREE char *key = ferry_asprintf("%s/ssh/host_ed25519", dir),
                        *pub = ferry_asprintf("%s.pub", key);
    int r = ferry_lab_run(
        (const char *[]){"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", place->of, "-f", key, NULL},
        lock_fd, NULL, err);
    if (r < 0) {
        return r;
    }
    FERRY_AUTOFREE char *text = ferry_lab_file_read(pub);
    int words = text ? (int)strcspn(strchr(text, ' ') ? strchr(text, ' ') + 1 : "", " \n") +
                           (int)strcspn(text, " ") + 1
                     : 0;
    if (driver->port && driver->port != 22) {
        fprintf(known_hosts, "[%s]:%u %.*s\n", driver->host, driver->port, words, text ? text : "");
    } else {
        fprintf(known_hosts, "%s %.*s\n", driver->host, words, text ? text : "");
    }
    return 0;
}

static int make_machine(const struct ferry_topology *t, const struct ferry_lab_place *place,
                        const char *authorized, FILE *known_hosts, int lock_fd, struct ferry_err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } dirs[] = {{"", 0755},    {"run", 0755}, {"ssh", 0755}, {"frr", 0750},
                {"log", 0750}, {"lib", 0755}, {"root", 0700}};
    FERRY_AUTOFREE char *dir = ferry_asprintf("%s/%s/%s", FERRY_LAB_DIR, t->name, place->netns);
    int r = 0;
    for (size_t i = 0; r == 0 && i < FERRY_COUNT(dirs); i++) {
        FERRY_AUTOFREE char *path = ferry_asprintf("%s/%s", dir, dirs[i].name);
        r = make_dir(path, dirs[i].mode, err);
    }
    FERRY_AUTOFREE char *boot = boot_script(place, dir), *shadow = shadow_text();
    if (r < 0 || (r = write_in(dir, "boot", boot, 0755, err)) < 0 ||
        (r = write_in(dir, "shadow", shadow, 0640, err)) < 0) {
        return r;
    }
    if (place->machine == FERRY_LAB_BIRD) {
        FERRY_AUTOFREE char *bird = ferry_lab_bird_config(t, place);
        return write_in(dir, "bird.conf", bird, 0644, err);
    }
    if (place->machine == FERRY_LAB_FRR && (r = write_frr(t, place, dir, err)) < 0) {
        return r;
    }
    if (!place->ssh) {
        return 0;
    }
    FERRY_AUTOFREE char *sshd = sshd_config(place->router);
    if ((r = write_in(dir, "ssh/sshd_config", sshd, 0644, err)) < 0 ||
        (r = write_in(dir, "ssh/authorized_keys", authorized, 0644, err)) < 0 ||
        (r = make_host_key(place, dir, known_hosts, lock_fd, err)) < 0) {
        return r;
    }
    return 0;
}

int ferry_lab_files_make(const struct ferry_topology *t, const struct ferry_lab_layout *layout, int lock_fd,
                         struct ferry_err *err)
{
    FERRY_AUTOFREE char *dir = ferry_asprintf("%s/%s", FERRY_LAB_DIR, t->name);
    FERRY_AUTOFREE char *key = ferry_asprintf("%s/id_ed25519", dir), *pub = ferry_asprintf("%s.pub", key);
    bool ssh = false;
    for (size_t i = 0; i < layout->n_places; i++) {
        ssh |= layout->places[i].ssh;
    }
    int r = make_dir(dir, 0700, err);
    if (r == 0 && ssh) {
        r = ferry_lab_run(
            (const char *[]){"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", t->name, "-f", key, NULL},
            lock_fd, NULL, err);
    }
    if (r < 0) {
        return r;
    }
    FERRY_AUTOFREE char *authorized = ferry_lab_file_read(pub), *known = NULL;
    size_t len;
    FILE *known_hosts = open_memstream(&known, &len);
    for (size_t i = 0; r == 0 && i < layout->n_places; i++) {
        if (layout->places[i].machine != FERRY_LAB_KERNEL) {
            r = make_machine(t, &layout->places[i], authorized ? authorized : "", known_hosts, lock_fd, err);
        }
    }
    fclose(known_hosts);
    return r < 0 ? r : write_in(dir, "known_hosts", known, 0600, err);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int remove_tree(const char *dir, struct ferry_err *err)
{
    if (nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT) {
        return ferry_error(err, FERRY_EIO, "%s: %s", dir, strerror(errno));
    }
    return 0;
}

int ferry_lab_files_remove(const struct ferry_lab_record *record, struct ferry_err *err)
{
    FERRY_AUTOFREE char *dir = ferry_asprintf("%s/%s", FERRY_LAB_DIR, record->name);
    int r = remove_tree(dir, err);
    for (size_t i = 0; r == 0 && i < record->n_paths; i++) {
        r = remove_tree(record->paths[i], err);
    }
    return r;
}
