#include "sched/residency.h"

#include "base/mem.h"

#include <string.h>

typedef struct {
    residency_state state;       /* OUT, LOADING, IN; the others follow from what is below */
    bool pinned, wanted, started, busy, sized;
    bool marked;                 /* in the group that is looked at */
    uint32_t needed;             /* by so many that are LOADING or IN */
    uint32_t leaving;            /* times that it was taken out and has not left */
    uint64_t turn;               /* among those that are wanted */
    uint64_t bytes, guess;       /* while LOADING or IN these count */
    uint64_t leaving_bytes;      /* these do, besides */
    uint64_t since_us, used_us;
    size_t *needs;
    size_t need_count;
} item;

struct residency {
    residency_opts opts;
    item *all;
    size_t count, room;
    uint64_t used, leaving_bytes, turn;
    uint64_t extra;              /* what models took beyond their guesses, of late */
    uint32_t loading;            /* started */
    uint64_t loads, evictions, refused;
    size_t group[RESIDENCY_GROUP_MAX];
    size_t group_count;
};

err_code residency_new(residency **ret, const residency_opts *opts, err *e)
{
    INVARIANT(opts->bytes_max && opts->loads_max);
    residency *r = mem_new0(residency, 1);
    if (!r) return err_set(e, ERR_NOMEM, "models: no memory for their budget");
    r->opts = *opts;
    *ret = r;
    return ERR_OK;
}

void residency_free(residency *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->count; i++) mem_free(r->all[i].needs);
    mem_free(r->all);
    mem_free(r);
}

err_code residency_add(residency *r, err *e)
{
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        item *all = mem_grow(r->all, r->count * sizeof(item), room, sizeof(item));
        if (!all) return err_set(e, ERR_NOMEM, "models: no memory for the budget of %zu", r->count + 1);
        r->all = all;
        r->room = room;
    }
    r->all[r->count++] = (item){.state = RESIDENCY_OUT};
    return ERR_OK;
}

static item *at(const residency *r, size_t i)
{
    INVARIANT(i < r->count);
    return &r->all[i];
}

static bool is_there(const item *m) { return m->state == RESIDENCY_LOADING || m->state == RESIDENCY_IN; }

static void needs_count(residency *r, const item *m, bool more)
{
    for (size_t i = 0; i < m->need_count; i++) {
        item *of = at(r, m->needs[i]);
        INVARIANT(more || of->needed > 0);
        of->needed = more ? of->needed + 1 : of->needed - 1;
    }
}

/* LOADING and IN have room, and hold on to what they need. */
static void state_set(residency *r, item *m, residency_state to)
{
    bool was = is_there(m);
    m->state = to;
    if (was == is_there(m)) return;
    needs_count(r, m, !was);
    r->used = was ? r->used - m->bytes : r->used + m->bytes;
}

static void bytes_set(residency *r, item *m, uint64_t bytes)
{
    if (is_there(m)) r->used = r->used - m->bytes + bytes;
    m->bytes = bytes;
}

size_t residency_count(const residency *r) { return r->count; }
void residency_pin(residency *r, size_t i, bool pinned) { at(r, i)->pinned = pinned; }
void residency_guess(residency *r, size_t i, uint64_t bytes) { at(r, i)->guess = bytes; }

err_code residency_need(residency *r, size_t i, const size_t *of, size_t count, err *e)
{
    item *m = at(r, i);
    size_t *needs = count ? mem_new0(size_t, count) : NULL;
    if (count && !needs) return err_set(e, ERR_NOMEM, "models: no memory for what one needs");
    if (count) memcpy(needs, of, count * sizeof *of);
    if (is_there(m)) needs_count(r, m, false);
    mem_free(m->needs);
    m->needs = needs;
    m->need_count = count;
    if (is_there(m)) needs_count(r, m, true);
    return ERR_OK;
}

bool residency_needs_all(const residency *r, size_t i)
{
    const item *m = at(r, i);
    bool all = true;
    for (size_t k = 0; k < m->need_count; k++) all = all && at(r, m->needs[k])->state == RESIDENCY_IN;
    return all;
}

/* It, and all that it needs; what is beyond RESIDENCY_GROUP_MAX is left to the load itself, which says that it is
 * missing. */
static void group_make(residency *r, size_t i)
{
    for (size_t k = 0; k < r->count; k++) r->all[k].marked = false;
    r->group[0] = i;
    r->group_count = 1;
    at(r, i)->marked = true;
    for (size_t k = 0; k < r->group_count; k++) {
        const item *m = at(r, r->group[k]);
        for (size_t n = 0; n < m->need_count && r->group_count < RESIDENCY_GROUP_MAX; n++) {
            item *of = at(r, m->needs[n]);
            if (of->marked) continue;
            of->marked = true;
            r->group[r->group_count++] = m->needs[n];
        }
    }
}

/* What is known of it, at least. */
static uint64_t size_of(const item *m) { return m->sized || is_there(m) ? m->bytes : m->guess; }

/* The same, and what others took beyond their guesses. */
static uint64_t size_expected(const residency *r, const item *m)
{
    return m->sized || is_there(m) ? m->bytes : m->guess + r->extra;
}

bool residency_counts_in(const residency *r, size_t k)
{
    const item *m = at(r, k);
    return m->marked || (m->pinned && is_there(m));
}

static uint64_t group_bytes(const residency *r)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->count; i++) bytes += residency_counts_in(r, i) ? size_of(&r->all[i]) : 0;
    return bytes;
}

uint64_t residency_needed_bytes(residency *r, size_t i)
{
    group_make(r, i);
    return group_bytes(r);
}

bool residency_want(residency *r, size_t i)
{
    item *m = at(r, i);
    if (m->wanted || is_there(m)) return false;
    m->wanted = true;
    m->turn = ++r->turn;
    return true;
}

static void learn(residency *r, item *m, uint64_t bytes)
{
    if (m->sized) return;
    uint64_t beyond = bytes > m->guess ? bytes - m->guess : 0;
    r->extra = r->extra ? r->extra - r->extra / 8 + beyond / 8 : beyond;
}

bool residency_fits(residency *r, size_t i, uint64_t bytes)
{
    item *m = at(r, i);
    learn(r, m, bytes);
    bytes_set(r, m, bytes);
    m->sized = true;
    bool fits = residency_needed_bytes(r, i) <= r->opts.bytes_max;
    if (!fits) r->refused++;
    return fits;
}

void residency_readmit(residency *r, size_t i)
{
    item *m = at(r, i);
    INVARIANT(r->refused > 0);
    r->refused--;
    m->wanted |= !is_there(m);
}

/* It does not load any more, if it did. */
static void load_end(residency *r, item *m)
{
    if (m->state == RESIDENCY_LOADING && m->started) r->loading--;
    m->started = m->wanted = false;
}

void residency_came(residency *r, size_t i, uint64_t bytes, uint64_t now_us)
{
    item *m = at(r, i);
    load_end(r, m);
    if (m->state != RESIDENCY_IN) r->loads++;
    learn(r, m, bytes);
    state_set(r, m, RESIDENCY_IN);
    bytes_set(r, m, bytes);
    m->sized = true;
    m->busy = false;
    m->since_us = m->used_us = now_us;
}

void residency_failed(residency *r, size_t i)
{
    item *m = at(r, i);
    if (m->state != RESIDENCY_LOADING) return;
    load_end(r, m);
    state_set(r, m, RESIDENCY_OUT);
}

void residency_again(residency *r, size_t i)
{
    item *m = at(r, i);
    INVARIANT(m->state == RESIDENCY_LOADING);
    residency_failed(r, i);
    m->wanted = true;
}

void residency_see(residency *r, size_t i, uint64_t bytes, uint64_t used_us, bool busy)
{
    item *m = at(r, i);
    if (m->state != RESIDENCY_IN) return;
    bytes_set(r, m, bytes);
    m->busy = busy;
    if (used_us > m->used_us) m->used_us = used_us;
}

bool residency_drop(residency *r, size_t i)
{
    item *m = at(r, i);
    m->wanted = false;
    m->sized = false;   /* its files may be others when it comes again */
    if (m->state != RESIDENCY_IN) return false;
    m->leaving++;
    m->leaving_bytes += m->bytes;
    r->leaving_bytes += m->bytes;
    r->used += m->bytes;   /* until it has left */
    state_set(r, m, RESIDENCY_OUT);
    return true;
}

void residency_left(residency *r, size_t i)
{
    item *m = at(r, i);
    INVARIANT(m->leaving > 0);
    if (--m->leaving > 0) return;
    r->used -= m->leaving_bytes;
    r->leaving_bytes -= m->leaving_bytes;
    m->leaving_bytes = 0;
}

void residency_stays(residency *r, size_t i)
{
    item *m = at(r, i);
    INVARIANT(m->state == RESIDENCY_OUT && m->leaving > 0 && r->evictions > 0);
    m->leaving--;
    m->leaving_bytes -= m->bytes;
    r->leaving_bytes -= m->bytes;
    r->used -= m->bytes;
    r->evictions--;
    state_set(r, m, RESIDENCY_IN);
}

/* ---- steps ---- */

/* The first of those that wait. */
static item *head(const residency *r)
{
    item *first = NULL;
    for (size_t i = 0; i < r->count; i++) {
        item *m = &r->all[i];
        if (m->wanted && !is_there(m) && (!first || m->turn < first->turn)) first = m;
    }
    return first;
}

static void sooner(uint64_t *at_us, uint64_t than_us)
{
    if (!*at_us || than_us < *at_us) *at_us = than_us;
}

/* Used longest ago.  NULL = nobody may leave now, maybe at *again_us. */
static item *victim(const residency *r, uint64_t now_us, bool forced, uint64_t *again_us)
{
    item *oldest = NULL;
    for (size_t i = 0; i < r->count; i++) {
        item *m = &r->all[i];
        if (m->state != RESIDENCY_IN || m->pinned || m->needed || (m->marked && !forced)) continue;
        if (m->busy) {
            sooner(again_us, now_us + RESIDENCY_RETRY_US);
        } else if (!forced && now_us < m->since_us + r->opts.stay_us) {
            sooner(again_us, m->since_us + r->opts.stay_us);
        } else if (!oldest || m->used_us < oldest->used_us) {
            oldest = m;
        }
    }
    return oldest;
}

/* Room for `bytes` more: who leaves for it, if leaving has not made it already. */
static bool room_make(residency *r, uint64_t bytes, uint64_t now_us, residency_step *ret)
{
    if (r->used - r->leaving_bytes + bytes <= r->opts.bytes_max) return false;   /* it is on its way */
    item *m = victim(r, now_us, bytes == 0, &ret->again_us);
    if (!m) return false;
    bool sized = m->sized;
    (void)residency_drop(r, (size_t)(m - r->all));
    m->sized = sized;   /* its files are the same */
    r->evictions++;
    *ret = (residency_step){.what = RESIDENCY_EVICT, .model = (size_t)(m - r->all), .bytes = m->bytes};
    return true;
}

/* Has room, what was there before has left, and what it needs is there, or is known not to come: its load says so
 * better. */
static bool load_find(residency *r, residency_step *ret)
{
    for (size_t i = 0; i < r->count && r->loading < r->opts.loads_max; i++) {
        item *m = &r->all[i];
        bool ready = m->state == RESIDENCY_LOADING && !m->started && !m->leaving;
        for (size_t k = 0; ready && k < m->need_count; k++) ready = at(r, m->needs[k])->state != RESIDENCY_LOADING;
        if (!ready) continue;
        m->started = true;
        r->loading++;
        *ret = (residency_step){.what = RESIDENCY_LOAD, .model = i, .bytes = m->bytes};
        return true;
    }
    return false;
}

/* All of the group that is OUT has room from now on. */
static void group_enter(residency *r, bool beyond)
{
    for (size_t k = 0; k < r->group_count; k++) {
        item *m = at(r, r->group[k]);
        if (is_there(m)) continue;
        if (!m->wanted) m->turn = ++r->turn;
        m->wanted = true;
        m->bytes = beyond ? size_expected(r, m) : size_of(m);
        state_set(r, m, RESIDENCY_LOADING);
    }
}

bool residency_tight(residency *r)
{
    const item *first = head(r);
    uint64_t more = 0;
    if (first) group_make(r, (size_t)(first - r->all));
    for (size_t k = 0; first && k < r->group_count; k++) {
        const item *m = at(r, r->group[k]);
        if (!is_there(m)) more += size_expected(r, m);
    }
    return r->used - r->leaving_bytes + more > r->opts.bytes_max;
}

/* The first that waits: it gets room, or somebody leaves for it, or it is refused.  false = it has to wait. */
static bool head_step(residency *r, item *first, uint64_t now_us, residency_step *ret)
{
    uint64_t more = 0, beyond = 0;
    size_t i = (size_t)(first - r->all);
    group_make(r, i);
    for (size_t k = 0; k < r->group_count; k++) {
        const item *m = at(r, r->group[k]);
        if (is_there(m)) continue;
        more += size_of(m);
        beyond += size_expected(r, m) - size_of(m);
    }
    uint64_t least = group_bytes(r);
    if (least > r->opts.bytes_max) {
        first->wanted = false;
        r->refused++;
        *ret = (residency_step){.what = RESIDENCY_REFUSE, .model = i, .bytes = least};
        return true;
    }
    bool expects = least + beyond <= r->opts.bytes_max;   /* else it is known when it is there */
    if (expects) more += beyond;
    if (r->used + more > r->opts.bytes_max) return room_make(r, more, now_us, ret);
    group_enter(r, expects);
    return load_find(r, ret);
}

residency_step residency_next(residency *r, uint64_t now_us)
{
    residency_step s = {.what = RESIDENCY_NOTHING};
    item *first;
    for (size_t i = 0; i < r->count; i++) r->all[i].marked = false;
    if (r->used > r->opts.bytes_max && room_make(r, 0, now_us, &s)) return s;
    if (load_find(r, &s)) return s;
    while (r->loading < r->opts.loads_max && (first = head(r)) != NULL) {
        if (head_step(r, first, now_us, &s)) return s;
        if (!is_there(first)) return s;   /* who is behind it waits, too */
    }
    return s;
}

residency_state residency_of(const residency *r, size_t i)
{
    const item *m = at(r, i);
    if (is_there(m)) return m->state;
    return m->wanted ? RESIDENCY_WAITING : m->leaving ? RESIDENCY_LEAVING : RESIDENCY_OUT;
}

uint64_t residency_bytes(const residency *r, size_t i) { return size_of(at(r, i)); }

void residency_read(const residency *r, residency_counts *ret)
{
    *ret = (residency_counts){.used = r->used,
                              .loads = r->loads,
                              .evictions = r->evictions,
                              .refused = r->refused};
    for (size_t i = 0; i < r->count; i++) {
        residency_state s = residency_of(r, i);
        ret->in += s == RESIDENCY_IN;
        ret->waiting += s == RESIDENCY_WAITING;
    }
}
