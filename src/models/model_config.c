#include "models/model_config.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/config_check.h"
#include "models/config_def.h"
#include "models/config_fit.h"
#include "models/config_type.h"
#include "models/label_file.h"
#include "os/file.h"
#include "wire/pbjson.h"
#include "wire/pbtxt.h"

#include <stdio.h>
#include <string.h>

enum {
    CONFIG_MEMORY_MAX = 256 << 20,   /* of a tree; a file of PBTXT_BYTES_MAX that says something needs less */
    SEQUENCE_IDLE_US = 1000000,      /* Triton's default */
    IGNORED_TEXT_MAX = 400
};

#define PLATFORM "onnxruntime_onnx"
#define BACKEND "onnxruntime"
#define FILE_NAME "model.onnx"

/* What a client and the model call the shape of one tensor, with -1 where any size goes. */
struct config_io {
    bool said;                    /* by the configuration; else the model alone decides */
    bool reshaped;
    shape client, model;
    str name;
    const attr *labels;           /* NULL = none */
};

void model_config_free(model_config *c)
{
    if (!c) return;
    arena_fini(&c->memory);
    mem_free(c);
}

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for a model's configuration"); }

/* ---- what is not obeyed ---- */

/* Whether anything stands under a dotted name. */
static bool has_path(const pbtree *m, const char *path)
{
    char name[64];
    size_t n = strcspn(path, ".");
    snprintf(name, sizeof name, "%.*s", (int)n, path);
    if (!path[n]) return pbtree_has(m, name);
    for (const pbtree *v = pbtree_get(m, name); v; v = v->next)
        if (has_path(v, path + n + 1)) return true;
    return false;
}

/* Answers are the same without these.  Pinned memory is a GPU's. */
static const char *const ignored[] = {
    "runtime", "optimization.graph",
    "optimization.priority", "optimization.cuda", "optimization.execution_accelerators.gpu_execution_accelerator",
    "optimization.gather_kernel_buffer_threshold", "optimization.eager_batching",
    "instance_group.secondary_devices", "instance_group.host_policy",
    "cc_model_filenames", "metric_tags", "model_metrics",
};

static void ignored_log(const model_config *c)
{
    char text[IGNORED_TEXT_MAX];
    size_t n = 0;
    for (size_t i = 0; i < COUNTOF(ignored) && n < sizeof text; i++)
        if (has_path(c->tree, ignored[i]))
            n += (size_t)snprintf(text + n, sizeof text - n, n ? ", %s" : "%s", ignored[i]);
    if (n) log_write(LOG_INFO, NULL, "model '" STR_FMT "': not in effect here: %s", STR_ARG(c->name), text);
}

/* Answers would be others without these. */
static err_code unmet_check(const model_config *c, err *e)
{
    static const char *const refused[] = {"batch_input", "batch_output",
                                          "model_operations.op_library_filename", "model_repository_agents.agents"};
    static const char *const flags[] = {"allow_ragged_batch", "optional"};
    for (size_t i = 0; i < COUNTOF(refused); i++)
        if (has_path(c->tree, refused[i]))
            return err_set(e, ERR_UNSUPPORTED, "%s of model " STR_FMT " is not supported", refused[i],
                           STR_ARG(c->name));
    for (const pbtree *in = pbtree_get(c->tree, "input"); in; in = in->next)
        for (size_t i = 0; i < COUNTOF(flags); i++)
            if (pbtree_bool(in, flags[i]))
                return err_set(e, ERR_UNSUPPORTED, "%s of input '" STR_FMT "' of model " STR_FMT " is not supported",
                               flags[i], STR_ARG(pbtree_text(in, "name")), STR_ARG(c->name));
    for (const pbtree *g = pbtree_get(c->tree, "instance_group"); g; g = g->next)
        if (pbtree_bool(g, "passive"))
            return err_set(e, ERR_UNSUPPORTED, "instance_group.passive of model " STR_FMT " is not supported",
                           STR_ARG(c->name));
    const pbtree *faster = pbtree_get(pbtree_get(c->tree, "optimization"), "execution_accelerators");
    const pbtree *cpu = pbtree_get(faster, "cpu_execution_accelerator");
    if (cpu)
        return err_set(e, ERR_UNSUPPORTED, "unknown Execution Accelerator '" STR_FMT "' is requested",
                       STR_ARG(pbtree_text(cpu, "name")));
    if (pbtree_bool(pbtree_get(c->tree, "sequence_batching"), "iterative_sequence"))
        return err_set(e, ERR_UNSUPPORTED, "sequence_batching.iterative_sequence of model " STR_FMT " is not supported",
                       STR_ARG(c->name));
    if (pbtree_bool(pbtree_get(c->tree, "model_transaction_policy"), "decoupled"))
        return err_set(e, ERR_UNSUPPORTED, "model_transaction_policy.decoupled of model " STR_FMT " is not supported",
                       STR_ARG(c->name));
    return ERR_OK;
}

/* ---- defaults ---- */

static bool text_default(model_config *c, const char *field, str text)
{
    return pbtree_text(c->tree, field).len > 0 || pbtree_set_text(&c->memory, c->tree, field, text);
}

/* An ensemble has neither backend nor file. */
static err_code platform_default(model_config *c, err *e)
{
    str platform = pbtree_text(c->tree, "platform"), backend = pbtree_text(c->tree, "backend"), file = c->file;
    bool ours = str_is(platform, PLATFORM) || (platform.len == 0 && (file.len == 0 || str_ends(file, STR(".onnx"))));
    bool ok = backend.len || !ours || pbtree_set_text(&c->memory, c->tree, "backend", STR(BACKEND));
    if (ok && str_is(pbtree_text(c->tree, "backend"), BACKEND))
        ok = text_default(c, "platform", STR(PLATFORM)) && text_default(c, "default_model_filename", STR(FILE_NAME));
    return ok ? ERR_OK : no_memory(e);
}

/* An empty list of preferred sizes is max_batch_size alone. */
static bool preferred_default(model_config *c, pbtree *batching)
{
    int64_t size = pbtree_i64(c->tree, "max_batch_size");
    if (!batching || size <= 0 || pbtree_has(batching, "preferred_batch_size")) return true;
    pbtree *v = pbtree_append(&c->memory, batching, "preferred_batch_size");
    if (v) v->i64 = size;
    return v != NULL;
}

static pbtree *inside(pbtree *m, const char *field) { return m ? pbtree_values(m, field)->first : NULL; }

static bool pinned_default(model_config *c)
{
    static const char *const buffers[] = {"input_pinned_memory", "output_pinned_memory"};
    pbtree *o = pbtree_open(&c->memory, c->tree, "optimization");
    for (size_t i = 0; o && i < COUNTOF(buffers); i++) {
        if (pbtree_has(o, buffers[i])) continue;
        pbtree *b = pbtree_open(&c->memory, o, buffers[i]);
        if (!b || !pbtree_set_i64(&c->memory, b, "enable", 1)) return false;
    }
    return o != NULL;
}

static err_code defaults(model_config *c, err *e)
{
    pbtree *t = c->tree, *sequence = inside(t, "sequence_batching"), *latest = NULL;
    bool ok = true;
    if (!pbtree_has(t, "version_policy")) {
        pbtree *policy = pbtree_open(&c->memory, t, "version_policy");
        latest = policy ? pbtree_open(&c->memory, policy, "latest") : NULL;
        ok = latest && pbtree_set_i64(&c->memory, latest, "num_versions", 1);
    }
    ok = ok && preferred_default(c, inside(t, "dynamic_batching")) && preferred_default(c, inside(sequence, "oldest"));
    if (ok && sequence && pbtree_u64(sequence, "max_sequence_idle_microseconds") == 0)
        ok = pbtree_set_i64(&c->memory, sequence, "max_sequence_idle_microseconds", SEQUENCE_IDLE_US);
    if (ok && !pbtree_has(t, "ensemble_scheduling")) ok = pinned_default(c);
    return ok ? ERR_OK : no_memory(e);
}

/* Without a GPU, KIND_AUTO is the CPU; one instance, where nothing else is said. */
static err_code instances_default(model_config *c, err *e)
{
    pbtree *t = c->tree;
    size_t i = 0;
    int64_t cpu = 2;
    if (pbtree_has(t, "ensemble_scheduling")) return ERR_OK;
    for (pbtree *g = inside(t, "instance_group"); g; g = g->next)
        c->instances_said = c->instances_said || pbtree_i64(g, "count") >= 1;
    if (!pbtree_has(t, "instance_group")) {
        pbtree *g = pbtree_open(&c->memory, t, "instance_group");
        if (!g || !pbtree_set_text(&c->memory, g, "name", c->name)) return no_memory(e);
    }
    for (pbtree *g = inside(t, "instance_group"); g; g = g->next, i++) {
        bool ok = true;
        if (pbtree_text(g, "name").len == 0) {
            char *name = arena_printf(&c->memory, "%.*s_%zu", (int)c->name.len, c->name.p, i);
            ok = name && pbtree_set_text(&c->memory, g, "name", str_of(name));
        }
        if (ok && pbtree_i64(g, "kind") == 0) ok = pbtree_set_i64(&c->memory, g, "kind", cpu);
        if (ok && pbtree_i64(g, "count") < 1) ok = pbtree_set_i64(&c->memory, g, "count", 1);
        if (!ok) return no_memory(e);
        c->instance_count += (uint64_t)pbtree_i64(g, "count");
    }
    return config_check_instances(t, e);
}

/* ---- reading ---- */

static err_code override_read(model_config *c, str json, err *e)
{
    arena a;
    yyjson_val *v;
    arena_init(&a, NULL, 0, CONFIG_MEMORY_MAX);
    err_code rc = json_parse(json, &(json_opts){.memory = &a}, &v, e);
    if (rc) rc = err_wrap(e, "config");
    if (rc == ERR_OK) rc = pbjson_read(v, "config", &config_def, &c->memory, &c->tree, e);
    arena_fini(&a);
    return rc;
}

/* Nothing to read leaves an empty tree. */
static err_code file_parse(model_config *c, const char *path, err *e)
{
    char *text;
    size_t len;
    err_code rc = file_read_regular(path, PBTXT_BYTES_MAX, &text, &len, e);
    if (rc == ERR_NOT_FOUND) return ERR_OK;
    if (rc) return rc;
    rc = pbtxt_parse((str){text, len}, path, &config_def, &c->memory, &c->tree, e);
    c->given = true;
    mem_free(text);
    return rc;
}

static err_code versions_read(model_config *c, err *e)
{
    const pbtree *policy = pbtree_get(c->tree, "version_policy"), *latest = pbtree_get(policy, "latest");
    const pbtree *specific = pbtree_get(policy, "specific");
    size_t n = pbtree_count(specific, "versions");
    c->versions = specific ? VERSIONS_SPECIFIC : latest ? VERSIONS_LATEST : VERSIONS_ALL;
    c->latest = (uint32_t)pbtree_i64(latest, "num_versions");
    c->specific = (i64_list){arena_new(&c->memory, int64_t, n + 1), n};
    if (!c->specific.at) return no_memory(e);
    n = 0;
    for (const pbtree *v = pbtree_get(specific, "versions"); v; v = v->next) c->specific.at[n++] = v->i64;
    return ERR_OK;
}

/* Clients get what is listed and nothing else, as of Triton; a state's output is the server's own. */
static err_code outputs_read(model_config *c, err *e)
{
    const pbtree *state = pbtree_get(pbtree_get(c->tree, "sequence_batching"), "state");
    size_t most = pbtree_count(c->tree, "output") + pbtree_count(pbtree_get(c->tree, "sequence_batching"), "state");
    if (!pbtree_has(c->tree, "output")) return ERR_OK;
    c->outputs_wanted = arena_new(&c->memory, str, most);
    if (!c->outputs_wanted) return no_memory(e);
    for (const pbtree *o = pbtree_get(c->tree, "output"); o; o = o->next)
        c->outputs_wanted[c->outputs_wanted_count++] = pbtree_text(o, "name");
    for (; state; state = state->next)
        c->outputs_wanted[c->outputs_wanted_count++] = pbtree_text(state, "output_name");
    return ERR_OK;
}

/* The file lies in the folder of a version, and nowhere else. */
static err_code file_check(const model_config *c, err *e)
{
    bool plain = !memchr(c->file.p, '/', c->file.len) && c->file.p[0] != '.';
    if (c->file.len == 0 || plain) return ERR_OK;
    return err_set(e, ERR_INVALID, "default_model_filename: expected the name of a file, got '" STR_FMT "'",
                   STR_ARG(c->file));
}

static err_code checked(model_config *c, err *e)
{
    str said = pbtree_text(c->tree, "name");
    if (said.len && !str_eq(said, c->name))
        return err_set(e, ERR_INVALID, "unexpected directory name '" STR_FMT "' for model '" STR_FMT
                       "', directory name must equal model name", STR_ARG(c->name), STR_ARG(said));
    if (!said.len && !pbtree_set_text(&c->memory, c->tree, "name", c->name)) return no_memory(e);
    c->file = pbtree_text(c->tree, "default_model_filename");
    err_code rc = file_check(c, e);
    if (rc == ERR_OK) rc = platform_default(c, e);
    if (rc == ERR_OK) rc = defaults(c, e);
    if (rc == ERR_OK) rc = config_check(c->tree, e);
    if (rc == ERR_OK) rc = unmet_check(c, e);
    if (rc == ERR_OK) rc = outputs_read(c, e);
    c->ensemble = pbtree_has(c->tree, "ensemble_scheduling");
    return rc ? rc : versions_read(c, e);
}

err_code model_config_read(model_config **ret, const model_config_from *from, err *e)
{
    char path[FILE_PATH_MAX];
    file_id id = {0};
    err_code rc = ERR_OK;
    int n = snprintf(path, sizeof path, "%s/config.pbtxt", from->path);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_INVALID, "%.200s...: the path is too long", from->path);
    CLEANUP(model_config) model_config *c = mem_new0(model_config, 1);
    if (!c) return no_memory(e);
    arena_init(&c->memory, NULL, 0, CONFIG_MEMORY_MAX);
    c->memory.snug = true;
    c->name = str_copy(&c->memory, from->name);
    c->folder = str_copy(&c->memory, str_of(from->path));
    c->tree = pbtree_new(&c->memory, &config_def);
    if (!c->name.p || !c->folder.p || !c->tree) return no_memory(e);
    if (from->override.p) {
        rc = override_read(c, from->override, e);
        c->given = true;
    } else if (file_identify(from->path, &id, e) == ERR_OK && id.kind == FILE_FOLDER) {
        rc = file_parse(c, path, e);
    }
    if (rc) return rc;
    if (checked(c, e)) return from->override.p ? err_wrap(e, "config") : err_wrap(e, "%s", path);
    *ret = TAKE(c);
    return ERR_OK;
}

/* ---- fitting ---- */

static void pattern(shape *to, bool batched, const pbtree *dims)
{
    *to = (shape){.rank = batched};
    to->dim[0] = -1;
    for (; dims && to->rank < TENSOR_RANK_MAX; dims = dims->next) to->dim[to->rank++] = dims->i64;
}

static struct config_io io_of(const model_config *c, const model_io *have, const char *field)
{
    bool batched = c->max_batch_size > 0;
    struct config_io io = {.name = have->name};
    for (const pbtree *p = pbtree_get(c->tree, field); p; p = p->next) {
        if (!str_eq(pbtree_text(p, "name"), have->name)) continue;
        const pbtree *reshape = pbtree_get(p, "reshape");
        bool scalar = !batched && have->ranked && have->shape.rank == 0;
        io.said = true;
        io.reshaped = reshape || scalar;
        pattern(&io.client, batched, pbtree_get(p, "dims"));
        pattern(&io.model, batched, scalar ? NULL : pbtree_get(reshape ? reshape : p, reshape ? "shape" : "dims"));
    }
    return io;
}

static err_code shapes_read(model_config *c, err *e)
{
    uint32_t in = c->ios.input_count, out = c->ios.output_count;
    c->inputs = arena_new(&c->memory, struct config_io, in + 1);
    c->outputs = arena_new(&c->memory, struct config_io, out + 1);
    if (!c->inputs || !c->outputs) return no_memory(e);
    for (uint32_t i = 0; c->given && i < in; i++) c->inputs[i] = io_of(c, &c->ios.inputs[i], "input");
    for (uint32_t i = 0; c->given && i < out; i++) c->outputs[i] = io_of(c, &c->ios.outputs[i], "output");
    for (const pbtree *o = pbtree_get(c->tree, "output"); o; o = o->next) {
        str file = pbtree_text(o, "label_filename");
        for (uint32_t i = 0; i < out && file.len; i++) {
            if (!str_eq(c->outputs[i].name, pbtree_text(o, "name"))) continue;
            err_code rc = label_file_read(c->folder.p, file, &c->memory, &c->outputs[i].labels, e);
            if (rc) return rc;
        }
    }
    for (uint32_t i = 0; i < out; i++) c->reshapes = c->reshapes || c->outputs[i].reshaped;
    return ERR_OK;
}

/* Without controls and states, which the server brings and keeps; a state's output is a client's, too, where the
 * configuration lists it. */
static bool ios_of_clients(model_config *c)
{
    model_ios all = c->ios;
    model_io *in = arena_new(&c->memory, model_io, all.input_count + 1);
    model_io *out = arena_new(&c->memory, model_io, all.output_count + 1);
    if (!in || !out) return false;
    c->ios = (model_ios){.inputs = in, .outputs = out};
    for (uint32_t i = 0; i < all.input_count; i++)
        if (!config_fit_sequence_io(c->tree, all.inputs[i].name, true)) in[c->ios.input_count++] = all.inputs[i];
    for (uint32_t i = 0; i < all.output_count; i++)
        if (!config_fit_sequence_io(c->tree, all.outputs[i].name, false)) out[c->ios.output_count++] = all.outputs[i];
    return true;
}

err_code model_config_fit(model_config *c, const model *m, err *e)
{
    ignored_log(c);
    err_code rc = config_complete(c->tree, &c->memory, m, c->given, e);
    if (rc == ERR_OK) rc = defaults(c, e);
    if (rc == ERR_OK && c->given) rc = config_check_io(c->tree, e);
    if (rc == ERR_OK) rc = instances_default(c, e);
    if (rc == ERR_OK && c->given) rc = config_fit(c->tree, m, e);
    if (rc) return rc;
    c->max_batch_size = pbtree_i64(c->tree, "max_batch_size");
    c->response_cache = pbtree_bool(pbtree_get(c->tree, "response_cache"), "enable");
    c->decoupled = pbtree_bool(pbtree_get(c->tree, "model_transaction_policy"), "decoupled");
    rc = scheduling_read(&c->scheduling, c->tree, &c->memory, e);
    c->ios = model_ios_of(m);
    if (rc == ERR_OK && c->scheduling.sequence.on && !ios_of_clients(c)) return no_memory(e);
    return rc ? rc : shapes_read(c, e);
}

/* As clients bring and get it; nothing is behind it that could say more. */
static bool ios_read(model_config *c, const char *field, const model_io **ret, uint32_t *ret_count)
{
    size_t n = pbtree_count(c->tree, field);
    model_io *to = arena_new(&c->memory, model_io, n + 1);
    *ret = to;
    *ret_count = (uint32_t)n;
    for (const pbtree *io = to ? pbtree_get(c->tree, field) : NULL; io; io = io->next, to++) {
        const pbtree *reshape = pbtree_get(io, "reshape");
        *to = (model_io){.name = pbtree_text(io, "name"),
                         .type = config_type_dtype(pbtree_i64(io, "data_type")),
                         .ranked = true};
        pattern(&to->shape, c->max_batch_size > 0, pbtree_get(reshape ? reshape : io, reshape ? "shape" : "dims"));
    }
    return to != NULL;
}

err_code model_config_fit_alone(model_config *c, err *e)
{
    ignored_log(c);
    err_code rc = config_check_io(c->tree, e);
    if (rc) return rc;
    c->max_batch_size = pbtree_i64(c->tree, "max_batch_size");
    c->response_cache = pbtree_bool(pbtree_get(c->tree, "response_cache"), "enable");
    if ((rc = scheduling_read(&c->scheduling, c->tree, &c->memory, e)) != ERR_OK) return rc;
    if (!ios_read(c, "input", &c->ios.inputs, &c->ios.input_count) ||
        !ios_read(c, "output", &c->ios.outputs, &c->ios.output_count))
        return no_memory(e);
    return shapes_read(c, e);
}

/* ---- asking ---- */

bool model_config_serves(const model_config *c, uint64_t version, size_t rank)
{
    if (c->versions == VERSIONS_LATEST) return rank < c->latest;
    for (size_t i = 0; i < c->specific.count; i++)
        if (c->specific.at[i] >= 0 && (uint64_t)c->specific.at[i] == version) return true;
    return c->versions == VERSIONS_ALL;
}

static bool fits(const shape *declared, const shape *s)
{
    if (declared->rank != s->rank) return false;
    for (uint32_t d = 0; d < s->rank; d++)
        if (declared->dim[d] >= 0 && declared->dim[d] != s->dim[d]) return false;
    return true;
}

/* From one pattern to another that has as many -1: they stand for the same sizes, in order. */
static shape mapped(const shape *from, const shape *to, const shape *s)
{
    shape out = *to;
    for (uint32_t d = 0, k = 0; d < to->rank; d++) {
        if (to->dim[d] >= 0) continue;
        while (from->dim[k] >= 0) k++;
        out.dim[d] = s->dim[k++];
    }
    return out;
}

err_code model_config_input_shape(const model_config *c, uint32_t i, const shape *s, shape *ret, err *e)
{
    const struct config_io *io = &c->inputs[i];
    char want[SHAPE_TEXT_MAX], got[SHAPE_TEXT_MAX];
    *ret = *s;
    if (!io->said) return ERR_OK;
    if (!fits(&io->client, s))
        return err_set(e, ERR_INVALID, "unexpected shape for input '" STR_FMT "' for model '" STR_FMT
                       "'. Expected %s, got %s", STR_ARG(io->name), STR_ARG(c->name), shape_text(&io->client, want),
                       shape_text(s, got));
    if (c->max_batch_size > 0 && s->dim[0] > c->max_batch_size)
        return err_set(e, ERR_INVALID, "inference request batch-size must be <= %lld for '" STR_FMT "'",
                       (long long)c->max_batch_size, STR_ARG(c->name));
    if (io->reshaped) *ret = mapped(&io->client, &io->model, s);
    return ERR_OK;
}

err_code model_config_batch_check(const model_config *c, const tensor *inputs, err *e)
{
    const tensor *first = NULL;   /* that has a batch, as the configuration says */
    for (uint32_t i = 0; i < c->ios.input_count && c->max_batch_size > 0; i++) {
        if (!c->inputs[i].said || inputs[i].shape.rank == 0) continue;
        if (!first) first = &inputs[i];
        if (inputs[i].shape.dim[0] != first->shape.dim[0])
            return err_set(e, ERR_INVALID,
                           "input '" STR_FMT "' batch size does not match other inputs for '" STR_FMT "'",
                           STR_ARG(c->inputs[i].name), STR_ARG(c->name));
    }
    return ERR_OK;
}

bool model_config_said(const model_config *c, bool input, uint32_t i)
{
    return c && (input ? c->inputs : c->outputs)[i].said;
}

bool model_config_reshapes(const model_config *c) { return c && c->reshapes; }

shape model_config_output_shape(const model_config *c, uint32_t i, const shape *s)
{
    const struct config_io *io = &c->outputs[i];
    return io->reshaped && fits(&io->model, s) ? mapped(&io->model, &io->client, s) : *s;
}

shape model_config_declared(const model_config *c, const model_ios *ios, bool input, uint32_t i)
{
    const struct config_io *io = !c ? NULL : input ? &c->inputs[i] : &c->outputs[i];
    return io && io->said ? io->client : input ? ios->inputs[i].shape : ios->outputs[i].shape;
}

const attr *model_config_labels(const model_config *c, uint32_t i) { return c ? c->outputs[i].labels : NULL; }

str model_config_member(const model_config *c, size_t step)
{
    const pbtree *s = pbtree_get(pbtree_get(c->tree, "ensemble_scheduling"), "step");
    for (; s && step; step--) s = s->next;
    return s ? pbtree_text(s, "model_name") : (str){0};
}

queue_patience model_config_patience(const model_config *c)
{
    return c && c->given ? scheduling_patience(c->tree) : (queue_patience){.own_timeout = true};
}

str model_config_parameter(const model_config *c, const char *key)
{
    for (const pbtree *p = pbtree_get(c->tree, "parameters"); p; p = p->next)
        if (str_is(pbtree_text(p, "key"), key)) return pbtree_text(pbtree_get(p, "value"), "string_value");
    return (str){0};
}

void model_config_print(buf *out, const model_config *c) { pbtree_print(out, c->tree); }
void model_config_put(buf *out, const model_config *c) { pbtree_put(out, c->tree); }
