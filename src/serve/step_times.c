#include "serve/step_times.h"

#include "base/mem.h"

#include <string.h>

/* The first so many, and the bytes of their names. */
static uint32_t gather(const queue_item *item, served_asked all[STEP_TIMES_MAX], size_t *ret_bytes, bool *ret_more)
{
    uint32_t at = 0, count = 0;
    served_asked asked;
    *ret_bytes = 0;
    *ret_more = false;
    while (served_next_step(item, &at, &asked)) {
        *ret_more = count == STEP_TIMES_MAX;
        if (*ret_more) break;
        *ret_bytes += asked.member->name.len + asked.member->version.len;
        all[count++] = asked;
    }
    return count;
}

static str put(char **to, str s)
{
    str copy = {*to, s.len};
    if (s.len) memcpy(*to, s.p, s.len);
    *to += s.len;
    return copy;
}

step_times *step_times_new(const queue_item *item)
{
    served_asked all[STEP_TIMES_MAX];
    size_t bytes;
    bool more;
    uint32_t count = gather(item, all, &bytes, &more);
    if (!count) return NULL;
    step_times *t = mem_alloc0(1, sizeof *t + count * sizeof(step_time) + bytes);
    if (!t) return NULL;
    char *text = (char *)(t->all + count);
    t->count = count;
    t->more = more;
    for (uint32_t i = 0; i < count; i++) {
        const queue_item *of = all[i].item;
        INVARIANT(all[i].depth < STEP_TIMES_DEPTH_MAX);
        t->all[i] = (step_time){.model = put(&text, all[i].member->name),
                                .version = put(&text, all[i].member->version),
                                .since_ns = of->since_ns,
                                .start_ns = of->end_ns ? of->start_ns : 0,
                                .end_ns = of->end_ns,
                                .found_ns = all[i].cached->found_ns,
                                .depth = all[i].depth,
                                .failed = all[i].code != ERR_OK};
    }
    return t;
}

size_t step_times_bytes(const step_times *t)
{
    size_t bytes = t ? sizeof *t + t->count * sizeof(step_time) : 0;
    for (uint32_t i = 0; t && i < t->count; i++) bytes += t->all[i].model.len + t->all[i].version.len;
    return bytes;
}

void step_times_free(step_times *t) { mem_free(t); }

uint64_t step_time_end(const step_time *s)
{
    uint64_t end_ns = s->end_ns > s->start_ns ? s->end_ns : s->start_ns;
    if (s->found_ns > end_ns) end_ns = s->found_ns;
    return end_ns > s->since_ns ? end_ns : s->since_ns;
}
