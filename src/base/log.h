/* log.h - one line per event, as text or JSON, written whole to one sink.
 *
 * Layers below `serve` log nothing above LOG_DEBUG: they return an err.  A line is formatted on the stack
 * (LOG_LINE_MAX bytes, cut with a mark) and handed to the sink in one call, so lines of several threads
 * never mix.  The clock and the sink are given by main(); without them nothing is written. */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/base.h"

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS } log_level;
enum { LOG_LINE_MAX = 2048 };

typedef struct {
    log_level level;                                /* lines below it are dropped */
    bool json;                                      /* {"time":...,"level":...,"msg":...}; else a text line */
    void (*sink)(const char *line, size_t len);     /* line ends in a newline */
    uint64_t (*clock_us)(void);                     /* since the epoch */
} log_opts;

void log_setup(const log_opts *opts);               /* once, before threads start */
/* Any thread, any time, all of them. */
void log_level_set(log_level level);                /* this level and all above it */
log_level log_level_now(void);                      /* the lowest that is on; LOG_LEVELS = none */
void log_level_turn(log_level level, bool on);      /* this one alone */
bool log_level_on(log_level level);
bool log_on(log_level level);                       /* that, and there is somewhere to write to */
void log_plain_set(bool on);                        /* text lines from the next one on, also where JSON was set up */
bool log_plain_now(void);
/* `fields` is NULL or "key=value key2=value2" pairs made by the caller; values hold no blanks. */
void log_write(log_level level, const char *fields, const char *fmt, ...) PRINTF(3, 4);
const char *log_level_name(log_level level);

#endif
