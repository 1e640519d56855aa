/* forecast.h - when a request that comes now would start and end: what admission by objective and deadline asks.
 *
 * Counts what runs, the share of the backlog that goes before it, the full batches of its own lane, and how many will
 * have joined its batch by the time it starts, at the rate at which requests come: they make it longer.  Pure. */
#ifndef SCHED_FORECAST_H
#define SCHED_FORECAST_H
#include "sched/waiting.h"

typedef struct {
    const waiting *waiting;
    uint32_t max_batch, instances;
    uint64_t busy_ns;     /* until an instance is free */
    double rows_per_s;    /* that come */
} forecast_facts;

typedef struct {
    uint64_t start_ns, end_ns;   /* from now; both 0 = nothing is known about its kind */
    uint64_t likely_ns;          /* when it would end at mean costs; end_ns is what few exceed */
} forecast;

forecast forecast_make(const forecast_facts *f, const batch_item *i);

#endif
