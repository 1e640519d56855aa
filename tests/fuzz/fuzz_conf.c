/* Any bytes as a configuration file: every value that is accepted is in its range, every refusal begins with the
 * file. */
#include "serve/conf.h"

#include <string.h>

static void check(const conf *c)
{
    INVARIANT(c->port <= 65535 && c->loops <= 256 && c->threads <= 256);
    INVARIANT(c->queue_max >= 1 && c->queue_max <= 65536 && c->inline_us <= 500);
    INVARIANT(c->body_bytes_max >= 1024 && c->header_bytes_max >= 256 && c->memory_bytes_max >= 1 << 20);
    INVARIANT(c->log_level <= 3 && c->log_format <= 1 && c->log_requests <= 1);
    INVARIANT(c->address.p && c->address.p[c->address.len] == 0);
    INVARIANT(c->model_count <= CONF_MODELS_MAX);
    for (size_t i = 0; i < c->model_count; i++) {
        INVARIANT(c->models[i].name.len > 0 && c->models[i].path.len > 0);
        INVARIANT(c->models[i].path.p[c->models[i].path.len] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena memory;
    conf c;
    err e = {0};
    arena_init(&memory, NULL, 0, 16 << 20);
    INVARIANT(conf_init(&c, &memory, &e) == ERR_OK);
    if (conf_yaml(&c, "f.yaml", (str){(const char *)data, size}, &e)) {
        INVARIANT(strncmp(e.text, "f.yaml", 6) == 0);
    } else {
        check(&c);
        if (conf_check(&c, &e)) INVARIANT(e.text[0]);
    }
    arena_fini(&memory);
    return 0;
}
