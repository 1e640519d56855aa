/* app.h - the model server: models, loops, listeners and what answers each path.
 *
 *   new    opens the listeners, then the models: a wrong flag, port or model fails here and nothing has started
 *   run    serves until SIGTERM or SIGINT, then drains (SIGHUP: the API keys are read again):
 *            readiness turns 503 --drain notice--> no new connections --all answered or drain wait over--> returns
 * The thread that calls run() is loop 0.  The service manager hears of each step.
 * SIGHUP reads certificate, key and client CA again; wrong files change nothing, and no connection notices either
 * way. */
#ifndef SERVE_APP_H
#define SERVE_APP_H
#include "net/listeners.h"
#include "net/tls_context.h"
#include "serve/conf.h"
#include "serve/service.h"

typedef struct app app;

/* What the options say of TLS, from their files; *ret is NULL where they say nothing. */
err_code app_tls_open(const conf *c, tls_context **ret, err *e) MUST_USE;
/* Borrows all three; tls == NULL: none. */
err_code app_new(app **ret, const conf *c, const service *by, tls_context *tls, err *e) MUST_USE;
void app_free(app *a);
DEFINE_CLEANUP(app)
listeners *app_listeners(const app *a);
listeners *app_control(const app *a); /* that of --control; NULL = there is none */
void app_table(const app *a, buf *out); /* its models, for the terminal */
err_code app_run(app *a, err *e) MUST_USE;

#endif
