/* Running a hook's program.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_PROGRAM_H
#define FERRY_TXN_PROGRAM_H

#include <ferry/env.h>

/* Fills `ret`; see ferry/env.h. */
void ferry_program_run(const struct ferry_env *env, const struct ferry_program *program,
                       struct ferry_program_end *ret);

#endif
