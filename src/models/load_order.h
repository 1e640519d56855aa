/* load_order.h - in which order models are loaded: an ensemble after its members, else as they were named.
 *
 * Looks at configurations only.  What cannot be read, and members that are not among the names, are left for the load
 * itself to find: it says what is wrong with them. */
#ifndef MODELS_LOAD_ORDER_H
#define MODELS_LOAD_ORDER_H
#include "base/err.h"
#include "models/named_model.h"

/* Reorders `all`, whose paths are NUL-terminated. */
err_code load_order(named_model *all, size_t count, err *e) MUST_USE;

#endif
