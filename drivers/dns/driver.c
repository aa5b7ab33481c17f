/* A name server as something that a plan changes: opening, closing, the table.  See README.md.
 * SPDX-License-Identifier: MIT */
#include "dns/internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static int set_server(struct ferry_dns_server *server, const char *text, size_t len, uint16_t port,
                      struct ferry_err *err)
{
    struct ferry_addr a;
    snprintf(server->address, sizeof server->address, "%.*s", (int)len, text);
    if (ferry_addr_parse(server->address, &a, err) < 0)
        return ferry_error_prefix(err, -FERRY_EIO, "name server");
    if (a.family == AF_INET) {
        struct sockaddr_in *to = (struct sockaddr_in *)&server->to;
        *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&to->sin_addr, a.bytes, sizeof to->sin_addr);
        server->to_len = sizeof *to;
    } else {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)&server->to;
        *to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&to->sin6_addr, a.bytes, sizeof to->sin6_addr);
        server->to_len = sizeof *to;
    }
    return 0;
}

static int set_servers(struct ferry_driver *driver, const struct ferry_driver_config *config,
                       struct ferry_err *err)
{
    uint16_t port = config->port ? config->port : 53;
    if (!config->host || !config->zones || !config->key_file)
        return ferry_error(err, FERRY_EIO, "a name server needs an address, a key file and zones");
    driver->servers = ferry_calloc(1, sizeof *driver->servers);
    int r = set_server(&driver->servers[driver->n_servers++], config->host, strlen(config->host), port, err);
    for (const char *at = config->secondaries; r == 0 && at && *at;) {
        size_t len = strcspn(at, " ");
        struct ferry_dns_server *all =
            ferry_realloc(driver->servers, driver->n_servers + 1, sizeof *driver->servers);
        driver->servers = all;
        memset(&all[driver->n_servers], 0, sizeof *all);
        r = set_server(&all[driver->n_servers++], at, len, port, err);
        at += len;
        at += *at == ' ';
    }
    return r;
}

static void dns_close(struct ferry_driver *driver)
{
    if (!driver)
        return;
    ferry_dns_key_clear(&driver->key);
    free(driver->name);
    free(driver->netns);
    free(driver->zones);
    free(driver->servers);
    free(driver);
}

static void dns_closep(struct ferry_driver **driver)
{
    dns_close(*driver);
}

static int dns_open(const struct ferry_env *env, const struct ferry_driver_config *config, const char *router,
                    const char *state_dir, const struct ferry_fib *initial, struct ferry_driver **ret,
                    struct ferry_err *err)
{
    (void)state_dir;
    (void)initial;
    FERRY_CLEANUP(dns_closep) struct ferry_driver *driver = ferry_calloc(1, sizeof *driver);
    driver->base.ops = &ferry_driver_dns;
    driver->env = env;
    driver->name = ferry_strdup(router);
    driver->netns = ferry_strdup(config->netns);
    driver->zones = ferry_strdup(config->zones);
    int r = set_servers(driver, config, err);
    if (r == 0)
        r = ferry_dns_key_load(config->key_file, &driver->key, err);
    if (r < 0)
        return r;
    *ret = FERRY_STEAL(driver);
    return 0;
}

const struct ferry_driver_ops ferry_driver_dns = {
    .type = "dns",
    .open = dns_open,
    .close = dns_close,
    .read = ferry_dns_read,
    .check = ferry_dns_check,
    .apply = ferry_dns_apply,
    .native = ferry_dns_native,
};
