/* summon.h - requests for models that are not in memory, but are brought there when somebody asks.
 *
 *   not found --summon--> waits (models/model_keeper.h), the loop goes on --> asked anew, or refused with the reason
 * What is asked stays in its call, or its ask, and is not copied.  Whoever asks was looked at before it waited.  A
 * model may have left again by the time: then it is waited for once more, until models-wait-ms after the request
 * came. */
#ifndef SERVE_SUMMON_H
#define SERVE_SUMMON_H
#include "serve/ask.h"

/* One that another request has brought meanwhile is no longer summoned, and may have left again by the time that it is
 * looked for: so often it is. */
enum { SUMMON_LOOKS = 4 };

typedef enum { SUMMON_FOUND, SUMMON_COMES, SUMMON_FAILED } summon_end;

/* How a request gets at its model. */
typedef struct {
    err_code (*look)(void *ctx, err *e);    /* ERR_NOT_FOUND = it is not there now */
    bool (*summon)(void *ctx);              /* summon_call(), or summon_ask(); NULL = nobody brings it */
    void *ctx;
} summon_way;

/* Looks, and summons what it does not find.  *e is written with SUMMON_FAILED only: of one that has come between two
 * looks the first one's failure is not told.  SUMMON_COMES: who asks is called again, or answered. */
summon_end summon_find(const summon_way *w, err *e);

/* false = no such model is brought, or it is there by now.  Else the call is answered, later. */
bool summon_call(endpoints *s, http_call *call, const http_request *req, const route_args *args,
                 const infer_protocol *protocol);   /* of an inference; NULL = it is none */

/* Of a message: again(a) is called on its loop, with a->failure where it is not there. */
typedef struct {
    endpoints *endpoints;
    str name, version;
    str message;            /* of an inference; p NULL = it is none */
    loop *on;
    uint64_t since_us;      /* it began to come */
    uint64_t deadline_us;   /* its own; 0 = none */
} summon_what;
bool summon_ask(ask *a, const summon_what *what, void (*again)(ask *a));

#endif
