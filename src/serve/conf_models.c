#include "serve/conf_models.h"

repository_opts conf_models(const conf *c, compute *pool, uint32_t lanes)
{
    return (repository_opts){
        .models = c->models,
        .model_count = c->model_count,
        .model_dir = c->model_dir,
        .model_name = c->model_name,
        .folder = c->model_repository,
        .pool = pool,
        .memory_bytes_max = c->memory_bytes_max,
        .image_pixels_max = c->image_pixels_max,
        .queue_max = (uint32_t)c->queue_max,
        .inline_us = (uint32_t)c->inline_us,
        .run_us_max = c->compute_wait_ms * 1000,
        .lanes = lanes,
        .warm_up = (uint32_t)c->warm_up,
        .bare = c->slot,
    };
}
