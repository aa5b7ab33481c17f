/* Target: the iproute driver against a router that says what the input says: links in JSON, saved messages in binary
 * form, `route get`, `netconf`, nexthop objects, what `ip -batch` complains about, the dead-man.
 * SPDX-License-Identifier: MIT */
#include "iproute/internal.h"

#include "fuzz.h"
#include "router.h"
#include "routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    fuzz_begin();
    struct ferry_iproute *d = ferry_calloc(1, sizeof *d);
    d->base.base.ops = &ferry_driver_iproute;
    d->base.means = &ferry_iproute_means;
    d->base.env = &fuzz_env;
    d->base.router = ferry_strdup("edge");
    d->base.fd = -1;
    d->remote = fuzz_router("edge", data + 1, size - 1);
    struct ferry_driver *driver = (struct ferry_driver *)d;
    switch (data[0] % 5) {
    case 0:
        fuzz_read(driver);
        break;
    case 1:
        fuzz_check_ops(driver);
        break;
    case 2:
        fuzz_apply(driver);
        break;
    case 3:
        fuzz_deadman(driver);
        break;
    default:
        fuzz_read_all(driver);
        break;
    }
    ferry_driver_iproute.close(driver);
    return 0;
}
