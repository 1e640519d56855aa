#include "models/repository.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/alias_rules.h"
#include "models/load_order.h"
#include "models/repository_names.h"
#include "models/served.h"
#include "models/served_open.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>

enum {
    REPOSITORY_NAMES_BYTES = 64 << 20, /* what the folder lists; a million models of 60 bytes */
    LOAD_BYTES = 128 << 20,            /* and a load, of what its folders list */
    LOAD_TRIES = 3                     /* where files change while they are read */
};

struct repository {
    arena memory;
    _Atomic(repository_names *) names;
    _Atomic(aliases *) aliases; /* NULL = none */
    repository_opts opts;
    response_cache *cache;
    waker *waker; /* of all queues */
    turns *turns; /* at the workers */
};

const char repository_waits[] = "not loaded yet: on demand";

static const repository_names *names_of(const repository *r) { return atomic_load(&r->names); }

/* ---- a load ---- */

void repository_load_init(repository_load *l)
{
    arena_init(&l->memory, NULL, 0, LOAD_BYTES);
    l->from = (source){0};
    l->is = NULL;
    l->got = NULL;
    l->failed = (str){0};
}

void repository_load_fini(repository_load *l)
{
    lineup_close(l->got, l->kept);
    for (size_t i = 0; l->kept && i < l->kept->count; i++) served_release(l->kept->all[i]);
    lineup_free(l->kept);
    model_config_free(l->is);
    arena_fini(&l->memory);
}

static err_code load_plan(repository_load *l, const repository_name *of, arena *a, source *ret, err *e)
{
    model_config *c = NULL;
    model_config_from cf = {.name = of->name, .path = l->path.p, .override = l->config};
    err_code rc = model_config_read(&c, &cf, e);
    if (rc) return rc;
    model_config_free(l->is);
    l->is = c;
    return source_find(ret, a, l->path.p, c, l->pin, e);
}

/* What was read before, if nothing has changed since. */
static served *kept_find(const repository_load *l, const source_version *v)
{
    served *s = l->kept ? lineup_find(l->kept, v->name) : NULL;
    return s && str_eq(s->path, v->file) && memcmp(&s->stamp, &v->stamp, sizeof s->stamp) == 0 ? s : NULL;
}

static err_code load_open(repository *r, repository_load *l, repository_name *of, err *e)
{
    err_code rc = lineup_new(&l->got, l->from.count, e);
    for (size_t i = 0; rc == ERR_OK && i < l->from.count; i++) {
        const source_version *v = &l->from.all[i];
        served *s = kept_find(l, v);
        l->failed = v->name;
        const served_from from = {.models = r,
                                  .opts = &r->opts,
                                  .cache = r->cache,
                                  .waker = r->waker,
                                  .turns = r->turns,
                                  .name = of->name,
                                  .trace = &of->trace,
                                  .path = l->path.p,
                                  .config = l->config,
                                  .version = v};
        if (!s && (rc = served_open(&s, &from, e)) != ERR_OK) return rc;
        if (l->pin.len && str_eq(v->name, l->pin)) l->got->first = i;
        l->got->all[l->got->count++] = s;
        l->failed = (str){0};
    }
    return rc;
}

/* What a user may take for served, or for watched, and is not; once for what was read. */
static void passed_over_say(const repository *r, const repository_load *l)
{
    size_t kept = 0;
    const log_level level = r->opts.on_demand ? LOG_DEBUG : LOG_WARN;   /* within a budget they come and go */
    for (size_t i = 0; i < l->got->count; i++) kept += lineup_has(l->kept, l->got->all[i]);
    if (kept == l->got->count) return;
    if (l->from.loose.p)
        log_write(level, NULL, "%s/" STR_FMT ": passed over: the folder has versions", l->path.p,
                  STR_ARG(l->from.loose));
    if (l->from.unseen.p && r->opts.polls)
        log_write(level, NULL, STR_FMT ": changes in it are not taken up: expected a folder that can be read, at most "
                  "%d deep, one of %d and with %d MiB of names in all", STR_ARG(l->from.unseen), SOURCE_DEPTH_MAX,
                  SOURCE_FOLDERS_MAX, SOURCE_NAMES_BYTES_MAX >> 20);
}

/* Nothing of it is found until all of it is there, and it was read from files that stayed as they were. */
static err_code load_whole(repository *r, repository_load *l, repository_name *of, err *e)
{
    for (int i = 0; i < LOAD_TRIES; i++) {
        source after;
        err ignored;
        err_code rc = load_open(r, l, of, e);
        err_code looked = load_plan(l, of, &l->memory, &after, rc ? &ignored : e);
        bool same = looked == ERR_OK && source_eq(&l->from, &after);
        if (same && rc == ERR_OK) passed_over_say(r, l);
        if (same || (rc && looked)) return rc;
        if (looked) return looked;
        lineup_close(TAKE(l->got), l->kept);
        l->from = after;
    }
    return err_set(e, ERR_UNAVAILABLE, "%s: expected files that stay as they are while they are read, got a change in "
                   "each of %d tries", l->path.p, LOAD_TRIES);
}

/* ---- names ---- */

static err_code rows_for(repository_name *l, const lineup *of, err *e)
{
    err_code rc = ERR_OK;
    for (size_t i = 0; rc == ERR_OK && i < of->count; i++)
        rc = version_rows_get(&l->rows, of->all[i]->version, &of->all[i]->row, e);
    return rc;
}

static bool list_has(str list, str name)
{
    str one;
    while (str_cut(list, ',', &one, &list))
        if (str_eq(one, name)) return true;
    return str_eq(list, name);
}

/* Whether it stays in memory, by the options or its own word, and how large its files are. */
static err_code name_note(const repository *r, repository_name *l, const repository_load *load, err *e)
{
    str own = model_config_parameter(load->is, "pinned");
    bool pinned = own.p && str_is(own, "true");
    if (own.p && !pinned && !str_is(own, "false"))
        return err_set(e, ERR_INVALID, "%s: parameter 'pinned': expected true or false, got '" STR_FMT "'", l->path,
                       STR_ARG(own));
    pinned = pinned || list_has(r->opts.pinned, l->name);
    l->file_bytes = 0;
    for (size_t i = 0; i < load->from.count; i++) {
        file_id id;
        err ignored;
        if (file_identify(load->from.all[i].file.p, &id, &ignored) == ERR_OK && id.kind == FILE_REGULAR)
            l->file_bytes += id.bytes;
    }
    queue_patience patience = model_config_patience(load->is);
    atomic_store(&l->waiting_max, patience.size_max);
    atomic_store(&l->keeps_timeout, !patience.own_timeout);
    atomic_store(&l->pinned, pinned);
    return ERR_OK;
}

/* In the index, until somebody asks for it. */
static err_code name_wait(repository_name *l, const repository_load *load, err *e)
{
    version_row *row;
    err_code rc = ERR_OK;
    for (size_t i = 0; rc == ERR_OK && i < load->from.count; i++) {
        rc = version_rows_get(&l->rows, load->from.all[i].name, &row, e);
        if (rc == ERR_OK) note_set(&row->reason, repository_waits);
        if (rc == ERR_OK) atomic_store(&row->comes, true);
    }
    atomic_store(&l->on_demand, true);
    return rc;
}

/* Its versions, before any loop looks. */
static err_code name_fill(repository_name *l, repository *r, err *e)
{
    repository_load load = {.path = str_of(l->path)};
    repository_load_init(&load);
    bool waits = r->opts.on_demand;
    err_code rc = load_plan(&load, l, &load.memory, &load.from, e);
    if (rc == ERR_OK) rc = name_note(r, l, &load, e);
    if (rc == ERR_OK) rc = repository_name_members(l, load.is, e);
    if (rc == ERR_OK) rc = waits ? name_wait(l, &load, e) : load_whole(r, &load, l, e);
    if (rc == ERR_OK && !waits) rc = rows_for(l, load.got, e);
    for (size_t i = 0; rc == ERR_OK && load.got && i < load.got->count; i++)
        atomic_store(&load.got->all[i]->row->ready, true);
    if (rc == ERR_OK) atomic_store(&l->now, TAKE(load.got));
    repository_load_fini(&load);
    return rc;
}

/* In the index, with the reason why it is not served. */
static err_code name_refused(repository_name *l, const err *why, err *e)
{
    version_row *row;
    err_code rc = version_rows_get(&l->rows, STR(""), &row, e);
    if (rc) return rc;
    note_set(&row->reason, why->text);
    log_write(LOG_ERROR, NULL, "model '" STR_FMT "' is not loaded: %s", STR_ARG(l->name), why->text);
    return ERR_OK;
}

/* No model can have the name.  Of a folder that nobody needs a line of the log says so; where the folder is polled,
 * poller.h does, for there such names come and go. */
static err_code name_wrong(const repository *r, const named_model *m, bool loaded, const err *why)
{
    if (!m->listed || (loaded && !r->opts.lenient)) return why->code;
    if (!r->opts.polls) log_write(LOG_WARN, NULL, "%s: passed over: %s", m->path.p, why->text);
    return ERR_OK;
}

/* `loaded`: now; else it stands in the index, to be loaded by its name. */
static err_code add(repository *r, const named_model *m, bool loaded, err *e)
{
    repository_names *names = atomic_load(&r->names);
    CLEANUP(repository_name) repository_name *l = NULL;
    version_row *row;
    err_code rc = repository_name_check(m->name, e);
    if (rc) return name_wrong(r, m, loaded, e);
    const repository_name *other = map_get(&names->by_name, m->name);
    if (other)
        return err_set(e, ERR_INVALID, "models: duplicate name '" STR_FMT "' for %s and %s", STR_ARG(m->name),
                       other->path, m->path.p);
    rc = repository_name_new(&l, m->name, m->path.p, e);
    if (rc) return rc;
    l->brought = m->brought;
    rc = loaded ? name_fill(l, r, e) : version_rows_get(&l->rows, STR(""), &row, e);
    if (rc && rc != ERR_NOMEM && loaded && r->opts.lenient) {
        const err why = *e;
        repository_name_free(TAKE(l));   /* what it knew of itself was of the one that did not come */
        rc = repository_name_new(&l, m->name, m->path.p, e);
        if (rc) return rc;
        l->brought = m->brought;
        rc = name_refused(l, &why, e);
    }
    if (rc == ERR_OK) rc = repository_names_put(names, l, e);
    if (rc == ERR_OK) (void)TAKE(l);
    return rc;
}

/* All that the options name, in the order in which they are loaded. */
static err_code models_list(named_model **ret, size_t *ret_count, size_t *ret_loaded, repository *r, err *e)
{
    const repository_opts *o = &r->opts;
    str *names = NULL;
    size_t count = 0, n = 0;
    str alone = o->model_name.len ? o->model_name : STR("model");
    bool looks = o->folder.len && !o->bare;
    err_code rc = looks ? source_models(&names, &count, &r->memory, o->folder.p, e) : ERR_OK;
    file_id id;
    err ignored;
    bool later = rc == ERR_NOT_FOUND && o->polls && file_identify(o->folder.p, &id, &ignored) == ERR_OK;
    if (rc && !later) return rc;
    named_model *all = arena_new(&r->memory, named_model, o->model_count + count + 1);
    if (!all) return err_set(e, ERR_NOMEM, "models: no memory for %zu names", o->model_count + count);
    for (size_t i = 0; i < o->model_count; i++) all[n++] = o->models[i];
    if (o->model_dir.len) all[n++] = (named_model){.name = alone, .path = o->model_dir};
    for (size_t i = 0; i < count; i++) {
        const char *folder = o->folder.p, *path = arena_printf(&r->memory, "%s/" STR_FMT, folder, STR_ARG(names[i]));
        if (!path) return err_set(e, ERR_NOMEM, "%s: no memory for a path", folder);
        all[n++] = (named_model){.name = names[i], .path = str_of(path), .listed = true};
    }
    *ret = all;
    *ret_count = n;
    return load_order(all, n, o->chosen, ret_loaded, e);
}

/* Each name that is to stay is one. */
static err_code pinned_check(const repository *r, err *e)
{
    const repository_names *n = names_of(r);
    str one, list = r->opts.pinned;
    for (bool more = list.len > 0; more;) {
        more = str_cut(list, ',', &one, &list);
        if (!more) one = list;
        if (!map_get(&n->by_name, one))
            return err_set(e, ERR_INVALID, "pin-models: expected the name of a model, got '" STR_FMT "'", STR_ARG(one));
    }
    return ERR_OK;
}

err_code repository_open(repository **ret, const repository_opts *opts, err *e)
{
    CLEANUP(repository) repository *r = mem_new0(repository, 1);
    if (!r) return err_set(e, ERR_NOMEM, "models: no memory");
    arena_init(&r->memory, NULL, 0, REPOSITORY_NAMES_BYTES);
    repository_names *names;
    named_model *all;
    size_t count = 0, loaded = 0;
    err_code rc = repository_names_new(&names, e);
    if (rc) return rc;
    atomic_store(&r->names, names);
    r->opts = *opts;
    rc = opts->cache_bytes_max ? response_cache_new(&r->cache, opts->cache_bytes_max, e) : ERR_OK;
    if (rc == ERR_OK) rc = models_list(&all, &count, &loaded, r, e);
    if (rc == ERR_OK) rc = waker_new(&r->waker, e);
    if (rc == ERR_OK) rc = turns_new(&r->turns, opts->pool, opts->by_runs, e);
    for (size_t i = 0; i < opts->resource_count && rc == ERR_OK; i++)
        rc = turns_say(r->turns, opts->resources[i].name, opts->resources[i].count, e);
    for (size_t i = 0; i < count && rc == ERR_OK; i++) rc = add(r, &all[i], i < loaded, e);
    if (rc == ERR_OK) rc = pinned_check(r, e);
    aliases *table = NULL;
    if (rc == ERR_OK) rc = alias_rules_all(r, opts->aliases, &table, e);
    if (rc) return rc;
    atomic_store(&r->aliases, table);
    *ret = TAKE(r);
    return ERR_OK;
}

void repository_stop(repository *r)
{
    if (r) waker_stop(r->waker);
}

void repository_free(repository *r)
{
    if (!r) return;
    repository_names *names = atomic_load(&r->names);
    for (size_t i = 0; names && i < names->count; i++) repository_name_free(names->all[i]);
    repository_names_free(names);
    aliases_free(atomic_load(&r->aliases));
    response_cache_free(r->cache);
    turns_free(r->turns);
    waker_free(r->waker);
    arena_fini(&r->memory);
    mem_free(r);
}

static repository_name *name_of(const repository *r, str name) { return map_get(&names_of(r)->by_name, name); }

const aliases *repository_aliases(const repository *r) { return atomic_load(&r->aliases); }
aliases *repository_aliases_swap(repository *r, aliases *now) { return atomic_exchange(&r->aliases, now); }

/* No model has the name. */
static err_code alias_find(const repository *r, str name, str version, served **ret, err *e)
{
    const aliases *t = repository_aliases(r);
    alias led;
    err_code rc = aliases_lead(t, &(alias){.name = name, .version = version}, &led, e);
    if (rc) return rc;
    if (name_of(r, led.model)) return repository_find(r, led.model, led.version, ret, e);
    return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " does not exist.", STR_ARG(name));
}

bool repository_alias_entry(const repository *r, size_t i, repository_entry *ret)
{
    const aliases *t = repository_aliases(r);
    served *s = NULL;
    err e;
    if (i >= aliases_count(t)) return false;
    const alias *a = aliases_at(t, i);
    bool there = repository_find(r, a->name, STR(""), &s, &e) == ERR_OK;
    ret->name = a->name;
    alias led = {.version = a->version};
    bool comes = !there && repository_comes(r, a->name, STR(""), &led);
    if (there) led = (alias){.model = s->name, .version = s->version};
    ret->state = there || comes ? "READY" : "UNAVAILABLE";
    snprintf(ret->version, sizeof ret->version, STR_FMT, STR_ARG(led.version));
    if (!there && !comes) snprintf(ret->reason, sizeof ret->reason, "%s", e.text);
    else snprintf(ret->reason, sizeof ret->reason, "%s of " STR_FMT, alias_model(a).p ? "label" : "alias",
                  STR_ARG(led.model));
    return true;
}

err_code repository_find(const repository *r, str name, str version, served **ret, err *e)
{
    const repository_name *l = name_of(r, name);
    if (!l) return alias_find(r, name, version, ret, e);
    const lineup *now = atomic_load(&l->now);
    if (!now && !(version.len && atomic_load(&l->on_demand)))
        return err_set(e, ERR_NOT_FOUND, "Request for unknown model: '" STR_FMT "' has no available versions",
                       STR_ARG(name));
    served *s = !now ? NULL : version.len ? lineup_find(now, version) : now->all[now->first];
    if (!s)
        return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " and version " STR_FMT " does not exist.",
                       STR_ARG(name), STR_ARG(version));
    *ret = s;
    return ERR_OK;
}

bool repository_knows(const repository *r, str name) { return name_of(r, name) != NULL; }

/* The model that a name, or an alias, leads to; NULL = none. */
static repository_name *led_of(const repository *r, str name)
{
    repository_name *l = name_of(r, name);
    alias led;
    err e;
    if (l || aliases_lead(repository_aliases(r), &(alias){.name = name}, &led, &e)) return l;
    return name_of(r, led.model);
}

int64_t repository_leads(const repository *r, str name)
{
    const repository_name *l = led_of(r, name);
    return l ? (int64_t)l->index : -1;
}

bool repository_on_demand(const repository *r, str name)
{
    const repository_name *l = led_of(r, name);
    return l && atomic_load(&l->on_demand) && !atomic_load(&l->now);
}

bool repository_comes(const repository *r, str name, str version, alias *ret_led)
{
    err e;
    const repository_name *l = name_of(r, name);
    const alias asked = {.name = name, .version = version};
    alias led = {.model = name, .version = version};
    if (!l && aliases_lead(repository_aliases(r), &asked, &led, &e)) return false;
    if (!l && !(l = name_of(r, led.model))) return false;
    if (!atomic_load(&l->on_demand) || atomic_load(&l->now)) return false;
    if (led.version.len && !version_rows_come(&l->rows, led.version)) return false;
    *ret_led = led;
    return true;
}

queue_patience repository_patience(const repository *r, str name)
{
    const repository_name *l = led_of(r, name);
    if (!l) return (queue_patience){.own_timeout = true};
    return (queue_patience){atomic_load(&l->waiting_max), !atomic_load(&l->keeps_timeout)};
}

trace_setting *repository_trace(const repository *r, str name)
{
    repository_name *l = led_of(r, name);
    return l ? &l->trace : NULL;
}

size_t repository_count(const repository *r) { return names_of(r)->count; }
waker *repository_waker(const repository *r) { return r->waker; }
response_cache *repository_cache(const repository *r) { return r->cache; }

bool repository_serves(const repository *r)
{
    const repository_names *n = names_of(r);
    for (size_t i = 0; i < n->count; i++)
        if (atomic_load(&n->all[i]->now) || atomic_load(&n->all[i]->on_demand)) return true;
    return false;
}

static repository_name *at(const repository *r, size_t i)
{
    const repository_names *n = names_of(r);
    INVARIANT(i < n->count);
    return n->all[i];
}

const lineup *repository_lineup(const repository *r, size_t i) { return atomic_load(&at(r, i)->now); }

served *repository_at(const repository *r, size_t i)
{
    const lineup *now = repository_lineup(r, i);
    return now ? now->all[now->first] : NULL;
}

const lineup *repository_lineup_of(const repository *r, const served *s)
{
    const repository_name *l = name_of(r, s->name);
    return l ? atomic_load(&l->now) : NULL;
}

int64_t repository_index(const repository *r, str name)
{
    const repository_names *n = names_of(r);
    const repository_name *l = map_get(&n->by_name, name);
    return l ? (int64_t)l->index : -1;
}

bool repository_entry_next(const repository *r, size_t i, const version_row **at_row, repository_entry *ret)
{
    repository_name *l = at(r, i);
    version_row *v = version_rows_next(&l->rows, *at_row);
    if (!v) return false;
    ret->name = l->name;
    ret->state = version_row_state(v);
    note_get(&v->version, ret->version);
    note_get(&v->reason, ret->reason);
    *at_row = v;
    return true;
}

void served_measure(served *s)
{
    const model_share share = s->model ? model_share_read(s->model) : (model_share){.bytes = 0};
    atomic_store_explicit(&s->metrics.bytes, (int64_t)served_bytes(s), memory_order_relaxed);
    atomic_store_explicit(&s->metrics.share_bytes, (int64_t)share.bytes, memory_order_relaxed);
    atomic_store_explicit(&s->metrics.share_refused, (int64_t)share.refused, memory_order_relaxed);
}

/* ---- changes ---- */

str repository_name_at(const repository *r, size_t i) { return at(r, i)->name; }
void repository_demand(repository *r, size_t i, bool on) { atomic_store(&at(r, i)->on_demand, on); }
bool repository_pinned(const repository *r, size_t i) { return atomic_load(&at(r, i)->pinned); }
uint64_t repository_file_bytes(const repository *r, size_t i) { return at(r, i)->file_bytes; }
str repository_path(const repository *r, size_t i) { return str_of(at(r, i)->path); }
bool repository_brought(const repository *r, size_t i) { return at(r, i)->brought; }
void repository_brought_set(repository *r, size_t i, bool brought) { at(r, i)->brought = brought; }

static err_code path_check(str path, err *e)
{
    if (path.len == 0 || path.len >= FILE_PATH_MAX || memchr(path.p, 0, path.len))
        return err_set(e, ERR_INVALID, "path: expected 1..%d bytes without a zero, got %zu bytes", FILE_PATH_MAX - 1,
                       path.len);
    return ERR_OK;
}

err_code repository_move(repository *r, size_t i, str path, err *e)
{
    repository_name *l = at(r, i);
    char *text = mem_alloc0(path.len + 1, 1);
    if (!text) return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(l->name));
    memcpy(text, path.p, path.len);
    mem_free(l->path);
    l->path = text;
    return ERR_OK;
}

void repository_load_of(repository *r, size_t i, repository_load *l)
{
    l->index = i;
    l->of = at(r, i);
}

err_code repository_load_plan(repository_load *l, err *e)
{
    err_code rc = path_check(l->path, e);
    return rc ? rc : load_plan(l, l->of, &l->memory, &l->from, e);
}

str repository_load_member(const repository_load *l, size_t i)
{
    return l->is ? model_config_member(l->is, i) : (str){0};
}

str repository_member(const repository *r, size_t i, size_t member)
{
    const repository_name *l = at(r, i);
    return member < l->member_count ? l->members[member] : (str){0};
}

err_code repository_members_note(const repository_load *l, err *e)
{
    return repository_name_members(l->of, l->is, e);
}

err_code repository_load_open(repository *r, repository_load *l, err *e)
{
    return load_whole(r, l, l->of, e);
}

void repository_loading_end(repository_load *l)
{
    for (size_t i = 0; i < l->loading_count; i++) atomic_fetch_sub(&l->loading[i]->loading, 1);
    l->loading_count = 0;
}

err_code repository_loading(repository *r, repository_load *l, err *e)
{
    repository_name *of = l->of;
    err_code rc = name_note(r, of, l, e);
    if (rc) return rc;
    l->loading = arena_new(&l->memory, version_row *, l->from.count);
    if (!l->loading) return err_set(e, ERR_NOMEM, "models: no memory for %zu versions", l->from.count);
    for (size_t i = 0; i < l->from.count; i++) {
        rc = version_rows_get(&of->rows, l->from.all[i].name, &l->loading[i], e);
        if (rc) return rc;
        atomic_fetch_add(&l->loading[i]->loading, 1);
        l->loading_count++;
    }
    return ERR_OK;
}

void repository_versions_forget(repository *r, size_t i)
{
    version_row *v = NULL;
    while ((v = version_rows_next(&at(r, i)->rows, v)) != NULL) atomic_store(&v->comes, false);
}

void repository_settled(repository *r, size_t i)
{
    version_row *v = NULL;
    while ((v = version_rows_next(&at(r, i)->rows, v)) != NULL)
        if (atomic_load(&v->ready)) note_set(&v->reason, "");
}

void repository_say(repository *r, size_t i, const char *why)
{
    version_row *v = NULL;
    while ((v = version_rows_next(&at(r, i)->rows, v)) != NULL)
        if (!atomic_load(&v->ready)) note_set(&v->reason, why);
}

void repository_failed(repository *r, const repository_load *l, const char *why)
{
    repository_name *of = at(r, l->index);
    err e;
    version_row *v = NULL;
    served *now = repository_at(r, l->index);
    str version = l->failed.len ? l->failed : now ? now->version : STR("");
    if (!version.len) v = version_rows_next(&of->rows, NULL);
    else if (version_rows_get(&of->rows, version, &v, &e)) return;
    if (v) note_set(&v->reason, why);
}

/* NAME in the model repository's folder. */
static bool folder_path(const repository *r, str name, char ret[FILE_PATH_MAX])
{
    file_id id;
    err e;
    if (!r->opts.folder.len || repository_name_check(name, &e) || name.p[0] == '.') return false;
    int n = snprintf(ret, FILE_PATH_MAX, "%s/%.*s", r->opts.folder.p, (int)name.len, name.p);
    return n > 0 && n < FILE_PATH_MAX && file_identify(ret, &id, &e) == ERR_OK && id.kind == FILE_FOLDER;
}

static err_code path_named(str name, str path, char ret[FILE_PATH_MAX], err *e)
{
    err_code rc = repository_name_check(name, e);
    if (rc == ERR_OK) rc = path_check(path, e);
    if (rc) return rc;
    memcpy(ret, path.p, path.len);
    ret[path.len] = '\0';
    return ERR_OK;
}

err_code repository_add(repository *r, str name, str from, repository_names **ret_old, err *e)
{
    char path[FILE_PATH_MAX];
    CLEANUP(repository_names) repository_names *names = NULL;
    CLEANUP(repository_name) repository_name *l = NULL;
    version_row *row;
    if (!from.p && !folder_path(r, name, path))
        return err_set(e, ERR_NOT_FOUND, "failed to poll from model repository");
    err_code rc = from.p ? path_named(name, from, path, e) : ERR_OK;
    if (rc == ERR_OK) rc = repository_name_new(&l, name, path, e);
    if (rc == ERR_OK && aliases_find(repository_aliases(r), name))
        rc = err_set(e, ERR_INVALID, "model name: expected one that no alias has, got '" STR_FMT "'", STR_ARG(name));
    if (rc == ERR_OK && !from.p) rc = version_rows_get(&l->rows, STR(""), &row, e);   /* it stands in the folder */
    if (rc == ERR_OK) rc = repository_names_copy(&names, names_of(r), e);
    if (rc == ERR_OK) rc = repository_names_put(names, l, e);
    if (rc) return rc;
    (void)TAKE(l);
    *ret_old = atomic_exchange(&r->names, TAKE(names));
    return ERR_OK;
}

err_code repository_rows(repository *r, size_t i, const lineup *l, err *e) { return rows_for(at(r, i), l, e); }

/* What was to come with another configuration does not with this one. */
static void rows_settle(version_rows *rows, const char *why)
{
    version_row *v = NULL;
    while ((v = version_rows_next(rows, v)) != NULL)
        if (!atomic_load(&v->ready) && atomic_exchange(&v->comes, false)) note_set(&v->reason, why);
}

lineup *repository_swap(repository *r, size_t i, lineup *now, const char *why)
{
    lineup *old = atomic_exchange(&at(r, i)->now, now);
    if (now) rows_settle(&at(r, i)->rows, why);
    for (size_t k = 0; old && k < old->count; k++) {
        version_row *row = old->all[k]->row;
        if (lineup_has(now, old->all[k])) continue;
        atomic_fetch_add(&row->leaving, 1);
        atomic_store(&row->ready, false);
        atomic_store(&row->comes, !now);
        note_set(&row->reason, why);
    }
    for (size_t k = 0; now && k < now->count; k++) {
        note_set(&now->all[k]->row->reason, "");
        atomic_store(&now->all[k]->row->ready, true);
        atomic_store(&now->all[k]->row->comes, true);
    }
    return old;
}

void repository_left(served *s) { atomic_fetch_sub(&s->row->leaving, 1); }
