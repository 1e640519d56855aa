/* trace_setting.h - Triton's trace extension: the settings of the server and of each model, over REST and gRPC.
 *
 * A model's setting that was never given, or was cleared, is the server's; one of the server's that was cleared is
 * what it was started with.  Each is an atomic of its own, so any thread may read and set them without a lock; a
 * change is checked whole before any of it is applied.  Where traces go (trace_file) and how (trace_mode) is chosen at
 * start.
 *
 * Each trace_rate-th request is traced, counted by the model where it has a setting of its own, else by the server; so
 * many as trace_count says, which counts down to 0 where it was given.  Who traces has one more `open` until the trace
 * is written. */
#ifndef MODELS_TRACE_SETTING_H
#define MODELS_TRACE_SETTING_H
#include "base/buf.h"

#include <stdatomic.h>

enum { TRACE_OFF = 0, TRACE_TIMESTAMPS = 1, TRACE_TENSORS = 2, TRACE_LEVELS = 2 };   /* trace_level, a sum of them */

typedef enum { TRACE_LEVEL, TRACE_RATE, TRACE_COUNT, TRACE_FREQUENCY, TRACE_SETTINGS } trace_setting_name;

/* All zero: nothing is given. */
typedef struct {
    _Atomic uint32_t given;         /* a bit for each name */
    _Atomic int64_t value[TRACE_SETTINGS];
    _Atomic uint64_t seen;          /* requests, since the last change */
    _Atomic uint32_t changes;
    _Atomic uint32_t open;          /* traced requests that are not written yet */
} trace_setting;

/* Of a server or a model: `own`, and what stands in for what it has not. */
typedef struct {
    trace_setting *own;
    trace_setting *server;          /* NULL = own is the server's */
    const int64_t *defaults;        /* TRACE_SETTINGS, of the server; NULL = Triton's */
    str file;                       /* "" = none: nothing can be traced */
} trace_settings;

typedef struct {
    uint32_t set, clear;            /* a bit for each name */
    int64_t value[TRACE_SETTINGS];
} trace_change;

int64_t trace_setting_get(const trace_settings *s, trace_setting_name name);
/* One named setting of a request; no values = cleared.  The words are Triton's. */
err_code trace_change_add(trace_change *to, str name, const str *values, size_t count, err *e) MUST_USE;
err_code trace_setting_apply(const trace_settings *s, const trace_change *change, err *e) MUST_USE;

typedef struct {
    const char *name;
    str values[TRACE_LEVELS];
    size_t count;
    char room[24];                  /* private */
} trace_setting_words;
/* Each setting, in Triton's order, until it says false. */
bool trace_setting_text(const trace_settings *s, size_t i, trace_setting_words *ret);

/* A request that is traced. */
typedef struct {
    trace_setting *by;              /* who counted it, and has it open */
    uint32_t changes;               /* of trace_setting_changes(), then */
    uint32_t level;
    int64_t frequency;
    bool counted;                   /* there is an end of them */
} trace_sample;

/* Is this request traced?  Any thread.  It may say false and name who counts: others took the last ones meanwhile, and
 * whoever waits for their end has to look again. */
bool trace_setting_sample(const trace_settings *s, trace_sample *ret);
/* Moves with each change that concerns it. */
uint32_t trace_setting_changes(const trace_settings *s);
bool trace_setting_spent(const trace_settings *s);   /* trace_count is 0 */

/* REST: {"trace_rate": "1", "trace_level": ["TIMESTAMPS"], "trace_count": null} is applied; the settings, printed. */
err_code trace_setting_read(const trace_settings *s, str body, err *e) MUST_USE;
void trace_setting_print(buf *out, const trace_settings *s);

#endif
