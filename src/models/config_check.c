#include "models/config_check.h"

#include "base/map.h"

#include <string.h>

#define bad(e, ...) err_set(e, ERR_INVALID, __VA_ARGS__)

static bool is(const pbtree *m, const char *field, const char *text) { return str_is(pbtree_text(m, field), text); }

/* Triton names the model last. */
static err_code of_model(const pbtree *c, err *e)
{
    char text[sizeof e->text];
    str name = pbtree_text(c, "name");
    memcpy(text, e->text, sizeof text);
    return err_set(e, e->code, "%s for " STR_FMT, text, STR_ARG(name));
}

/* ---- inputs and outputs ---- */

static bool dims_ok(const pbtree *first)
{
    for (const pbtree *d = first; d; d = d->next)
        if (d->i64 < 1 && d->i64 != -1) return false;
    return true;
}

/* The product of the dimensions up to the next -1 or the end; *at goes past it, to NULL at the end. */
static bool chunk(const pbtree **at, int64_t *ret, bool *ret_wild)
{
    *ret = 1;
    *ret_wild = false;
    while (*at && !*ret_wild) {
        *ret_wild = (*at)->i64 == -1;
        if (!*ret_wild && __builtin_mul_overflow(*ret, (*at)->i64, ret)) return false;
        *at = (*at)->next;
    }
    return true;
}

/* From [2, 4, -1, 6] to [8, -1, 1, 6] is right: between the -1 are as many elements. */
static err_code reshape_check(const char *what, const pbtree *io, err *e)
{
    const pbtree *d = pbtree_get(io, "dims"), *s = pbtree_get(pbtree_get(io, "reshape"), "shape");
    str name = pbtree_text(io, "name");
    int64_t one, two;
    bool wild_one, wild_two;
    do {
        if (!chunk(&d, &one, &wild_one) || !chunk(&s, &two, &wild_two))
            return bad(e, "%s '" STR_FMT "' has more elements than fit 64 bits", what, STR_ARG(name));
        if (wild_one != wild_two)
            return bad(e, "%s '" STR_FMT "' has different number of variable-size dimensions for dims and reshape",
                       what, STR_ARG(name));
        if (one != two)
            return bad(e, "%s '" STR_FMT "' has different size for dims and reshape", what, STR_ARG(name));
    } while (wild_one);
    return ERR_OK;
}

static err_code io_shape_check(const char *what, const pbtree *io, bool batches, err *e)
{
    str name = pbtree_text(io, "name");
    const pbtree *reshape = pbtree_get(io, "reshape");
    if (name.len == 0) return bad(e, "%s must specify 'name'", what);
    if (pbtree_i64(io, "data_type") == 0)
        return bad(e, "%s '" STR_FMT "' must specify 'data_type'", what, STR_ARG(name));
    if (!pbtree_has(io, "dims")) return bad(e, "%s '" STR_FMT "' must specify 'dims'", what, STR_ARG(name));
    if (reshape && !pbtree_has(reshape, "shape") && !batches)
        return bad(e, "%s '" STR_FMT "' cannot have empty reshape for non-batching model as scalar tensors are not "
                      "supported", what, STR_ARG(name));
    if (!dims_ok(pbtree_get(io, "dims")))
        return bad(e, "%s '" STR_FMT "' dimension must be integer >= 1, or -1 to indicate a variable-size dimension",
                   what, STR_ARG(name));
    if (!reshape) return ERR_OK;
    if (!dims_ok(pbtree_get(reshape, "shape")))
        return bad(e, "%s '" STR_FMT "' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size "
                      "dimension", what, STR_ARG(name));
    return reshape_check(what, io, e);
}

static err_code io_check(const char *what, const pbtree *io, bool batches, err *e)
{
    err_code rc = io_shape_check(what, io, batches, e);
    if (rc) return rc;
    bool image = pbtree_field(io->def, STR("format")) && pbtree_i64(io, "format") != 0;
    if (image && pbtree_count(io, "dims") != 3) return bad(e, "model input NHWC/NCHW require 3 dims");
    if (pbtree_bool(io, "is_shape_tensor")) return bad(e, "shape tensors are only supported for TensorRT platform");
    if (pbtree_bool(io, "is_non_linear_format_io"))
        return bad(e, "Non-linear IO format is only supported for the TensorRT platform");
    return ERR_OK;
}

static bool names_has(const pbtree *c, const char *field, str name)
{
    for (const pbtree *io = pbtree_get(c, field); io; io = io->next)
        if (str_eq(pbtree_text(io, "name"), name)) return true;
    return false;
}

static err_code batch_io_check(const pbtree *c, const char *field, const char *what, err *e)
{
    for (const pbtree *b = pbtree_get(c, field); b; b = b->next) {
        const pbdef_field *kind = pbtree_field(b->def, STR("kind"));
        const pbtree *source = pbtree_get(b, "source_input"), *t;
        if (pbtree_count(b, "source_input") != 1)
            return bad(e, "%s kind '%s' expects 1 source input, got %zu", what,
                       pbtree_value_name(kind->values, pbtree_i64(b, "kind")), pbtree_count(b, "source_input"));
        if (pbtree_field(b->def, STR("data_type"))) {
            int64_t type = pbtree_i64(b, "data_type");
            if (type != 8 && type != 11) return bad(e, "batch input data type must be TYPE_INT32 or TYPE_FP32");
        }
        if (!names_has(c, "input", source->text))
            return bad(e, "unknown source input name '" STR_FMT "'", STR_ARG(source->text));
        if (strcmp(field, "batch_output") != 0) continue;
        for (t = pbtree_get(b, "target_name"); t; t = t->next) {
            if (!names_has(c, "output", t->text))
                return bad(e, "unknown target output name '" STR_FMT "'", STR_ARG(t->text));
            for (const pbtree *u = t->next; u; u = u->next)
                if (str_eq(t->text, u->text))
                    return bad(e, "target output name '" STR_FMT "' can only be specified once", STR_ARG(t->text));
        }
    }
    return ERR_OK;
}

static err_code ios_check(const pbtree *c, const char *field, const char *what, err *e)
{
    bool batches = pbtree_i64(c, "max_batch_size") > 0;
    map names;
    err_code rc = ERR_OK;
    map_init(&names);
    for (const pbtree *io = pbtree_get(c, field); io && rc == ERR_OK; io = io->next) {
        str name = pbtree_text(io, "name");
        rc = io_check(what, io, batches, e);
        if (rc) break;
        if (map_get(&names, name)) rc = bad(e, "%s '" STR_FMT "' can only be specified once", what, STR_ARG(name));
        else if (!map_put(&names, name, &names)) rc = err_set(e, ERR_NOMEM, "no memory for names");
    }
    map_fini(&names);
    return rc;
}

err_code config_check_io(const pbtree *c, err *e)
{
    err_code rc = ios_check(c, "input", "model input", e);
    if (rc == ERR_OK) rc = ios_check(c, "output", "model output", e);
    if (rc == ERR_OK) rc = batch_io_check(c, "batch_input", "batch input", e);
    if (rc == ERR_OK) rc = batch_io_check(c, "batch_output", "batch output", e);
    return rc ? of_model(c, e) : ERR_OK;
}

/* ---- batching ---- */

static err_code preferred_check(const pbtree *batching, int64_t most, const char *what, err *e)
{
    for (const pbtree *n = pbtree_get(batching, "preferred_batch_size"); n; n = n->next) {
        if (n->i64 <= 0) return bad(e, "%s size must be positive", what);
        if (n->i64 > most) return bad(e, "%s size must be <= max batch size", what);
    }
    return ERR_OK;
}

static bool delays(const pbtree *policy)
{
    return pbtree_u64(policy, "default_timeout_microseconds") != 0 && pbtree_i64(policy, "timeout_action") == 1;
}

static err_code dynamic_check(const pbtree *c, const pbtree *b, err *e)
{
    uint64_t levels = pbtree_u64(b, "priority_levels"), level = pbtree_u64(b, "default_priority_level");
    bool ordered = pbtree_bool(b, "preserve_ordering");
    err_code rc = preferred_check(b, pbtree_i64(c, "max_batch_size"), "dynamic batching preferred", e);
    if (rc) return rc;
    if (levels && (level == 0 || level > levels))
        return bad(e, "default priority level must be in range [1, %llu]", (unsigned long long)levels);
    if (ordered && levels > 1)
        return bad(e, "Only one priority level is allowed when 'preserve_ordering' is true");
    bool delayed = delays(pbtree_get(b, "default_queue_policy"));
    for (const pbtree *p = pbtree_get(b, "priority_queue_policy"); p; p = p->next) {
        uint64_t at = pbtree_u64(p, "key");
        if (levels && (at == 0 || at > levels))
            return bad(e, "priority queue policy must have priority level in range [1, %llu]",
                       (unsigned long long)levels);
        delayed = delayed || delays(pbtree_get(p, "value"));
    }
    if (ordered && delayed)
        return bad(e, "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true");
    return ERR_OK;
}

/* ---- sequences ---- */

/* One that says START, END or READY by two values of one of three types. */
static err_code two_values_check(const pbtree *control, const char *kind, err *e)
{
    static const char *const fields[] = {"int32_false_true", "fp32_false_true", "bool_false_true"};
    size_t given = 0;
    for (size_t i = 0; i < COUNTOF(fields); i++) given += pbtree_has(control, fields[i]);
    if (given == 0)
        return bad(e, "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
                      "'bool_false_true' for %s", kind);
    if (given > 1)
        return bad(e, "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
                      "'bool_false_true' for %s", kind);
    for (size_t i = 0; i < COUNTOF(fields); i++)
        if (pbtree_has(control, fields[i]) && pbtree_count(control, fields[i]) != 2)
            return bad(e, "sequence batching control '%s' must have exactly 2 entries for %s", fields[i], kind);
    return ERR_OK;
}

static err_code correlation_check(const pbtree *control, const char *kind, err *e)
{
    int64_t type = pbtree_i64(control, "data_type");   /* UINT32, UINT64, INT32, INT64, STRING */
    if (pbtree_has(control, "int32_false_true") || pbtree_has(control, "fp32_false_true") ||
        pbtree_has(control, "bool_false_true"))
        return bad(e, "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or "
                      "'bool_false_true' for %s", kind);
    if (type == 4 || type == 5 || type == 8 || type == 9 || type == 13) return ERR_OK;
    return err_set(e, ERR_CONFLICT, "unexpected data type for control %s", kind);
}

static err_code controls_check(const pbtree *b, err *e)
{
    const pbdef_field *kinds = NULL;
    bool seen[4] = {0};
    map names;
    err_code rc = ERR_OK;
    map_init(&names);
    for (const pbtree *in = pbtree_get(b, "control_input"); in && rc == ERR_OK; in = in->next) {
        str name = pbtree_text(in, "name");
        if (name.len == 0) rc = bad(e, "sequence batching control tensor must have a name");
        else if (map_get(&names, name))
            rc = bad(e, "sequence batching control tensor '" STR_FMT "' is specified for multiple control kinds",
                     STR_ARG(name));
        else if (!map_put(&names, name, &names)) rc = err_set(e, ERR_NOMEM, "no memory for control tensors");
        for (const pbtree *c = pbtree_get(in, "control"); c && rc == ERR_OK; c = c->next) {
            int64_t kind = pbtree_i64(c, "kind");
            kinds = pbtree_field(c->def, STR("kind"));
            const char *text = pbtree_value_name(kinds->values, kind);
            if (seen[kind]) rc = bad(e, "sequence batching specifies multiple %s tensors", text);
            else rc = strcmp(text, "CONTROL_SEQUENCE_CORRID") == 0 ? correlation_check(c, text, e)
                                                                   : two_values_check(c, text, e);
            seen[kind] = true;
        }
    }
    map_fini(&names);
    return rc;
}

/* What begins a state. */
static err_code initial_check(const pbtree *state, const pbtree *i, err *e)
{
    str in = pbtree_text(state, "input_name");
    size_t count = pbtree_count(i, "dims"), states = pbtree_count(state, "dims");
    if (pbtree_i64(i, "data_type") != pbtree_i64(state, "data_type"))
        return bad(e, "The data type used for 'initial_state' field of state '" STR_FMT "' does not match the state "
                      "data type.", STR_ARG(in));
    if (pbtree_text(i, "name").len == 0)
        return bad(e, "Field 'name' must be set when using initial_state for state input '" STR_FMT "'.", STR_ARG(in));
    if (count != states)
        return bad(e, "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state "
                      "input '" STR_FMT "'. %zu != %zu", STR_ARG(in), count, states);
    const pbtree *of = pbtree_get(state, "dims");
    for (const pbtree *d = pbtree_get(i, "dims"); d; d = d->next, of = of->next) {
        if (d->i64 < 0)
            return bad(e, "'initial_state' field for state input name '" STR_FMT "' contains variable dimensions.",
                       STR_ARG(in));
        if (of->i64 != -1 && d->i64 != of->i64)
            return bad(e, "'initial_state' dim for input name '" STR_FMT "' doesn't match 'state' dim description. "
                          "%lld != %lld", STR_ARG(in), (long long)d->i64, (long long)of->i64);
    }
    if (!pbtree_has(i, "zero_data") && !pbtree_has(i, "data_file"))
        return bad(e, "initial_state setting expects state '" STR_FMT "' to have state_data set", STR_ARG(in));
    return ERR_OK;
}

static err_code states_check(const pbtree *b, err *e)
{
    err_code rc = ERR_OK;
    for (const pbtree *s = pbtree_get(b, "state"); s && rc == ERR_OK; s = s->next) {
        str in = pbtree_text(s, "input_name");
        size_t count = pbtree_count(s, "initial_state");
        for (const pbtree *d = pbtree_get(s, "dims"); d; d = d->next)
            if (d->i64 < -1)
                return bad(e, "state input '" STR_FMT "' dimension must be integer >= 0, or -1 to indicate a "
                              "variable-size dimension", STR_ARG(in));
        if (count > 1)
            return bad(e, "initial_state field for state input '" STR_FMT "' must contain exactly one or zero "
                          "element. Found '%zu' elements.", STR_ARG(in), count);
        if (count) rc = initial_check(s, pbtree_get(s, "initial_state"), e);
    }
    return rc;
}

static err_code sequence_check(const pbtree *c, const pbtree *b, err *e)
{
    str name = pbtree_text(c, "name");
    const pbtree *direct = pbtree_get(b, "direct");
    if (pbtree_bool(pbtree_get(c, "response_cache"), "enable"))
        return bad(e, "Response Cache does not currently support model " STR_FMT " with sequence batching scheduler. "
                      "Please disable the response cache.", STR_ARG(name));
    err_code rc = controls_check(b, e);
    if (rc == ERR_CONFLICT) {   /* the one text that goes on behind the model's name */
        (void)of_model(c, e);
        char text[sizeof e->text];
        memcpy(text, e->text, sizeof text);
        return bad(e, "%.200s. Allowed data types are TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
                   text);
    }
    if (rc == ERR_OK)
        rc = preferred_check(pbtree_get(b, "oldest"), pbtree_i64(c, "max_batch_size"),
                             "sequence batching preferred batch", e);
    double slots = pbtree_f64(direct, "minimum_slot_utilization");
    if (rc == ERR_OK && !(slots >= 0 && slots <= 1))
        rc = bad(e, "sequence batching minimum slot utilization must be in range (0.0, 1.0]");
    return rc ? of_model(c, e) : states_check(b, e);
}

/* ---- the rest ---- */

static err_code platform_check(const pbtree *c, err *e)
{
    str name = pbtree_text(c, "name"), platform = pbtree_text(c, "platform"), backend = pbtree_text(c, "backend");
    bool ensemble = is(c, "platform", "ensemble");
    if (backend.len == 0 && !ensemble)
        return bad(e, "unexpected platform type '" STR_FMT "' for " STR_FMT, STR_ARG(platform), STR_ARG(name));
    if (backend.len && ensemble)
        return bad(e, "Ensemble model '" STR_FMT "' must have platform type 'ensemble' and empty backend type",
                   STR_ARG(name));
    if (ensemble) return ERR_OK;
    if (!str_is(backend, "onnxruntime"))
        return err_set(e, ERR_UNSUPPORTED, "backend '" STR_FMT "' of model " STR_FMT
                       " is not supported: expected onnxruntime, or platform ensemble", STR_ARG(backend),
                       STR_ARG(name));
    if (!str_is(platform, "onnxruntime_onnx"))
        return bad(e, "unexpected 'platform' and 'backend' pair, got:" STR_FMT ", " STR_FMT, STR_ARG(platform),
                   STR_ARG(backend));
    return ERR_OK;
}

static err_code metrics_check(const pbtree *c, err *e)
{
    for (const pbtree *m = pbtree_get(pbtree_get(c, "model_metrics"), "metric_control"); m; m = m->next) {
        const pbtree *id = pbtree_get(m, "metric_identifier"), *h = pbtree_get(m, "histogram_options");
        if (!id) return bad(e, "metric control must specify 'metric_identifier'");
        if (pbtree_text(id, "family").len == 0) return bad(e, "metric identifier must specify non-empty 'family'");
        if (!h) return bad(e, "metric control must specify 'histogram_options'");
        if (!pbtree_has(h, "buckets")) return bad(e, "histogram options must specify non-empty 'buckets'");
    }
    return ERR_OK;
}

err_code config_check(const pbtree *c, err *e)
{
    str name = pbtree_text(c, "name");
    const pbtree *b = pbtree_get(c, "dynamic_batching"), *s = pbtree_get(c, "sequence_batching");
    if (name.len == 0) return bad(e, "model configuration must specify 'name'");
    err_code rc = platform_check(c, e);
    if (rc) return rc;
    if (pbtree_i64(c, "max_batch_size") < 0)
        return bad(e, "'max_batch_size' must be non-negative value for " STR_FMT, STR_ARG(name));
    if (!pbtree_has(c, "version_policy")) return bad(e, "must specify 'version policy' for " STR_FMT, STR_ARG(name));
    if (b && (rc = dynamic_check(c, b, e)) != ERR_OK) return of_model(c, e);
    if (s && (rc = sequence_check(c, s, e)) != ERR_OK) return rc;
    if (pbtree_has(c, "ensemble_scheduling")) rc = config_check_ensemble(c, e);
    else if (is(c, "platform", "ensemble"))
        rc = bad(e, "ensemble scheduling must be set for ensemble " STR_FMT " whose platform is ensemble",
                 STR_ARG(name));
    if (rc) return rc;
    if (pbtree_bool(pbtree_get(c, "model_transaction_policy"), "decoupled") &&
        pbtree_bool(pbtree_get(c, "response_cache"), "enable"))
        return bad(e, "Response Cache does not currently support model " STR_FMT " with 'decoupled' transaction "
                      "policy. Please disable the response cache.", STR_ARG(name));
    return metrics_check(c, e);
}

err_code config_check_instances(const pbtree *c, err *e)
{
    str model = pbtree_text(c, "name");
    for (const pbtree *g = pbtree_get(c, "instance_group"); g; g = g->next) {
        str name = pbtree_text(g, "name");
        int64_t kind = pbtree_i64(g, "kind");
        const char *text = pbtree_value_name(pbtree_field(g->def, STR("kind"))->values, kind);
        if (strcmp(text, "KIND_GPU") == 0)
            return bad(e, "instance group " STR_FMT " of model " STR_FMT " has kind KIND_GPU but server does not "
                          "support GPUs", STR_ARG(name), STR_ARG(model));
        if (pbtree_has(g, "gpus"))
            return bad(e, "instance group " STR_FMT " of model " STR_FMT " has kind %s but specifies one or more GPUs",
                       STR_ARG(name), STR_ARG(model), text);
        if (pbtree_has(g, "profile"))
            return bad(e, "instance group " STR_FMT " of model " STR_FMT " and platform onnxruntime_onnx specifies "
                          "profile field which is only supported for TensorRT models", STR_ARG(name), STR_ARG(model));
    }
    return ERR_OK;
}
