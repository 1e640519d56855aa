/* load_order.h - which models are loaded, and in which order: an ensemble after its members, else as they were named.
 *
 * Looks at configurations only.  What cannot be read, and members that are not among the names, are left for the load
 * itself to find: it says what is wrong with them. */
#ifndef MODELS_LOAD_ORDER_H
#define MODELS_LOAD_ORDER_H
#include "base/err.h"
#include "models/named_model.h"

/* Reorders `all`, whose paths are NUL-terminated: first those that are loaded, which are the chosen and the members
 * that they bring, then the rest.  `chosen` are names with commas between them, or "*", or "" for the same; one that is
 * not among `all` is refused. */
err_code load_order(named_model *all, size_t count, str chosen, size_t *ret_loaded, err *e) MUST_USE;

#endif
