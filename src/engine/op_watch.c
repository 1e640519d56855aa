#include "engine/op_watch.h"

#include "engine/exec.h"
#include "os/clock.h"

err_code op_watch_look(op_watch *w, err *e)
{
    const exec_stop *stop = w->call->within ? w->call->within->stop : NULL;
    err inner;
    w->work = 0;
    err_code rc = stop ? exec_stopped(stop, stop->until_us ? clock_now_us() : 0, &inner) : ERR_OK;
    return rc ? op_err(w->call, e, rc, "%s", inner.text) : ERR_OK;
}
