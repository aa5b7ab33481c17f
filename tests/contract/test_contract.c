/* The driver contract: one suite, which every driver passes.  `test-contract DRIVER` runs it.
 *
 * Expectations are built by hand from ferry/driver.h and ferry/fib.h, never taken from a driver.  Each test
 * gets a fresh router.
 *
 * SPDX-License-Identifier: MIT */
#include "words.h"

static void append(struct CMUnitTest *all, size_t *n, const struct CMUnitTest *some, size_t n_some)
{
    memcpy(all + *n, some, n_some * sizeof *some);
    *n += n_some;
}

int main(int argc, char **argv)
{
    static const struct contract_driver *const drivers[] = {
        &contract_sim,     &contract_fault_sim,     &contract_netlink,     &contract_fault_netlink,
        &contract_iproute, &contract_fault_iproute, &contract_iproute_ssh, &contract_frr};
    const char *wanted = argc == 2 ? argv[1] : "sim";
    for (size_t i = 0; i < FERRY_COUNT(drivers); i++)
        if (!strcmp(drivers[i]->name, wanted))
            tested = drivers[i];
    if (!tested) {
        fprintf(stderr, "usage: test-contract [fault-]sim|netlink|iproute, iproute-ssh, or frr\n");
        return 64;
    }
    int r = tested->available();
    if (r)
        return r;
    struct CMUnitTest all[64];
    size_t n = 0;
    assert_true(n_read_tests + n_route_tests + n_gateway_tests + n_batch_tests <= FERRY_COUNT(all));
    append(all, &n, read_tests, n_read_tests);
    append(all, &n, route_tests, n_route_tests);
    append(all, &n, gateway_tests, n_gateway_tests);
    append(all, &n, batch_tests, n_batch_tests);
    return _cmocka_run_group_tests(tested->name, all, n, NULL, NULL);
}
