#include "serve/conf_models.h"

#include "serve/conf_cache.h"

repository_opts conf_models(const conf *c, compute *pool, uint32_t lanes)
{
    uint64_t cache_bytes = 0;
    err e;
    bool checked = conf_cache(c, &cache_bytes, &e) == ERR_OK;
    INVARIANT(checked);   /* by conf_check() */
    return (repository_opts){
        .models = c->models,
        .model_count = c->model_count,
        .model_dir = c->model_dir,
        .model_name = c->model_name,
        .folder = c->model_repository,
        .pool = pool,
        .memory_bytes_max = c->memory_bytes_max,
        .image_pixels_max = c->image_pixels_max,
        .queueing = {.mode = (batch_mode)c->batch_mode,
                     .max_batch = (uint32_t)c->max_batch,
                     .max_delay_us = c->max_delay_us,
                     .objective_us = c->latency_objective_ms * 1000,
                     .requests_max = (uint32_t)c->queue_max,
                     .bytes_max = c->queue_bytes_max,
                     .inline_us = (uint32_t)c->inline_us,
                     .limits = c->limits,
                     .limit_count = c->limit_count},
        .by_runs = c->rate_limit,
        .resources = c->resources,
        .resource_count = c->resource_count,
        .run_us_max = c->compute_wait_ms * 1000,
        .lanes = lanes,
        .model_bytes_max = c->model_memory_max,
        .cache_bytes_max = cache_bytes,
        .polls = c->model_control == CONF_CONTROL_POLL,
        .warm_up = (uint32_t)c->warm_up,
        .bare = c->slot,
        .chosen = c->load_model,
        .on_demand = c->models_memory_max != 0,
        .lenient = !c->exit_on_error,
        .pinned = c->pin_models,
        .aliases = c->alias,
    };
}

model_budget conf_budget(const conf *c)
{
    return (model_budget){.bytes_max = c->models_memory_max,
                          .stay_us = c->models_stay_ms * 1000,
                          .wait_us = c->models_wait_ms * 1000,
                          .waiting_max = (uint32_t)c->queue_max};
}
