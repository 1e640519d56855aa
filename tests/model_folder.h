/* model_folder.h - a model repository of a test's own under /tmp, removed at its end with all that is in it.
 *
 * Included once by each test that wants one. */
#ifndef TESTS_MODEL_FOLDER_H
#define TESTS_MODEL_FOLDER_H
#include "onnx_build.h"
#include "test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char model_folder[] = "/tmp/proa_test_XXXXXX";

static inline bool model_folder_open(void) { return mkdtemp(model_folder) != NULL; }

static inline void model_folder_write(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    INVARIANT(f && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

/* NAME/1/model.onnx and NAME/config.pbtxt; NULL = none.  Ends the model that is given. */
static inline void model_folder_put(const char *name, onnx_build *net, const char *config)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", model_folder, name);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/1", model_folder, name);
    mkdir(path, 0777);
    str bytes = net ? onnx_build_bytes(net) : (str){0};
    snprintf(path, sizeof path, "%s/%s/1/model.onnx", model_folder, name);
    if (net) model_folder_write(path, bytes.p, bytes.len);
    if (net) onnx_build_end(net);
    snprintf(path, sizeof path, "%s/%s/config.pbtxt", model_folder, name);
    if (config) model_folder_write(path, config, strlen(config));
}

static inline int model_folder_gone(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void model_folder_remove(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", model_folder, name);
    nftw(path, model_folder_gone, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void model_folder_close(void) { nftw(model_folder, model_folder_gone, 8, FTW_DEPTH | FTW_PHYS); }

#endif
