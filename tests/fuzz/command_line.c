/* Target: the command line: words, one a line, as `ferry` takes them apart.  Verbs are parsed, never run; the
 * first line is read as a duration, too, and as the beginning of what bash completes.
 * SPDX-License-Identifier: MIT */
#define main ferry_main
int ferry_main(int argc, char **argv);
#include "ui/main.c"
#undef main

#include "fuzz.h"

enum { WORDS = 24 };

static void parse_verb(struct ui *ui, int argc, char **argv)
{
    const struct ui_verb *verb = ui_verb_find(argv[0]);
    if (!verb)
        return;
    void *options = ferry_calloc(1, verb->options_size);
    ((struct ui_options *)options)->ui = ui;
    int result = ui_verb_parse(ui, verb, argc, argv, options);
    fuzz_said(result, &ui->err);
    FUZZ_CHECK(result == 0 || result == -FERRY_EUSAGE);
    if (verb->clear)
        verb->clear(options);
    free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size), *rest = NULL, *argv[WORDS + 1] = {0};
    struct ui ui = {.state_dir = UI_STATE_DIR, .env = fuzz_env};
    struct ferry_err err = {0};
    uint64_t us = 77;
    int argc = 0, at;
    for (char *word = strtok_r(text, "\n", &rest); word && argc < WORDS; word = strtok_r(NULL, "\n", &rest))
        argv[argc++] = word;
    if (argc) {
        int result = ui_duration_parse(argv[0], &us, &err);
        fuzz_said(result, &err);
        FUZZ_CHECK(result == 0 || us == 77);
        parse_verb(&ui, argc, argv);
        at = argc;
        ui.err.text[0] = 0;
        result = before_verb(&ui, argc, argv, &at);
        fuzz_said(result, &ui.err);
        FUZZ_CHECK(at >= 0 && at <= argc);
    }
    json_object_put(ui.details);
    free(text);
    return 0;
}
