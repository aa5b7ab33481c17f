/* Showing a document to people: what status, confirm and extend print is the same whether it was looked up
 * here or by the daemon.  SPDX-License-Identifier: MIT */
#ifndef FERRY_UI_SHOW_H
#define FERRY_UI_SHOW_H

#include "ui/ui.h"

/* NULL where there is none, or null. */
struct json_object *ui_member(struct json_object *object, const char *key);
const char *ui_text(struct json_object *object, const char *key);
size_t ui_number(struct json_object *object, const char *key); /* 0 for anything else */
size_t ui_count(struct json_object *list);                     /* of an array; 0 for anything else */
/* What a transaction's document says of it, without its plan.  From the daemon it is not trusted to be whole:
 * what is missing is empty, and a state that nobody knows is STUCK. */
struct ferry_txn_record *ui_record_of(struct json_object *doc);

#endif
