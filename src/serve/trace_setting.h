/* trace_setting.h - Triton's trace extension: the settings of the server and of each model, over REST and gRPC.
 *
 * A model's setting that was never given, or was cleared, is the server's; one of the server's that was cleared is
 * Triton's default.  Each is an atomic of its own, so any thread may read and set them without a lock; a change is
 * checked whole before any of it is applied.  Where traces go (trace_file) and how (trace_mode) is chosen at start. */
#ifndef SERVE_TRACE_SETTING_H
#define SERVE_TRACE_SETTING_H
#include "base/buf.h"

#include <stdatomic.h>

enum { TRACE_OFF = 0, TRACE_TIMESTAMPS = 1 };   /* trace_level */

typedef enum { TRACE_LEVEL, TRACE_RATE, TRACE_COUNT, TRACE_FREQUENCY, TRACE_SETTINGS } trace_setting_name;

/* All zero: nothing is given. */
typedef struct {
    _Atomic uint32_t given;         /* a bit for each name */
    _Atomic int64_t value[TRACE_SETTINGS];
} trace_setting;

/* Of a server or a model: `own`, and what stands in for what it has not (NULL = Triton's defaults). */
typedef struct {
    trace_setting *own;
    const trace_setting *server;
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
/* For each setting, in Triton's order: its name and its value as text, until it says false. */
bool trace_setting_text(const trace_settings *s, size_t i, const char **ret_name, str *ret, char room[24]);

/* REST: {"trace_rate": "1", "trace_level": ["TIMESTAMPS"], "trace_count": null} is applied; the settings, printed. */
err_code trace_setting_read(const trace_settings *s, str body, err *e) MUST_USE;
void trace_setting_print(buf *out, const trace_settings *s);

#endif
