/* top_view.h - what `proa top` shows: a scrape of /metrics into figures, two of them into rates, rates into text.
 *
 * Pure functions over text and numbers.  Latencies are those of the time between the two scrapes, read off the
 * difference of the histograms' buckets as Prometheus' histogram_quantile does.  A server that was started anew between
 * them (its start time changed, or a counter fell) is compared with nothing: rates are shown from the next on. */
#ifndef CLI_TOP_VIEW_H
#define CLI_TOP_VIEW_H
#include "base/buf.h"

enum { TOP_MODELS_MAX = 256, TOP_BUCKETS_MAX = 64, TOP_NAME_MAX = 64 };

typedef struct {
    double at[TOP_BUCKETS_MAX], count[TOP_BUCKETS_MAX];   /* upper bounds, cumulative */
    size_t used;
} top_histogram;

typedef struct {
    char name[TOP_NAME_MAX], version[24];
    double success, failed, waiting, running;   /* failed: of all kinds */
    double runs, rows, padding;     /* of the model; padding: rows besides */
    double entries, waste;          /* of runs of unequal lengths: rows times length, and how many are nobody's */
    double sequences, backlog;      /* that have a slot, that wait for one */
    top_histogram latency;
} top_model;

typedef struct {
    uint64_t at_us;                 /* when it was read */
    double start_s, connections, requests, refused, bytes_in, bytes_out, memory, fds, cpu_s;
    double jobs_queued, jobs_running, jobs_kept, jobs_oldest_s;
    double budget_bytes, models_bytes, models_in, misses, misses_waiting, evictions;   /* of models-memory-max */
    size_t model_count;             /* more than TOP_MODELS_MAX are not shown */
    top_model models[TOP_MODELS_MAX];
} top_scrape;

err_code top_scrape_read(top_scrape *ret, str text, uint64_t at_us, err *e) MUST_USE;

typedef struct {
    const char *address;
    const top_scrape *before, *now;   /* now: NULL = never reached */
    const char *down;               /* why there are no metrics now; NULL = there are */
    bool answers;                   /* then: it does, something else */
    uint64_t down_wall_us, wall_us;   /* since when; now */
    size_t columns, rows;           /* of the screen; 0 = as many as there are */
    bool colours;
} top_view;

void top_view_print(buf *out, const top_view *v);      /* lines */
void top_view_json(buf *out, const top_view *v);       /* one object, one line */

#endif
