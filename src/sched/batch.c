#include "sched/batch.h"

static const struct {
    const char *name, *text;
} limits[BATCH_LIMITS] = {
    [BATCH_LIMIT_NONE] = {"none", ""},
    [BATCH_LIMIT_ROWS] = {"rows", "rows of a request"},
    [BATCH_LIMIT_REQUESTS] = {"queue-max", "waiting requests"},
    [BATCH_LIMIT_BYTES] = {"queue-bytes-max", "waiting bytes"},
    [BATCH_LIMIT_LEVEL] = {"max_queue_size", "waiting requests of this priority"},
    [BATCH_LIMIT_KINDS] = {"queue-shapes", "different shapes that wait"},
    [BATCH_LIMIT_RATE] = {"model-rates", "requests per second"},
    [BATCH_LIMIT_OBJECTIVE] = {"latency-objective-ms", "microseconds to an answer"},
    [BATCH_LIMIT_DEADLINE] = {"deadline", "microseconds until it would be too late"},
};

static const char *const drops[BATCH_DROPS] = {"ran", "deadline", "timeout", "cancelled"};

const char *batch_limit_name(batch_limit l) { return limits[l].name; }
const char *batch_limit_text(batch_limit l) { return limits[l].text; }
const char *batch_drop_name(batch_drop d) { return drops[d]; }
