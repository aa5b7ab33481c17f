/* An sshd of its own for a router of the suite: in its namespace, on 127.0.0.1, with keys made for the suite alone.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_CONTRACT_SSH_H
#define FERRY_TESTS_CONTRACT_SSH_H

#include "contract.h"

/* 0, or 77 with a message on stderr. */
int contract_ssh_available(void);
/* Starts it in router->netns, and fills in what the config says of the way there; `config.type` is the caller's. */
void contract_ssh_up(struct contract_router *router);
void contract_ssh_down(struct contract_router *router);

#endif
