/* Target: words: addresses, prefixes, protocols, entry types, and durations as people write them.
 *
 *  - What was read and is printed is read back as the same.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <ferry/entry.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ferry_err err = {0};
    struct ferry_addr a = {0}, a_again;
    struct ferry_prefix p = {0}, p_again;
    uint8_t protocol = 77, protocol_again;
    char buf[FERRY_PREFIX_STRLEN], name[16];
    char *text = fuzz_text(data, size);
    int result = ferry_addr_parse(text, &a, &err);
    fuzz_said(result, &err);
    if (result == 0)
        FUZZ_CHECK(ferry_addr_parse(ferry_addr_text(&a, buf), &a_again, &err) == 0 &&
                   ferry_addr_equal(&a, &a_again));
    else
        FUZZ_CHECK(!a.family);
    result = ferry_prefix_parse(text, &p, &err);
    fuzz_said(result, &err);
    if (result == 0) {
        FUZZ_CHECK(ferry_prefix_parse(ferry_prefix_text(&p, buf), &p_again, &err) == 0 &&
                   ferry_prefix_equal(&p, &p_again));
        struct ferry_prefix network = ferry_prefix_network(&p);
        fuzz_prefix_sound(&network);
        FUZZ_CHECK(ferry_prefix_contains(&p, &p.addr) && ferry_prefix_covers(&network, &network));
    } else
        FUZZ_CHECK(!p.addr.family && !p.len);
    result = ferry_protocol_parse(text, &protocol, &err);
    fuzz_said(result, &err);
    if (result == 0)
        FUZZ_CHECK(ferry_protocol_parse(ferry_protocol_name(protocol, name), &protocol_again, &err) == 0 &&
                   protocol == protocol_again);
    else
        FUZZ_CHECK(protocol == 77);
    enum ferry_entry_type type = ferry_entry_type_parse(text);
    FUZZ_CHECK(!type || !strcmp(ferry_entry_type_name(type), text));
    free(text);
    return 0;
}
