/* Processes of the simulated program: what an episode may run.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_SIM_PROCESS_H
#define FERRY_TESTS_SIM_PROCESS_H

#include "sim.h"

enum kind { APPLY, DRILL, CONFIRMED, ROLLBACK };

struct run {
    struct world *w;
    struct ferry_env env;
    struct ferry_fleet_config config;
    enum kind kind;
    unsigned window_s;
    enum ending ending;
    enum ferry_txn_state state;
    bool known;  /* state and ending are said */
    bool none;   /* recover: there was nothing to do */
    bool fresh;  /* id and state are of the last process */
    bool quiet;  /* no fault can come any more */
    char id[24]; /* of the last transaction in the journal; "" for none */
    enum { CONFIRM, EXTEND, REVERT } verb;
    struct ferry_err err;
};

enum ending ending_of_state(enum ferry_txn_state state);
/* Runs one of the functions below as a process.  False: it was killed. */
bool process(struct run *run, void (*fn)(void *));
void run_move(void *run); /* plans, and transacts as `kind` says */
void run_recover(void *run);
void run_confirm(void *run); /* or what `verb` says */
void run_look(void *run);    /* the journal's last word */

#endif
