/* Texts of others, for a shell and for a person.  SPDX-License-Identifier: MIT */
#ifndef FERRY_BASE_TEXT_H
#define FERRY_BASE_TEXT_H

/* One word that a POSIX shell reads as `word`, malloc'd: letters, digits and ._@:%+=,/- stand as they are, all else in
 * quotes; what no terminal should get, in octal: "$(printf '…')". */
char *ferry_shell_word(const char *word) __attribute__((returns_nonnull, warn_unused_result));
/* Control characters become '?'. */
void ferry_text_tidy(char *text);

#endif
