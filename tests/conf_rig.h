/* conf_rig.h - the configuration of a test, and words as a shell would split them.  Included once by a test. */
#ifndef TESTS_CONF_RIG_H
#define TESTS_CONF_RIG_H
#include "serve/conf_models.h"
#include "test.h"

static arena conf_rig_memory;

/* The defaults, in memory of their own: those of the call before are gone. */
static inline void conf_rig_fresh(conf *c)
{
    err e;
    arena_fini(&conf_rig_memory);
    arena_init(&conf_rig_memory, NULL, 0, 1 << 20);
    CHECK(conf_init(c, &conf_rig_memory, &e) == ERR_OK);
}

static inline void conf_rig_end(void) { arena_fini(&conf_rig_memory); }

static inline void conf_rig_model(conf *c, const char *name, const char *path)
{
    err e;
    CHECK(conf_model_add(c, "t", str_of(name), str_of(path), &e) == ERR_OK);
}

static inline err_code conf_rig_flags(conf *c, const char *line, err *e)
{
    static char words[8192];
    char *argv[160];
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = words, *end; w && *w && argc < 160; w = end) {
        end = strchr(w, ' ');
        if (end) *end++ = 0;
        argv[argc++] = w;
    }
    return conf_flags(c, argc, argv, e);
}

static inline err_code conf_rig_open(repository **ret, const conf *c, compute *pool, uint32_t lanes, err *e)
{
    const repository_opts opts = conf_models(c, pool, lanes);
    return repository_open(ret, &opts, e);
}

#endif
