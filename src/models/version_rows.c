#include "models/version_rows.h"

#include "base/mem.h"

void version_rows_fini(version_rows *r)
{
    version_row *next;
    for (version_row *v = atomic_load(&r->first); v; v = next) {
        next = atomic_load(&v->next);
        note_fini(&v->version);
        note_fini(&v->reason);
        mem_free(v);
    }
}

static bool is_idle(const version_row *v)
{
    return !atomic_load(&v->ready) && !atomic_load(&v->loading) && !atomic_load(&v->leaving);
}

static bool is_of(version_row *v, str version)
{
    char text[NOTE_MAX];
    note_get(&v->version, text);
    return str_is(version, text);
}

/* Whose place another version may take: that of a name without one; with no room left the oldest that is idle. */
static version_row *spare_row(version_rows *r)
{
    version_row *oldest = NULL;
    for (version_row *v = atomic_load(&r->first); v; v = atomic_load(&v->next)) {
        if (is_of(v, STR(""))) return v;
        bool older = !oldest || atomic_load(&v->number) < atomic_load(&oldest->number);
        if (is_idle(v) && older) oldest = v;
    }
    return r->count < VERSION_ROWS_MAX ? NULL : oldest;
}

static void take_over(version_row *v, str version)
{
    char text[NOTE_MAX];
    uint64_t number = 0;
    size_t n = version.len < NOTE_MAX - 1 ? version.len : NOTE_MAX - 1;
    memcpy(text, version.p, n);
    text[n] = '\0';
    (void)str_u64(version, &number);
    atomic_store(&v->number, number);
    atomic_store(&v->comes, false);
    note_set(&v->version, text);
    note_set(&v->reason, "");
}

bool version_rows_come(const version_rows *r, str version)
{
    bool known = false;
    for (version_row *v = atomic_load(&r->first); v; v = atomic_load(&v->next)) {
        bool comes = atomic_load(&v->comes);
        if (comes && is_of(v, version)) return true;
        known = known || comes;
    }
    return !known;
}

err_code version_rows_get(version_rows *r, str version, version_row **ret, err *e)
{
    version_row *_Atomic *end = &r->first;
    for (version_row *v; (v = atomic_load(end)) != NULL; end = &v->next)
        if (is_of(v, version)) {
            *ret = v;
            return ERR_OK;
        }
    version_row *v = spare_row(r);
    if (v) {
        take_over(v, version);
        *ret = v;
        return ERR_OK;
    }
    if (r->count >= VERSION_ROWS_MAX)
        return err_set(e, ERR_LIMIT, "versions in use at once: expected at most %d, got %zu", VERSION_ROWS_MAX,
                       r->count + 1);
    if (!(v = mem_new0(version_row, 1))) return err_set(e, ERR_NOMEM, "models: no memory for a version");
    note_init(&v->version);
    note_init(&v->reason);
    take_over(v, version);
    atomic_store(end, v);
    r->count++;
    *ret = v;
    return ERR_OK;
}

/* By number; of equal ones, in the order in which they came.  There are few. */
version_row *version_rows_next(const version_rows *r, const version_row *after)
{
    version_row *next = NULL;
    uint64_t from = after ? atomic_load(&after->number) : 0, best = 0;
    bool behind = !after;
    for (version_row *v = atomic_load(&r->first); v; v = atomic_load(&v->next)) {
        uint64_t number = atomic_load(&v->number);
        bool later = number > from || (number == from && behind);
        if (v == after) behind = true;
        else if (later && (!next || number < best)) {
            next = v;
            best = number;
        }
    }
    return next;
}

const char *version_row_state(const version_row *v)
{
    return atomic_load(&v->ready)     ? "READY"
           : atomic_load(&v->loading) ? "LOADING"
           : atomic_load(&v->leaving) ? "UNLOADING"
                                      : "UNAVAILABLE";
}
