#include "serve/repository.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "os/clock.h"
#include "serve/source.h"

#include <stdio.h>
#include <string.h>

enum { REPOSITORY_NAMES_BYTES = 64 << 20 }; /* paths and names; a million models of 60 bytes */

struct repository {
    arena memory;
    map by_name; /* newest version of each name */
    served **all;
    size_t count, room;
    const conf *conf;
    compute *pool;
    uint32_t lanes;
};

static void served_free(served *s)
{
    if (!s) return;
    queue_free(s->queue);
    metrics_model_fini(&s->metrics);
    model_free(s->model);
    mem_free(s);
}
DEFINE_CLEANUP(served)

/* A name stands in a URL path segment and before ":predict"; clients resolve the segments "." and "..". */
static err_code name_check(str name, err *e)
{
    bool bad = name.len == 0 || name.len > 128 || !str_utf8_ok(name) || str_is(name, ".") || str_is(name, "..");
    for (size_t i = 0; i < name.len && !bad; i++)
        bad = (uint8_t)name.p[i] <= ' ' || strchr("/:?#%\"\\\177", name.p[i]) != NULL;
    if (bad)
        return err_set(e, ERR_INVALID,
                       "model name: expected 1..128 characters without blanks and / : ? # %% \" \\, got '" STR_FMT "'",
                       STR_ARG(name));
    return ERR_OK;
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

static err_code served_open(served **ret, repository *r, str name, const source *from, err *e)
{
    CLEANUP(served) served *s = mem_new0(served, 1);
    if (!s) return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(name));
    s->name = name;
    s->version = from->version;
    s->path = from->file;
    s->trace = arena_new(&r->memory, trace_setting, 1);
    if (!s->trace) return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(name));
    uint64_t since_us = clock_now_us();
    char fields[80];
    model_opts mo = {.pool = r->pool, .memory_max = r->conf->memory_bytes_max};
    err_code rc = model_open(&s->model, s->path.p, &mo, e);
    if (rc == ERR_OK) rc = plan_fixed(s->model, s->path.p, e);
    if (rc == ERR_OK) rc = metrics_model_init(&s->metrics, r->lanes, e);
    if (rc) return rc;
    queue_opts qo = {.model = s->model,
                     .pool = r->pool,
                     .metrics = &s->metrics,
                     .depth_max = (uint32_t)r->conf->queue_max,
                     .inline_us = (uint32_t)r->conf->inline_us,
                     .run_us_max = r->conf->compute_wait_ms * 1000};
    if ((rc = queue_new(&s->queue, &qo, e)) != ERR_OK) return rc;
    s->load_us = clock_now_us() - since_us;
    snprintf(fields, sizeof fields, "memory_bytes=%zu load_us=%llu", model_bytes(s->model),
             (unsigned long long)s->load_us);
    log_write(LOG_INFO, fields, "model '" STR_FMT "' version " STR_FMT ": " STR_FMT " ready in %.1f ms", STR_ARG(name),
              STR_ARG(s->version), STR_ARG(s->path), (double)s->load_us / 1e3);
    *ret = TAKE(s);
    return ERR_OK;
}

static err_code add(repository *r, str name, const char *path, err *e)
{
    source from;
    served *s = NULL;
    err_code rc = name_check(name, e);
    if (rc) return rc;
    const served *other = map_get(&r->by_name, name);
    if (other)
        return err_set(e, ERR_INVALID, "models: duplicate name '" STR_FMT "' for " STR_FMT " and %s", STR_ARG(name),
                       STR_ARG(other->path), path);
    if (r->count == r->room) {
        served **bigger = mem_grow(r->all, r->count * sizeof(served *), r->room ? 2 * r->room : 8, sizeof(served *));
        if (!bigger) return err_set(e, ERR_NOMEM, "models: no memory for %zu", r->count + 1);
        r->all = bigger;
        r->room = r->room ? 2 * r->room : 8;
    }
    if ((rc = source_find(&from, &r->memory, path, e)) != ERR_OK) return rc;
    if ((rc = served_open(&s, r, name, &from, e)) != ERR_OK) return rc;
    if (!map_put(&r->by_name, name, s)) {
        served_free(s);
        return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory for its name", STR_ARG(name));
    }
    r->all[r->count++] = s;
    return ERR_OK;
}

static err_code add_folder(repository *r, const char *folder, err *e)
{
    str *names;
    size_t count;
    err_code rc = source_models(&names, &count, &r->memory, folder, e);
    for (size_t i = 0; i < count && rc == ERR_OK; i++) {
        char *path = arena_printf(&r->memory, "%s/" STR_FMT, folder, (int)names[i].len, names[i].p);
        rc = path ? add(r, names[i], path, e) : err_set(e, ERR_NOMEM, "%s: no memory for a path", folder);
    }
    return rc;
}

err_code repository_open(repository **ret, const conf *c, compute *pool, uint32_t lanes, err *e)
{
    CLEANUP(repository) repository *r = mem_new0(repository, 1);
    if (!r) return err_set(e, ERR_NOMEM, "models: no memory");
    arena_init(&r->memory, NULL, 0, REPOSITORY_NAMES_BYTES);
    map_init(&r->by_name);
    r->conf = c;
    r->pool = pool;
    r->lanes = lanes;
    err_code rc = ERR_OK;
    for (size_t i = 0; i < c->model_count && rc == ERR_OK; i++) rc = add(r, c->models[i].name, c->models[i].path.p, e);
    if (rc == ERR_OK && c->model_dir.len)
        rc = add(r, c->model_name.len ? c->model_name : STR("model"), c->model_dir.p, e);
    if (rc == ERR_OK && c->model_repository.len) rc = add_folder(r, c->model_repository.p, e);
    if (rc) return rc;
    r->conf = NULL;
    *ret = TAKE(r);
    return ERR_OK;
}

void repository_free(repository *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->count; i++) served_free(r->all[i]);
    mem_free(r->all);
    map_fini(&r->by_name);
    arena_fini(&r->memory);
    mem_free(r);
}

err_code repository_find(const repository *r, str name, str version, served **ret, err *e)
{
    served *s = map_get(&r->by_name, name);
    if (!s) return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " does not exist.", STR_ARG(name));
    if (version.len && !str_eq(version, s->version))
        return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " and version " STR_FMT " does not exist.",
                       STR_ARG(name), STR_ARG(version));
    *ret = s;
    return ERR_OK;
}

size_t repository_count(const repository *r) { return r->count; }

served *repository_at(const repository *r, size_t i)
{
    INVARIANT(i < r->count);
    return r->all[i];
}
