/* settle.h - when a folder that changes is worth a look: a while after the last change, but soon after the first.
 *
 *   heard ... heard ... heard --quiet_us--> due        heard heard heard heard --most_us--> due, though it goes on
 * Time is given, so a test owns it. */
#ifndef MODELS_SETTLE_H
#define MODELS_SETTLE_H
#include "base/base.h"

typedef struct {
    uint64_t quiet_us, most_us;
    /* private */
    uint64_t first_us, last_us;
    bool open;                    /* something was heard that nobody looked at */
} settle;

static inline void settle_hear(settle *s, uint64_t now_us)
{
    if (!s->open) s->first_us = now_us;
    s->last_us = now_us;
    s->open = true;
}

/* When to look; UINT64_MAX = there is no reason to. */
static inline uint64_t settle_due(const settle *s)
{
    uint64_t quiet = s->last_us + s->quiet_us, most = s->first_us + s->most_us;
    return !s->open ? UINT64_MAX : quiet < most ? quiet : most;
}

static inline void settle_look(settle *s) { s->open = false; }

#endif
