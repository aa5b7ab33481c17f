/* The texts of a driver's configuration as a table, so that the topology's loader, the plan's reader and
 * writer, copies and comparisons all know the same ones.  SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_DRIVER_CONFIG_H
#define FERRY_MODEL_DRIVER_CONFIG_H

#include <ferry/topology.h>

struct ferry_driver_field {
    const char *key;          /* of the driver object in the topology and in a plan */
    size_t offset;            /* of the `char *` in struct ferry_driver_config */
    const char *first, *more; /* characters besides letters and digits: the first one's; the others' */
    unsigned most;            /* characters; 0: as many as a host name has */
    bool remote;              /* goes with the drivers frr and iproute alone */
};
/* All but `type`; the last one has no key. */
extern const struct ferry_driver_field ferry_driver_fields[];

static inline char **ferry_driver_field_at(const struct ferry_driver_field *field,
                                           const struct ferry_driver_config *config)
{
    return (char **)(void *)((char *)config + field->offset);
}
/* Whether the text can stand there.  None of these ever goes through a shell; they are still held to what the
 * thing can be. */
bool ferry_driver_field_ok(const struct ferry_driver_field *field, const char *text);
/* Whether a VRF may be called so in a plan: an interface's name, of plain characters. */
bool ferry_driver_vrf_ok(const char *name);
/* Whether routers with this driver are ones that can be reached over SSH. */
bool ferry_driver_is_remote(const char *type);
/* Whether the connection goes over SSH: said so, or a host is named. */
bool ferry_driver_by_ssh(const struct ferry_driver_config *config);

#endif
