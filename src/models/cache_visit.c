#include "models/cache_visit.h"

#include "models/ensemble_run.h"
#include "os/clock.h"

bool cache_visit_find(cache_visit *v, const served *s, queue_item *item)
{
    v->ns = v->found_ns = 0;
    if (!s->cache) return false;
    uint64_t since_ns = clock_now_ns();
    siphash h = response_cache_ask(s->cache, s->cache_owner);
    if (s->ensemble && (!item->run || !ensemble_run_identify(item->run, &h))) return false;
    v->key = response_cache_key(&h, item->inputs, served_input_count(s));
    bool hit = response_cache_find(s->cache, &v->key, item);
    uint64_t now_ns = clock_now_ns();
    v->ns = now_ns - since_ns + 1;
    if (hit) v->found_ns = now_ns;
    return hit;
}

void cache_visit_keep(cache_visit *v, const served *s, const queue_item *item)
{
    INVARIANT(cache_visit_missed(v) && !item->wanted);
    uint64_t since_ns = clock_now_ns();
    response_cache_put(s->cache, s->cache_owner, &v->key, item, served_output_count(s));
    v->ns += clock_now_ns() - since_ns;
}
