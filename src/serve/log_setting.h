/* log_setting.h - Triton's logging extension: what the running log writes, as named settings, over REST and gRPC.
 *
 * log_info, log_warning and log_error turn a level on and off, log_verbose_level turns on debug; log_format "ISO8601"
 * is text lines, "default" what the server was started with.  The file is chosen at start.  A change is applied
 * whole or not at all.  The log is the process's, so are these; any thread. */
#ifndef SERVE_LOG_SETTING_H
#define SERVE_LOG_SETTING_H
#include "serve/parameter.h"

typedef struct {
    bool info, warning, error, iso8601;
    uint32_t verbose;
} log_setting;

void log_setting_now(log_setting *ret);
void log_setting_apply(const log_setting *to);
/* One named value into `to`; none (null) changes nothing. */
err_code log_setting_take(log_setting *to, str key, const parameter *v, err *e) MUST_USE;
const char *log_setting_format(const log_setting *s);

/* REST: {"log_info": true, ...} is applied; the settings as an object. */
err_code log_setting_read(str body, err *e) MUST_USE;
void log_setting_print(buf *out);

#endif
