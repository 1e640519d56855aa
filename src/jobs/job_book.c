#include "jobs/job_book.h"

#include "base/mem.h"

enum { IN_NONE, IN_QUEUED, IN_RESTING, IN_TELLING, IN_OVER };   /* telling ones are over, and kept in another list */

/* ---- lists ---- */

static job_row *list_of(job_book *b, uint8_t which)
{
    switch (which) {
    case IN_QUEUED: return &b->queued;
    case IN_RESTING: return &b->resting;
    case IN_TELLING: return &b->telling;
    default: return &b->over;
    }
}

static void leave(job_book *b, job *j)
{
    if (j->list == IN_NONE) return;
    job_row *l = list_of(b, j->list);
    *(j->prev ? &j->prev->next : &l->first) = j->next;
    *(j->next ? &j->next->prev : &l->last) = j->prev;
    j->prev = j->next = NULL;
    j->list = IN_NONE;
}

/* Behind all that are due no later: those that come are mostly the last, but for records of a start. */
static void enter(job_book *b, job *j, uint8_t which)
{
    job_row *l = list_of(b, which);
    job *behind = l->last;
    while (behind && behind->due_us > j->due_us && !b->starting) behind = behind->prev;
    j->list = which;
    j->prev = behind;
    j->next = behind ? behind->next : l->first;
    *(j->next ? &j->next->prev : &l->last) = j;
    *(behind ? &behind->next : &l->first) = j;
}

static void all_enter(job_book *b, job *j)
{
    j->all_prev = b->all.last;
    *(b->all.last ? &b->all.last->all_next : &b->all.first) = j;
    b->all.last = j;
}

/* Who is over stays so: each job is passed once. */
static void oldest_pass(job_book *b)
{
    while (b->oldest && b->oldest->state >= JOB_DONE) b->oldest = b->oldest->all_next;
}

static void state_set(job_book *b, job *j, job_state to)
{
    b->of[j->state]--;
    b->of[to]++;
    j->state = to;
    oldest_pass(b);
}

/* ---- life ---- */

void job_book_init(job_book *b, const job_book_limits *limits, uint64_t seed)
{
    *b = (job_book){.limits = *limits};
    map_init(&b->by_id);
    rng_init(&b->jitter, seed);
}

void job_book_fini(job_book *b)
{
    for (job *j = b->all.first, *next; j; j = next) {
        next = j->all_next;
        mem_free(j);
    }
    map_fini(&b->by_id);
}

static str key_of(const job_id *id) { return (str){(const char *)id->bytes, JOB_ID_BYTES}; }
job *job_book_find(const job_book *b, const job_id *id) { return map_get(&b->by_id, key_of(id)); }

static job *job_new(job_book *b, const job_record *r, const job_meta *m, err *e)
{
    job *j = mem_alloc0(1, sizeof *j + m->model.len);
    if (!j) {
        err_set(e, ERR_NOMEM, "jobs: no memory");
        return NULL;
    }
    j->id = r->id;
    if (m->model.len) memcpy(j + 1, m->model.p, m->model.len);
    j->model = (str){(const char *)(j + 1), m->model.len};
    j->accepted_us = m->accepted_us;
    if (!map_put(&b->by_id, key_of(&j->id), j)) {
        mem_free(j);
        err_set(e, ERR_NOMEM, "jobs: no memory");
        return NULL;
    }
    b->count++;
    b->of[JOB_QUEUED]++;
    all_enter(b, j);
    if (!b->oldest) b->oldest = j;
    return j;
}

void job_book_forget(job_book *b, job *j)
{
    leave(b, j);
    if (b->oldest == j) b->oldest = j->all_next;
    oldest_pass(b);
    *(j->all_prev ? &j->all_prev->all_next : &b->all.first) = j->all_next;
    *(j->all_next ? &j->all_next->all_prev : &b->all.last) = j->all_prev;
    (void)map_del(&b->by_id, key_of(&j->id));
    b->bytes -= j->at.bytes;
    b->count--;
    b->of[j->state]--;
    mem_free(j);
}

/* ---- order ---- */

static bool is_later(const job *j, uint64_t accepted_us, const job_id *id)
{
    if (j->accepted_us != accepted_us) return j->accepted_us > accepted_us;
    return memcmp(&j->id, id, sizeof *id) > 0;
}

const job *job_book_later(const job_book *b, uint64_t accepted_us, const job_id *id)
{
    const job *at = b->all.first;
    while (at && !is_later(at, accepted_us, id)) at = at->all_next;
    return at;
}

/* Two chains by all_next, each in order. */
static job *merge(job *a, job *b)
{
    job *first = NULL, **end = &first;
    while (a && b) {
        job **least = is_later(a, b->accepted_us, &b->id) ? &b : &a;
        *end = *least;
        end = &(*least)->all_next;
        *least = *end;
    }
    *end = a ? a : b;
    return first;
}

void job_book_sort(job_book *b)
{
    job *chains[32] = {NULL}, *next, *sorted = NULL;   /* the i-th is of 2^i jobs, or there is none */
    size_t i;
    for (job *at = b->all.first; at; at = next) {
        next = at->all_next;
        at->all_next = NULL;
        for (i = 0; chains[i]; i++) at = merge(TAKE(chains[i]), at);
        chains[i] = at;
    }
    for (i = 0; i < COUNTOF(chains); i++) sorted = merge(chains[i], sorted);
    b->all = b->queued = b->resting = b->telling = b->over = (job_row){NULL, NULL};
    b->starting = false;
    for (job *at = sorted; at; at = next) {
        next = TAKE(at->all_next);
        all_enter(b, at);
        if (at->list != IN_NONE) enter(b, at, at->list);   /* they end nearly as they were accepted */
    }
    b->oldest = b->all.first;
    oldest_pass(b);
}

/* ---- records ---- */

static void place_set(job_book *b, job *j, const job_place *at)
{
    b->bytes += at->bytes - j->at.bytes;
    j->at = *at;
}

/* It has ended: kept from now on, less the time since, where that is known from before a start. */
static void answer(job_book *b, job *j, const job_meta *m, uint64_t wall_us, uint64_t now_us)
{
    uint64_t since = wall_us > m->ended_us ? wall_us - m->ended_us : 0;
    bool ok = m->status < 400, tell = m->hook.len > 0;
    leave(b, j);
    state_set(b, j, ok ? JOB_DONE : JOB_FAILED);
    b->ended[!ok]++;
    j->status = m->status;
    j->started_us = m->started_us;
    j->ended_us = m->ended_us;
    j->over_us = now_us > since ? now_us - since : 0;
    j->tries = 0;
    j->hook = tell ? JOB_HOOK_WAITING : JOB_HOOK_NONE;
    j->due_us = tell ? now_us : j->over_us;
    enter(b, j, tell ? IN_TELLING : IN_OVER);
}

static void told(job_book *b, job *j, job_hook as)
{
    leave(b, j);
    j->busy = false;
    j->hook = as;
    j->due_us = j->over_us;
    enter(b, j, IN_OVER);
}

err_code job_book_take(job_book *b, const job_record *r, const job_place *at, uint64_t wall_us, uint64_t now_us, err *e)
{
    job_meta m;
    job *j = job_book_find(b, &r->id);
    if (r->kind == JOB_RECORD_FORGET) {
        if (j) job_book_forget(b, j);
        return ERR_OK;
    }
    if (r->kind == JOB_RECORD_TOLD) {
        if (j && j->state >= JOB_DONE && j->hook == JOB_HOOK_WAITING)
            told(b, j, r->meta.len ? JOB_HOOK_GIVEN_UP : JOB_HOOK_TOLD);
        return ERR_OK;
    }
    if (!job_meta_read(r->meta, &m))
        return err_set(e, ERR_UNSUPPORTED, "expected a log of jobs of form %d, got a record of another form",
                       JOB_LOG_FORM);
    bool fresh = !j;
    if (fresh) j = job_new(b, r, &m, e);
    if (!j) return e->code;
    place_set(b, j, at);
    if (r->kind == JOB_RECORD_ANSWER) {
        if (j->state < JOB_DONE) answer(b, j, &m, wall_us, now_us);   /* else it was moved */
    } else if (fresh) {
        j->hook = m.hook.len ? JOB_HOOK_WAITING : JOB_HOOK_NONE;
        enter(b, j, IN_QUEUED);
    }
    return ERR_OK;
}

err_code job_book_admit(const job_book *b, const job_book_coming *coming, uint64_t bytes, int *ret_status, err *e)
{
    if (b->count >= b->limits.count_max || coming->count >= b->limits.count_max - b->count) {
        *ret_status = 429;
        return err_set(e, ERR_LIMIT, "jobs: expected fewer than %u (jobs-max), got one more", b->limits.count_max);
    }
    uint64_t taken = b->bytes + coming->bytes;
    if (bytes > b->limits.bytes_max || taken > b->limits.bytes_max - bytes) {
        *ret_status = 507;
        return err_set(e, ERR_LIMIT, "jobs: expected room for %llu bytes (jobs-bytes-max), got %llu of %llu taken",
                       (unsigned long long)bytes, (unsigned long long)taken,
                       (unsigned long long)b->limits.bytes_max);
    }
    return ERR_OK;
}

/* ---- what is next ---- */

job *job_book_next(job_book *b, uint64_t wall_us, uint64_t now_us)
{
    if (b->of[JOB_RUNNING] >= b->limits.running_max) return NULL;
    job *j = b->resting.first && b->resting.first->due_us <= now_us ? b->resting.first : b->queued.first;
    if (!j) return NULL;
    leave(b, j);
    state_set(b, j, JOB_RUNNING);
    j->tries++;
    j->due_us = 0;
    j->started_us = wall_us;
    return j;
}

/* Twice as long each time, and half of it by chance, so that many do not come at once. */
static uint64_t rest_us(job_book *b, uint32_t tries)
{
    uint64_t us = JOB_REST_MIN_US;
    for (uint32_t i = 1; i < tries && us < JOB_REST_MAX_US; i++) us *= 2;
    if (us > JOB_REST_MAX_US) us = JOB_REST_MAX_US;
    return us / 2 + rng_below(&b->jitter, us / 2 + 1);
}

static void rest(job_book *b, job *j, uint32_t times, uint64_t now_us)
{
    INVARIANT(j->state == JOB_RUNNING && times);
    state_set(b, j, JOB_QUEUED);
    j->started_us = 0;
    j->due_us = now_us + rest_us(b, times);
    enter(b, j, IN_RESTING);
}

void job_book_again(job_book *b, job *j, uint64_t now_us) { rest(b, j, j->tries, now_us); }

void job_book_lost(job_book *b, job *j, uint64_t now_us)
{
    j->tries--;
    rest(b, j, ++j->losses, now_us);
}

job *job_book_tell(job_book *b, uint64_t now_us)
{
    job *j = b->telling.first;
    if (!j || j->due_us > now_us) return NULL;
    leave(b, j);
    j->busy = true;
    j->tries++;
    return j;
}

bool job_book_untold(job_book *b, job *j, uint64_t now_us)
{
    INVARIANT(j->busy);
    if (j->tries >= JOB_TELLS_MAX) return false;
    j->busy = false;
    j->due_us = now_us + rest_us(b, j->tries + 2);
    enter(b, j, IN_TELLING);
    return true;
}

/* One that waits for its hook is kept until that is told or given up, which is bounded. */
job *job_book_expired(const job_book *b, uint64_t now_us)
{
    job *j = b->over.first;
    return j && now_us - j->due_us >= b->limits.keep_us ? j : NULL;
}

uint64_t job_book_due_us(const job_book *b, uint64_t run_us)
{
    uint64_t due = UINT64_MAX;
    bool room = b->of[JOB_RUNNING] < b->limits.running_max;
    if (room && b->resting.first) due = b->resting.first->due_us;
    if (room && b->queued.first) due = 0;
    if (due < run_us) due = run_us;
    if (b->telling.first && b->telling.first->due_us < due) due = b->telling.first->due_us;
    uint64_t ended = b->over.first ? b->over.first->due_us : due;
    if (ended < due && b->limits.keep_us < due - ended) due = ended + b->limits.keep_us;
    return due;
}

const job *job_book_behind(const job_book *b, const job *after) { return after ? after->all_next : b->all.first; }

uint64_t job_book_oldest_us(const job_book *b) { return b->oldest ? b->oldest->accepted_us : 0; }
