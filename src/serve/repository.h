/* repository.h - the models that this server knows, each with its queue and its counters.
 *
 * Built once from the configuration and then only read, so any loop may look up without a lock; a `served` lives
 * as long as the repository.  Sources: NAME=PATH, --model-dir (KServe), --model-repository
 * (NAME/VERSION/model.onnx, the newest version of each).  One model that does not load fails the whole opening:
 * its error names the file. */
#ifndef SERVE_REPOSITORY_H
#define SERVE_REPOSITORY_H
#include "engine/model.h"
#include "serve/conf.h"
#include "serve/metrics.h"
#include "serve/queue.h"
#include "serve/trace_setting.h"

typedef struct repository repository;

typedef struct {
    str name, version, path;
    model *model;
    queue *queue;
    metrics_model metrics;
    trace_setting *trace; /* of its name: stays when the model is loaded again */
    uint64_t load_us; /* from its first byte to ready */
} served;

/* `lanes`: event loops that count, each in a lane of its own; see metrics.h. */
err_code repository_open(repository **ret, const conf *c, compute *pool, uint32_t lanes, err *e) MUST_USE;
void repository_free(repository *r);
DEFINE_CLEANUP(repository)

/* version "" = the newest.  ERR_NOT_FOUND in KServe's words. */
err_code repository_find(const repository *r, str name, str version, served **ret, err *e) MUST_USE;
size_t repository_count(const repository *r);
served *repository_at(const repository *r, size_t i); /* in the order of the configuration */

#endif
