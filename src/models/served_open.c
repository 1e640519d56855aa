#include "models/served_open.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/ensemble.h"
#include "models/pipeline.h"
#include "models/queue_limits.h"
#include "models/sequencer.h"
#include "models/served.h"
#include "models/warm_up.h"
#include "os/clock.h"

#include <stdio.h>
#include <string.h>

enum { TEXTS_BYTES = 64 << 10 };   /* of a version's own: its name and the path of its file */

void served_free(served *s)
{
    if (!s) return;
    if (s->cache) response_cache_drop(s->cache, s->cache_owner);
    sequencer_free(s->sequencer);
    queue_free(s->queue);
    ensemble_free(s->ensemble);
    metrics_model_fini(&s->metrics);
    pipeline_free(s->pipeline);
    model_free(s->model);
    model_config_free(s->config);
    arena_fini(&s->memory);
    mem_free(s);
}

void served_hold(served *s) { atomic_fetch_add_explicit(&s->held, 1, memory_order_relaxed); }

void served_release(served *s)
{
    if (atomic_fetch_sub_explicit(&s->held, 1, memory_order_acq_rel) == 1) s->unused(s);
}

/* Where every input shape is fixed, the plan is made now: a model that cannot run is refused here, not at its first
 * request. */
static err_code plan_fixed(model *m, const char *path, err *e)
{
    uint32_t n = model_input_count(m);
    shape *shapes = mem_new0(shape, n ? n : 1);
    exec *x = NULL;
    bool fixed = true;
    if (!shapes) return err_set(e, ERR_NOMEM, "%s: no memory for %u input shapes", path, n);
    for (uint32_t i = 0; i < n; i++) {
        const model_io *io = model_input(m, i);
        shapes[i] = io->shape;
        fixed = fixed && io->ranked;
        for (uint32_t d = 0; d < io->shape.rank; d++) fixed = fixed && io->shape.dim[d] >= 0;
    }
    err_code rc = fixed ? exec_take(&x, m, shapes, e) : ERR_OK;
    mem_free(shapes);
    if (x) exec_give(x);
    return rc ? err_wrap(e, "%s", path) : ERR_OK;
}

/* Zeros were not asked for by the model: what they do not fit is served all the same. */
static err_code warm(const served_from *f, const served *s, err *e)
{
    const warm_up_opts o = {.model = s->model,
                            .config = s->config,
                            .memory_max = f->opts->memory_bytes_max,
                            .run_us_max = f->opts->run_us_max};
    bool fixed = false;
    err why;
    if (s->config->scheduling.warmup_count) {
        err_code rc = warm_up_samples(&o, e);
        return rc ? err_wrap(e, STR_FMT, STR_ARG(s->path)) : ERR_OK;
    }
    if (!f->opts->warm_up) return ERR_OK;
    if (warm_up_zeros(&o, f->opts->warm_up, &fixed, &why))
        log_write(LOG_WARN, NULL, "model '" STR_FMT "': warm-up with zeros: %s", STR_ARG(s->name), why.text);
    else if (!fixed)
        log_write(LOG_INFO, NULL, "model '" STR_FMT "': no warm-up with zeros: expected fixed shapes, or model_warmup "
                  "in its config.pbtxt", STR_ARG(s->name));
    return ERR_OK;
}

static void cache_join(const served_from *f, served *s)
{
    if (f->cache) s->cache_owner = response_cache_owner(f->cache);
    if (!s->config->response_cache) return;
    s->cache = f->cache;
    if (!f->cache)
        log_write(LOG_WARN, NULL, "model '" STR_FMT "': response_cache: expected --cache-bytes-max with it, got 0: "
                  "nothing is kept", STR_ARG(s->name));
    else if (s->ensemble && ensemble_keeps_sequences(s->ensemble))
        log_write(LOG_WARN, NULL, "model '" STR_FMT "': response_cache: expected members without sequences: nothing "
                  "is kept", STR_ARG(s->name));
}

/* Its configuration, and where it lies. */
static err_code find(served *s, const served_from *f, err *e)
{
    const source_version *v = f->version;
    model_config_from cf = {.name = f->name, .path = f->path, .override = f->config};
    err_code rc = model_config_read(&s->config, &cf, e);
    if (rc) return rc;
    s->name = f->name;
    s->version = str_copy(&s->memory, v->name);
    s->path = str_copy(&s->memory, v->file);
    s->stamp = v->stamp;
    s->trace = f->trace;
    if (s->version.p && s->path.p) return ERR_OK;
    return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(f->name));
}

/* What its folder declares of pictures and answers. */
static err_code declare(served *s, const served_from *f, err *e)
{
    pipeline_from from = {.path = f->path,
                          .file = s->path.p,
                          .ios = &s->ios,
                          .metadata = s->model ? model_graph(s->model)->pipeline : (str){0},
                          .config = s->config,
                          .pixels_max = f->opts->image_pixels_max};
    return pipeline_open(&s->pipeline, &from, e);
}

/* Its own word counts; it is text, as all parameters are. */
static err_code share_max(const model_config *c, uint64_t general, size_t *ret, err *e)
{
    str own = model_config_parameter(c, "model_memory_max");
    uint64_t bytes = general;
    if (own.p && (!str_u64(own, &bytes) || bytes == 0))
        return err_set(e, ERR_INVALID, "parameter 'model_memory_max': expected bytes, 1 or more, got '" STR_FMT "'",
                       STR_ARG(own));
    *ret = (size_t)bytes;
    return ERR_OK;
}

static void owner_hold(void *s) { served_hold(s); }
static void owner_release(void *s) { served_release(s); }

static err_code sequence_make(served *s, const served_from *f, err *e)
{
    const sequencer_opts o = {.config = s->config,
                              .model = s->model,
                              .queue = s->queue,
                              .owner = {.hold = owner_hold, .release = owner_release, .ctx = s},
                              .waker = f->waker,
                              .metrics = &s->metrics,
                              .waiting_max = f->opts->queueing.requests_max};
    return sequencer_new(&s->sequencer, &o, e);
}

static err_code model_make(served *s, const served_from *f, err *e)
{
    model_opts mo = {.pool = f->opts->pool,
                     .memory_max = f->opts->memory_bytes_max,
                     .outputs = s->config->outputs_wanted,
                     .output_count = s->config->outputs_wanted_count};
    err_code rc = share_max(s->config, f->opts->model_bytes_max, &mo.share_max, e);
    if (rc) return err_wrap(e, "%s", f->path);
    rc = model_open(&s->model, s->path.p, &mo, e);
    if (rc == ERR_OK && (rc = model_config_fit(s->config, s->model, e)) != ERR_OK) rc = err_wrap(e, "%s", f->path);
    s->ios = s->config->ios;
    if (rc == ERR_OK) rc = plan_fixed(s->model, s->path.p, e);
    if (rc == ERR_OK) rc = declare(s, f, e);
    if (rc == ERR_OK) rc = warm(f, s, e);
    if (rc) return rc;
    queue_opts qo = {.name = s->name,
                     .owner = {.hold = owner_hold, .release = owner_release, .ctx = s},
                     .model = s->model,
                     .turns = f->turns,
                     .waker = f->waker,
                     .metrics = &s->metrics,
                     .run_us_max = f->opts->run_us_max};
    rc = queue_rules_apply(&qo, &f->opts->queueing, s->config, e);
    if (rc == ERR_OK) rc = queue_new(&s->queue, &qo, e);
    if (rc == ERR_OK && s->config->scheduling.sequence.on) rc = sequence_make(s, f, e);
    return rc ? err_wrap(e, "%s", f->path) : ERR_OK;
}

static err_code ensemble_make(served *s, const served_from *f, err *e)
{
    err_code rc = model_config_fit_alone(s->config, e);
    s->ios = s->config->ios;
    if (rc == ERR_OK)
        rc = queue_limits_none(f->opts->queueing.limits, f->opts->queueing.limit_count, s->config, e);
    if (rc == ERR_OK) rc = ensemble_new(&s->ensemble, s->config, f->models, &s->metrics, e);
    if (rc) return err_wrap(e, "%s", f->path);
    return declare(s, f, e);
}

err_code served_open(served **ret, const served_from *f, err *e)
{
    CLEANUP(served) served *s = mem_new0(served, 1);
    if (!s) return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(f->name));
    arena_init(&s->memory, NULL, 0, TEXTS_BYTES);
    s->memory.snug = true;
    err_code rc = find(s, f, e);
    if (rc) return rc;
    s->held = 1;
    uint64_t since_us = clock_now_us();
    char fields[80];
    rc = metrics_model_init(&s->metrics, f->opts->lanes, e);
    if (rc == ERR_OK) rc = s->config->ensemble ? ensemble_make(s, f, e) : model_make(s, f, e);
    if (rc) return rc;
    cache_join(f, s);
    s->load_us = clock_now_us() - since_us;
    snprintf(fields, sizeof fields, "memory_bytes=%zu load_us=%llu", served_bytes(s),
             (unsigned long long)s->load_us);
    log_level level = f->opts->on_demand ? LOG_DEBUG : LOG_INFO;   /* within a budget there are many */
    log_write(level, fields, "model '" STR_FMT "' version " STR_FMT ": " STR_FMT " ready in %.1f ms", STR_ARG(f->name),
              STR_ARG(s->version), STR_ARG(s->path), (double)s->load_us / 1e3);
    *ret = TAKE(s);
    return ERR_OK;
}
