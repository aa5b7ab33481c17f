/* Mutates JSON as a tree: values are replaced, copied from elsewhere, doubled, dropped, swapped.  Now and
 * then bytes are mutated as libFuzzer does it, for the tokens' sake.  Only in builds with libFuzzer.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <json-c/json.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A place in a tree: a member of an object, or an element of an array. */
struct place {
    struct json_object *in, *value;
    const char *key; /* NULL: `at` */
    size_t at;
};

static uint64_t dice;

static size_t roll(size_t sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return sides ? (size_t)(dice >> 33) % sides : 0;
}

/* Finds the n-th place below `o`, counting down. */
static bool find(struct json_object *o, size_t *n, struct place *ret)
{
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            *ret = (struct place){o, value, key, 0};
            if (!(*n)-- || find(value, n, ret))
                return true;
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++) {
            struct json_object *value = json_object_array_get_idx(o, i);
            *ret = (struct place){o, value, NULL, i};
            if (!(*n)-- || find(value, n, ret))
                return true;
        }
    }
    return false;
}

static bool pick(struct json_object *root, struct place *ret)
{
    size_t all = SIZE_MAX, n = 0;
    (void)find(root, &all, ret);
    n = SIZE_MAX - all;
    n = roll(n);
    return find(root, &n, ret);
}

static void set(const struct place *p, struct json_object *value)
{
    if (p->key)
        json_object_object_add(p->in, p->key, value);
    else
        json_object_array_put_idx(p->in, p->at, value);
}

static void drop(const struct place *p)
{
    if (p->key)
        json_object_object_del(p->in, p->key);
    else
        json_object_array_del_idx(p->in, p->at, 1);
}

static struct json_object *copy(struct json_object *o)
{
    struct json_object *ret = NULL;
    if (o)
        json_object_deep_copy(o, &ret, NULL);
    return ret;
}

static struct json_object *boundary(void)
{
    static const int64_t numbers[] = {
        0,   1,   -1,  2,   31,    32,    33,        127,        128,        129,       253,
        254, 255, 256, 257, 65535, 65536, INT32_MAX, UINT32_MAX, 4294967296, INT64_MAX, INT64_MIN};
    static const char *const texts[] = {"",
                                        "0.0.0.0/0",
                                        "::/0",
                                        "192.168.1.0/24",
                                        "192.168.1.0/25",
                                        "10.0.0.1/32",
                                        "255.255.255.255/32",
                                        "fd00::/64",
                                        "fe80::1",
                                        "::ffff:10.0.0.1",
                                        "lo",
                                        "0123456789abcdef",
                                        "/",
                                        "..",
                                        "a b",
                                        "\x7f",
                                        "00",
                                        "01000400ffffffff"};
    switch (roll(6)) {
    case 0:
        return NULL;
    case 1:
        return json_object_new_boolean(roll(2) != 0);
    case 2:
        return roll(2) ? json_object_new_array() : json_object_new_object();
    case 3:
        return json_object_new_string(texts[roll(sizeof texts / sizeof *texts)]);
    default:
        return json_object_new_int64(numbers[roll(sizeof numbers / sizeof *numbers)]);
    }
}

/* A number near the one that stands there, or a text with a letter changed. */
static struct json_object *nudged(struct json_object *o)
{
    if (json_object_is_type(o, json_type_int))
        return json_object_new_int64((int64_t)((uint64_t)json_object_get_int64(o) + roll(5) - 2));
    if (!json_object_is_type(o, json_type_string) || !json_object_get_string_len(o))
        return boundary();
    char *text = fuzz_text((const uint8_t *)json_object_get_string(o), (size_t)json_object_get_string_len(o));
    text[roll(strlen(text))] = (char)("0123456789abcdef./:-"[roll(20)]);
    struct json_object *ret = json_object_new_string(text);
    free(text);
    return ret;
}

static void mutate(struct json_object *root)
{
    struct place a, b;
    if (!pick(root, &a) || !pick(root, &b))
        return;
    struct json_object *mine = copy(a.value), *theirs = copy(b.value);
    switch (roll(7)) {
    case 0:
        drop(&a);
        break;
    case 1: /* once more, in the same array */
        if (!a.key)
            json_object_array_add(a.in, copy(mine));
        break;
    case 2: /* swapped: the one that is within the other goes */
        set(&a, NULL);
        if (pick(root, &b)) {
            json_object_put(theirs);
            theirs = copy(b.value);
            set(&b, copy(mine));
        }
        break;
    case 3: /* the same at both */
        set(&a, copy(theirs));
        break;
    case 4:
        set(&a, boundary());
        break;
    case 5:
        if (a.key && b.key)
            json_object_object_add(a.in, b.key, copy(theirs));
        break;
    default:
        set(&a, nudged(a.value));
        break;
    }
    json_object_put(mine);
    json_object_put(theirs);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    dice = seed;
    (void)roll(1);
    char *text = fuzz_text(data, size);
    struct json_object *root = roll(5) ? json_tokener_parse(text) : NULL;
    free(text);
    if (!root)
        return LLVMFuzzerMutate(data, size, max_size);
    for (size_t n = 1 + roll(3); n; n--)
        mutate(root);
    const char *out = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
    size_t n = strlen(out);
    if (n <= max_size)
        memcpy(data, out, n);
    json_object_put(root);
    return n <= max_size ? n : LLVMFuzzerMutate(data, size, max_size);
}
