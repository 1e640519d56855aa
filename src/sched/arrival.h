/* arrival.h - how requests come: how many rows per second, and whether answers call forth new requests.
 *
 * Clients that ask again as soon as they are answered (a closed loop) come back in a flock just after a batch ended.
 * A batch that starts at once then leaves most of them outside, and the next one too: two half batches for ever.  So
 * the echo is measured: which part of the answered came back, and how long the flock takes.  Requests that come
 * whenever they like show no echo, whatever their rate.  Time is an argument.  Not thread-safe. */
#ifndef SCHED_ARRIVAL_H
#define SCHED_ARRIVAL_H
#include "base/base.h"

typedef struct {
    /* private */
    uint64_t last_ns;
    double gap_ns, rows;   /* running means */
    uint64_t answered_ns, window_ns, back_ns;   /* the last flock: its answer, how long it is watched, its latest */
    uint32_t answered, back;
    double echo, lag_ns;
} arrival;

void arrival_init(arrival *a);
void arrival_note(arrival *a, uint32_t rows, uint64_t now_ns);
/* `count` were answered; who comes within window_ns is taken for one of them. */
void arrival_answered(arrival *a, uint32_t count, uint64_t window_ns, uint64_t now_ns);
double arrival_rows_per_s(const arrival *a);   /* 0 = not known */
/* How many are about to come back by *ret_until_ns, which is > now_ns; 0 = nobody is expected. */
double arrival_expected(const arrival *a, uint64_t now_ns, uint64_t *ret_until_ns);

#endif
