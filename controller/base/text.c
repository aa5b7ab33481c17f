/* Texts of others; see text.h.  SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:%+=,/-";

char *ferry_shell_word(const char *word)
{
    size_t n = strlen(word);
    bool raw = false;
    if (n && strspn(word, plain) == n)
        return ferry_strdup(word);
    for (size_t i = 0; i < n; i++)
        raw |= word[i] < ' ' || word[i] > '~';
    char *text = ferry_calloc(n + 8, 4), *at = stpcpy(text, raw ? "\"$(printf '" : "'");
    for (size_t i = 0; i < n; i++) {
        if (raw && (!strchr(plain, word[i]) || strchr("%-", word[i])))
            at += sprintf(at, "\\%03o", (unsigned char)word[i]);
        else if (word[i] == '\'')
            at = stpcpy(at, "'\\''");
        else
            *at++ = word[i];
    }
    strcpy(at, raw ? "')\"" : "'");
    return text;
}

void ferry_text_tidy(char *text)
{
    for (char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];
        if (c < 0x20 || c == 0x7f)
            *p = '?';
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0) /* C1 controls */
            p[0] = p[1] = '?';
    }
}
