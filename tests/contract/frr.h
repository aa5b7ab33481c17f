/* FRR on a contract router's namespace; see frr.c.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TESTS_CONTRACT_FRR_H
#define FERRY_TESTS_CONTRACT_FRR_H

#include "contract.h"

int contract_frr_available(void); /* moves the program into a mount namespace of its own */
void contract_frr_up(struct contract_router *router); /* the namespace and its interfaces are there already */
void contract_frr_down(struct contract_router *router);                           /* and are still there */
void contract_frr_vtysh(const struct contract_router *router, const char *lines); /* as an administrator */

#endif
