/* Whether the host is who it should be.
 *
 * By its pinned fingerprint, else by known_hosts.  A key that is not known, or another one, is refused with the command
 * that shows the fingerprint; nothing is ever learnt by itself.
 *
 * SPDX-License-Identifier: MIT */
#include "remote/ssh.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *names;
    enum ssh_keytypes_e types[4];
} families_of[] = {
    {"ssh-ed25519", {SSH_KEYTYPE_ED25519}},
    {"ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
     {SSH_KEYTYPE_ECDSA_P256, SSH_KEYTYPE_ECDSA_P384, SSH_KEYTYPE_ECDSA_P521, SSH_KEYTYPE_ECDSA}},
    {"rsa-sha2-512,rsa-sha2-256", {SSH_KEYTYPE_RSA}},
};
enum { ALL_FAMILIES = 7 };

void ferry_remote_families(unsigned families, char *buf, size_t size)
{
    size_t n = 0;
    *buf = '\0';
    for (size_t i = 0; i < FERRY_COUNT(families_of) && n < size; i++)
        if (families & (1u << i))
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "," : "", families_of[i].names);
}

static unsigned family_of(ssh_key key)
{
    for (unsigned i = 0; i < FERRY_COUNT(families_of); i++)
        for (unsigned k = 0; k < 4; k++)
            if (families_of[i].types[k] && families_of[i].types[k] == ssh_key_type(key))
                return 1u << i;
    return 0;
}

static void key_free(ssh_key *key)
{
    if (*key)
        ssh_key_free(*key);
}

static void free_text(char **s)
{
    ssh_string_free_char(*s);
}

/* "SHA256:…" */
static char *fingerprint(ssh_key key)
{
    unsigned char *hash = NULL;
    size_t n = 0;
    if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n))
        return NULL;
    char *text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);
    ssh_clean_pubkey_hash(&hash);
    return text;
}

/* Whether the file has a line "@revoked HOSTS TYPE KEY", which libssh passes over.  The hosts are not looked at: a
 * stolen key is not trusted anywhere. */
static bool revoked_in(const char *path, ssh_key key)
{
    FERRY_CLEANUP(free_text) char *text = NULL;
    FERRY_AUTOFREE char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    if (!ssh_pki_export_pubkey_base64(key, &text))
        while (!found && getline(&line, &room, f) >= 0)
            found = !strncmp(line, "@revoked", 8) && strstr(line, text);
    fclose(f);
    return found;
}

static bool revoked(const struct ferry_remote_hop *hop, ssh_key key)
{
    if (hop->known_hosts)
        return revoked_in(hop->known_hosts, key);
    FERRY_AUTOFREE char *mine = ferry_remote_in_home(".ssh/known_hosts");
    return revoked_in(mine, key) || revoked_in("/etc/ssh/ssh_known_hosts", key);
}

static const char *where(const struct ferry_remote_hop *hop)
{
    return hop->known_hosts ? hop->known_hosts : "~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts";
}

static int by_pin(struct ferry_remote_hop *hop, const char *shown, ssh_key key, unsigned *families,
                  struct ferry_err *err)
{
    size_t n = strlen(hop->host_key);
    while (n && hop->host_key[n - 1] == '=') /* some tools pad */
        n--;
    if (!strncmp(shown, hop->host_key, n) && !shown[n])
        return 0;
    ferry_error(
        err, FERRY_EIO,
        "the host key of %s port %u is %s, not %s as \"host_key\" says: nothing was sent.  Who changed it?  "
        "ssh-keyscan -p %u %s | ssh-keygen -lf -   shows its fingerprints",
        hop->host, hop->port, shown, hop->host_key, hop->port, hop->host);
    unsigned left = (*families ? *families : ALL_FAMILIES) & ~family_of(key);
    if (!left || left == *families)
        return -FERRY_EIO;
    *families = left;
    return 1;
}

static int by_known_hosts(struct ferry_remote_hop *hop, const char *shown, struct ferry_err *err)
{
    switch (ssh_session_is_known_server(hop->session)) {
    case SSH_KNOWN_HOSTS_OK:
        return 0;
    case SSH_KNOWN_HOSTS_CHANGED:
        return ferry_error(
            err, FERRY_EIO,
            "the host key of %s port %u has CHANGED: it is %s, and another one stands in %s: nothing "
            "was sent.  Find out why; ssh-keyscan -p %u %s | ssh-keygen -lf -   shows its "
            "fingerprints",
            hop->host, hop->port, shown, where(hop), hop->port, hop->host);
    case SSH_KNOWN_HOSTS_OTHER:
    case SSH_KNOWN_HOSTS_UNKNOWN:
    case SSH_KNOWN_HOSTS_NOT_FOUND:
    case SSH_KNOWN_HOSTS_ERROR:
    default:
        return ferry_error(
            err, FERRY_EIO,
            "the host key of %s port %u, %s, does not stand in %s: nothing was sent.  "
            "ssh-keyscan -p %u %s | ssh-keygen -lf -   shows its fingerprints; compare them with the "
            "router's own, then add the key there, or the fingerprint as \"host_key\"",
            hop->host, hop->port, shown, where(hop), hop->port, hop->host);
    }
}

int ferry_remote_verify(struct ferry_remote_hop *hop, unsigned *families, struct ferry_err *err)
{
    FERRY_CLEANUP(key_free) ssh_key key = NULL;
    if (ssh_get_server_publickey(hop->session, &key))
        return ferry_error(err, FERRY_EIO, "%s port %u shows no host key", hop->host, hop->port);
    FERRY_CLEANUP(free_text) char *shown = fingerprint(key);
    if (!shown)
        return ferry_error(err, FERRY_EIO, "%s port %u: its host key has no fingerprint", hop->host,
                           hop->port);
    if (revoked(hop, key))
        return ferry_error(err, FERRY_EIO, "the host key of %s port %u, %s, is revoked: nothing was sent",
                           hop->host, hop->port, shown);
    return hop->host_key ? by_pin(hop, shown, key, families, err) : by_known_hosts(hop, shown, err);
}
