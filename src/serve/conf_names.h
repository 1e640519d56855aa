/* conf_names.h - what models may be called that are named one by one, as NAME=PATH.
 *
 * The rule is the repository's own, asked for early: a name that could not be served is a wrong value, status 2, and
 * not a start that failed.  Reads nothing. */
#ifndef SERVE_CONF_NAMES_H
#define SERVE_CONF_NAMES_H
#include "serve/conf.h"

err_code conf_names(const conf *c, err *e) MUST_USE;   /* each good, and each once */

#endif
