#include "models/queue_run.h"

#include "os/clock.h"

#include <inttypes.h>
#include <string.h>

/* ---- outputs --------------------------------------------------------------------------------------------------- */

static tensor own_output(const queue_item *item, uint32_t i) { return *exec_output(item->outputs.of, i); }
static void own_release(queue_item *item) { exec_give(item->outputs.of); }
static const queue_source own = {own_output, own_release};

void queue_item_hold(queue_item *item, exec *x)
{
    item->source = &own;
    item->outputs.of = x;
    item->outputs.rows = 0;
}

static size_t row_bytes(const tensor *t)
{
    return dtype_bytes(t->type, shape_count_range(&t->shape, 1, t->shape.rank));
}

static tensor shared_output(const queue_item *item, uint32_t i)
{
    tensor t = *exec_output(item->outputs.of, i);
    if (t.data) t.data = (char *)t.data + item->outputs.row * row_bytes(&t);
    t.shape.dim[0] = item->outputs.rows;
    if (item->outputs.length && item->outputs.pad->output_axis[i])
        t.shape.dim[item->outputs.pad->output_axis[i]] = item->outputs.length;
    return t;
}

static const queue_source shared = {shared_output, own_release};

void queue_release(queue_item *item)
{
    const queue_source *from = item->source;
    if (!from) return;
    item->source = NULL;
    from->release(item);
}

/* ---- one alone -------------------------------------------------------------------------------------------------- */

static err_code run(const queue_run *r, exec *x, uint64_t start_ns, const _Atomic bool *cancelled, err *e)
{
    const exec_stop stop = {.cancelled = cancelled,
                            .since_ns = start_ns,
                            .until_us = r->run_us_max ? start_ns / 1000 + r->run_us_max : 0};
    err_code rc = exec_run(x, &stop, e);
    if (rc == ERR_TIMEOUT) {
        err_set(e, rc, "run: expected its end within %" PRIu64 " ms", r->run_us_max / 1000);
        e->limit = "compute-wait-ms";
    }
    return rc;
}

/* The execution takes the bytes for what it was planned for: its shapes are the item's, and its types the model's. */
static err_code types_check(const queue_run *r, const queue_item *item, err *e)
{
    for (uint32_t i = 0; i < model_input_count(r->model); i++) {
        const model_io *io = model_input(r->model, i);
        if (io->type != item->inputs[i].type)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': datatype: expected %s, got '%s'", STR_ARG(io->name),
                           dtype_name(io->type), dtype_name(item->inputs[i].type));
    }
    return ERR_OK;
}

err_code queue_run_taken(const queue_run *r, queue_item *item, exec *x, err *e)
{
    err_code rc = types_check(r, item, e);
    if (rc) {
        exec_give(x);
        return rc;
    }
    for (uint32_t i = 0; i < model_input_count(r->model); i++) exec_input(x, i)->data = item->inputs[i].data;
    rc = run(r, x, item->start_ns, &item->cancelled, e);
    item->end_ns = exec_until_ns(x);
    if (rc) exec_give(x);
    else queue_item_hold(item, x);
    return rc;
}

err_code queue_run_alone(const queue_run *r, queue_item *item, uint64_t start_ns, err *e)
{
    const uint32_t inputs = model_input_count(r->model);
    exec *x = NULL;
    for (uint32_t i = 0; i < inputs; i++) r->shapes[i] = item->inputs[i].shape;
    err_code rc = exec_take(&x, r->model, r->shapes, e);
    item->start_ns = start_ns;
    return rc ? rc : queue_run_taken(r, item, x, e);
}

/* ---- several together ------------------------------------------------------------------------------------------- */

/* `rows` of an input, each filled up with zeros to the length of the run's. */
static void put_rows(char *at, size_t row, const tensor *from, uint32_t rows)
{
    const size_t bytes = row_bytes(from);
    const char *p = from->data;
    if (bytes == row) {
        memcpy(at, p, row * rows);
        return;
    }
    INVARIANT(bytes < row);
    for (uint32_t n = 0; n < rows; n++, at += row, p += bytes) {
        if (bytes) memcpy(at, p, bytes);
        memset(at + bytes, 0, row - bytes);
    }
}

/* An input of all items, in their order; then what is for rows that are nobody's, or its last row again.
 * Strings are copied as what they point to, which lives as long as their requests. */
static void gather(tensor *to, uint32_t input, const batch_run *b, uint32_t rows)
{
    const size_t row = row_bytes(to);
    INVARIANT(b->items);
    const tensor *empty = queue_item_of(b->items)->empty;
    const bool fills = empty && empty[input].data;
    char *at = to->data;
    if (row == 0) return;
    INVARIANT(!fills || row_bytes(&empty[input]) == row);
    for (batch_item *i = b->items; i; i = i->next) {
        put_rows(at, row, &queue_item_of(i)->inputs[input], i->rows);
        at += row * i->rows;
    }
    for (uint32_t n = b->rows; n < rows; n++, at += row) memcpy(at, fills ? empty[input].data : at - row, row);
}

static bool outputs_are_rows(const queue_run *r, const exec *x, uint32_t rows, uint32_t length)
{
    for (uint32_t i = 0; i < model_output_count(r->model); i++) {
        const tensor *t = exec_output(x, i);
        uint32_t axis = length ? r->pad->output_axis[i] : 0;
        if (t->shape.rank == 0 || t->shape.dim[0] != rows || dtype_bits(t->type) < 8) return false;
        if (axis && (t->shape.rank <= axis || t->shape.dim[axis] != length)) return false;
    }
    return true;
}

/* The rows of an item in one output, cut to its length, close up to the first of them: no other item's are touched. */
static void cut(const tensor *t, uint32_t axis, const queue_item *item)
{
    const size_t inner = dtype_bytes(t->type, shape_count_range(&t->shape, axis + 1, t->shape.rank));
    const size_t step = inner * (size_t)t->shape.dim[axis], kept = inner * item->outputs.length;
    const uint64_t pieces = item->outputs.rows * shape_count_range(&t->shape, 1, axis);
    char *at = (char *)t->data + item->outputs.row * row_bytes(t), *from = at;
    if (kept == step || kept == 0) return;
    for (uint64_t n = 0; n < pieces; n++, at += kept, from += step) memmove(at, from, kept);
}

static void cut_all(const queue_run *r, const batch_run *b, const exec *x)
{
    for (uint32_t i = 0; i < model_output_count(r->model); i++) {
        if (!r->pad->output_axis[i]) continue;
        for (batch_item *at = b->items; at; at = at->next)
            cut(exec_output(x, i), r->pad->output_axis[i], queue_item_of(at));
    }
}

static void split(const queue_run *r, const batch_run *b, uint32_t rows, uint32_t length, exec *x)
{
    const uint64_t entries = (uint64_t)rows * length;
    uint64_t used = 0;
    uint32_t row = 0;
    for (batch_item *i = b->items; i; i = i->next) used += (uint64_t)i->rows * i->extent;
    exec_share(x, b->count);
    for (batch_item *i = b->items; i; i = i->next) {
        queue_item *item = queue_item_of(i);
        item->source = &shared;
        item->outputs.of = x;
        item->outputs.row = row;
        item->outputs.rows = i->rows;
        item->outputs.size = rows;
        item->outputs.padding = rows - b->rows;
        item->outputs.length = i->extent;
        item->outputs.entries = entries;
        item->outputs.waste = entries - used;
        item->outputs.pad = r->pad;
        item->start_ns = b->start_ns;
        item->end_ns = exec_until_ns(x);
        row += i->rows;
    }
}

err_code queue_run_rows(const queue_run *r, const batch_run *b, uint32_t rows, uint32_t length, err *e)
{
    const uint32_t inputs = model_input_count(r->model);
    INVARIANT(b->items && rows >= b->rows);
    const queue_item *first = queue_item_of(b->items);
    exec *x = NULL;
    err_code rc = types_check(r, first, e);   /* the others are of its kind */
    for (uint32_t i = 0; i < inputs; i++) {
        r->shapes[i] = first->inputs[i].shape;
        r->shapes[i].dim[0] = rows;
        if (length && padding_has(r->pad, i)) r->shapes[i].dim[1] = length;
    }
    if (rc == ERR_OK) rc = exec_take(&x, r->model, r->shapes, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < inputs; i++) gather(exec_input(x, i), i, b, rows);
    rc = run(r, x, b->start_ns, NULL, e);
    if (rc == ERR_OK && !outputs_are_rows(r, x, rows, length))
        rc = err_set(e, ERR_UNSUPPORTED, "the outputs of %u rows are not as many rows", rows);
    if (rc) {
        exec_give(x);
        return rc;
    }
    split(r, b, rows, length, x);
    if (length) cut_all(r, b, x);
    return ERR_OK;
}
