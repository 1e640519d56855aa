/* conf_share.h - what the options say of shares: --model-weights, --model-rates and --rate-limit-resource.
 *
 * Each is a list; a model or a resource that stands in one twice is refused, but for a resource of several devices.
 * Whether there are such models is not asked: they may come later. */
#ifndef SERVE_CONF_SHARE_H
#define SERVE_CONF_SHARE_H
#include "serve/conf.h"

enum { CONF_SHARES_MAX = 4096 };   /* entries of a list */

/* Fills limits and resources of the conf, in `memory`. */
err_code conf_share(conf *c, arena *memory, err *e) MUST_USE;

#endif
