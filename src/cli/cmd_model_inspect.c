#include "base/buf.h"
#include "cli/cmd.h"
#include "cli/model_line.h"
#include "engine/exec.h"
#include "os/console.h"
#include "wire/json_text.h"

#include <stdio.h>

enum { TEXT_MAX = 64 << 20 };
static const char path[] = "proa model inspect";

typedef struct {
    const char *model;
    flag_texts shapes;
    bool json, no_passes;
} options;

/* ---- shapes ---------------------------------------------------------------------------------------------------- */

static err_code shape_parse(shape *ret, str text, err *e)
{
    shape s = {0};
    str rest = text, one;
    while (rest.len) {
        int64_t dim;
        str tail = {0};
        if (!str_cut(rest, 'x', &one, &tail)) one = rest;
        if (!str_i64(one, &dim) || dim < 0)
            return err_set(e, ERR_INVALID, "--shape: expected NAME=1x3x224x224, got '" STR_FMT "'", STR_ARG(text));
        err_code rc = shape_push(&s, dim, e);
        if (rc) return rc;
        rest = tail;
    }
    *ret = s;
    return ERR_OK;
}

/* What can be said of them without a model. */
static err_code shapes_check(const options *o, err *e)
{
    err_code rc = ERR_OK;
    for (size_t k = 0; k < o->shapes.count && rc == ERR_OK; k++) {
        str name, text;
        shape ignored;
        if (!str_cut(str_of(o->shapes.items[k]), '=', &name, &text))
            return err_set(e, ERR_INVALID, "--shape: expected NAME=1x3x224x224, got '%s'", o->shapes.items[k]);
        rc = shape_parse(&ignored, text, e);
    }
    return rc;
}

static err_code shapes_of(const model *m, const options *o, shape *ret, err *e)
{
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        ret[i] = model_input(m, i)->shape;
        for (uint32_t d = 0; d < ret[i].rank; d++) {
            if (ret[i].dim[d] < 0) ret[i].dim[d] = 1;
        }
    }
    for (size_t k = 0; k < o->shapes.count; k++) {
        str name, text;
        uint32_t i = 0;
        bool whole = str_cut(str_of(o->shapes.items[k]), '=', &name, &text);
        INVARIANT(whole);   /* shapes_check() */
        while (i < model_input_count(m) && !str_eq(model_input(m, i)->name, name)) i++;
        if (i == model_input_count(m))
            return err_set(e, ERR_NOT_FOUND, "--shape: the model has no input '" STR_FMT "'", STR_ARG(name));
        err_code rc = shape_parse(&ret[i], text, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* A dimension that was left open may have no use for a 1: then the one who asks has to say more. */
static err_code sizes_wanted(const model *m, const options *o, err_code rc, err *e)
{
    err said = *e;
    if (rc != ERR_INVALID || o->shapes.count) return rc;
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        const model_io *io = model_input(m, i);
        bool open = !io->ranked;
        for (uint32_t d = 0; d < io->shape.rank; d++) open |= io->shape.dim[d] < 0;
        if (open)
            return err_set(e, rc, "%s; sizes that the model leaves open were 1: name others with --shape " STR_FMT
                                  "=...", said.text, STR_ARG(io->name));
    }
    return rc;
}

/* ---- printing -------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t flops, bytes_out, weight_bytes;
    uint32_t late;
} totals;

static uint64_t step_bytes(const plan *p, const plan_step *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->node->out_count; i++) {
        value_id v = s->node->out[i];
        if (v != VALUE_NONE && p->values[v].place != PLACE_LATE) sum += tensor_bytes(&p->values[v].t);
    }
    return sum;
}

static totals totals_of(const plan *p)
{
    totals t = {.late = p->late_count};
    for (uint32_t i = 0; i < p->step_count; i++) {
        t.flops += plan_step_flops(p, &p->steps[i]);
        t.bytes_out += step_bytes(p, &p->steps[i]);
    }
    for (value_id v = 0; v < p->graph->value_count; v++) {
        if (p->graph->values[v].from == VALUE_CONST) t.weight_bytes += tensor_bytes(p->graph->values[v].init);
    }
    return t;
}

static void io_text(buf *b, const char *what, const model_io *io)
{
    buf_printf(b, "%-8s " STR_FMT " %s [", what, STR_ARG(io->name), dtype_name(io->type));
    for (uint32_t d = 0; d < io->shape.rank; d++) {
        if (d) buf_put_byte(b, ',');
        if (io->shape.dim[d] >= 0) buf_printf(b, "%lld", (long long)io->shape.dim[d]);
        else buf_printf(b, STR_FMT, STR_ARG(io->dim_name[d].len ? io->dim_name[d] : STR("?")));
    }
    buf_printf(b, "]%s%s\n", io->ranked ? "" : " of any rank", io->labels ? ", with labels" : "");
}

static const char *step_shape(const plan *p, const plan_step *s, char text[SHAPE_TEXT_MAX])
{
    value_id v = s->node->out_count ? s->node->out[0] : VALUE_NONE;
    if (v == VALUE_NONE || p->values[v].place == PLACE_LATE) return "in the run";
    return shape_text(&p->values[v].t.shape, text);
}

static void text_print(buf *b, const model *m, const plan *p, const char *isa)
{
    totals t = totals_of(p);
    for (uint32_t i = 0; i < model_input_count(m); i++) io_text(b, "input", model_input(m, i));
    for (uint32_t i = 0; i < model_output_count(m); i++) io_text(b, "output", model_output(m, i));
    const batch_axis *batch = model_batch(m);
    buf_printf(b, "batch    %s%s\n", batch->proven ? "requests may share a run" : "no: ", batch->why);
    buf_printf(b, "\n%-20s %-28s %-22s %-10s %12s %12s\n", "operator", "fused", "output", "kernel", "bytes", "MFLOP");
    for (uint32_t i = 0; i < p->step_count; i++) {
        const plan_step *s = &p->steps[i];
        char text[SHAPE_TEXT_MAX], op[64];
        snprintf(op, sizeof op, STR_FMT, STR_ARG(s->node->op));
        buf_printf(b, "%-20s %-28s %-22s %-10s %12llu %12.3f\n", op, s->node->fused ? s->node->fused : "",
                   step_shape(p, s, text), plan_step_kernel(p, s, isa), (unsigned long long)step_bytes(p, s),
                   (double)plan_step_flops(p, s) / 1e6);
    }
    buf_printf(b, "\n%u steps, %.3f MFLOP, weights %.3f MB, peak memory of one run %.3f MB", p->step_count,
               (double)t.flops / 1e6, (double)t.weight_bytes / 1e6, (double)p->bytes / 1e6);
    if (t.late) buf_printf(b, " and what %u steps need whose shapes are known in the run", t.late);
    buf_put_z(b, "\n");
}

static void shape_json(buf *b, const shape *s, const str *names)
{
    buf_put_byte(b, '[');
    for (uint32_t d = 0; d < s->rank; d++) {
        if (d) buf_put_z(b, ", ");
        if (s->dim[d] < 0 && names && names[d].len) json_text_put(b, names[d]);
        else buf_printf(b, "%lld", (long long)s->dim[d]);
    }
    buf_put_byte(b, ']');
}

static void io_json(buf *b, const model_io *io, const char *comma)
{
    buf_printf(b, "%s\n    {\"name\": ", comma);
    json_text_put(b, io->name);
    buf_printf(b, ", \"type\": \"%s\", \"shape\": ", dtype_name(io->type));
    if (io->ranked) shape_json(b, &io->shape, io->dim_name);
    else buf_put_z(b, "null");
    buf_put_byte(b, '}');
}

static void step_json(buf *b, const plan *p, const plan_step *s, const char *isa, const char *comma)
{
    buf_printf(b, "%s\n    {\"name\": ", comma);
    json_text_put(b, s->node->name);
    buf_put_z(b, ", \"op\": ");
    json_text_put(b, s->node->op);
    buf_put_z(b, ", \"domain\": ");
    json_text_put(b, s->node->domain);
    buf_put_z(b, ", \"fused\": ");
    json_text_put(b, str_of(s->node->fused ? s->node->fused : ""));
    buf_put_z(b, ", \"shape\": ");
    value_id v = s->node->out_count ? s->node->out[0] : VALUE_NONE;
    if (v == VALUE_NONE || p->values[v].place == PLACE_LATE) buf_put_z(b, "null");
    else shape_json(b, &p->values[v].t.shape, NULL);
    buf_printf(b, ", \"kernel\": \"%s\", \"bytes\": %llu, \"flop\": %llu}", plan_step_kernel(p, s, isa),
               (unsigned long long)step_bytes(p, s), (unsigned long long)plan_step_flops(p, s));
}

static void json_print(buf *b, const model *m, const plan *p, const char *isa)
{
    totals t = totals_of(p);
    buf_put_z(b, "{\n  \"inputs\": [");
    for (uint32_t i = 0; i < model_input_count(m); i++) io_json(b, model_input(m, i), i ? "," : "");
    buf_put_z(b, "],\n  \"outputs\": [");
    for (uint32_t i = 0; i < model_output_count(m); i++) io_json(b, model_output(m, i), i ? "," : "");
    buf_put_z(b, "],\n  \"plan\": [");
    for (uint32_t i = 0; i < p->step_count; i++) step_json(b, p, &p->steps[i], isa, i ? "," : "");
    buf_printf(b, "],\n  \"flop\": %llu, \"weight_bytes\": %llu, \"memory_bytes\": %zu, \"late_steps\": %u\n}\n",
               (unsigned long long)t.flops, (unsigned long long)t.weight_bytes, p->bytes, t.late);
}

static err_code inspect(const options *o, buf *b, err *e)
{
    CLEANUP(model) model *m = NULL;
    model_opts opts = {.no_passes = o->no_passes};
    err_code rc = model_open(&m, o->model, &opts, e);
    if (rc) return rc;
    arena a;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    shape *shapes = arena_new(&a, shape, model_input_count(m));
    exec *x = NULL;
    rc = shapes ? shapes_of(m, o, shapes, e) : err_set(e, ERR_NOMEM, "no memory for shapes");
    if (!rc && (rc = exec_take(&x, m, shapes, e)) != ERR_OK) rc = sizes_wanted(m, o, rc, e);
    arena_fini(&a);
    if (rc) return err_wrap(e, "%s", o->model);
    const char *isa = kernel_active()->name;
    if (o->json) json_print(b, m, x->plan, isa);
    else text_print(b, m, x->plan, isa);
    exec_give(x);
    rc = buf_check(b, path, e);
    return rc ? rc : console_out((const char *)b->p, b->len, e);
}

int cmd_model_inspect(int argc, char **argv)
{
    options o = {0};
    const flag flags[] = {
        {.name = "json", .kind = FLAG_SWITCH, .to = &o.json, .help = "one JSON object"},
        {.name = "shape",
         .kind = FLAG_TEXTS,
         .to = &o.shapes,
         .value = "NAME=1x3x8x8",
         .help = "plan for this input shape; else symbols are 1"},
        {.name = "no-passes", .kind = FLAG_SWITCH, .to = &o.no_passes, .help = "the graph as it was written"},
    };
    const model_line line = {.path = path,
                             .args = "MODEL [--json] [--shape NAME=1x3x224x224 ...]",
                             .flags = flags,
                             .flag_count = COUNTOF(flags)};
    int status;
    buf b;
    err e;
    if (!model_line_parse(&line, argc, argv, &o.model, &status)) return status;
    if (shapes_check(&o, &e)) return cmd_usage(path, line.args, &e);
    buf_init(&b, TEXT_MAX);
    err_code rc = inspect(&o, &b, &e);
    buf_fini(&b);
    return rc ? cmd_fail(path, &e) : CMD_OK;
}
