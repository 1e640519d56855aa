#include "models/sequence_io.h"

#include "base/mem.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>

enum { MEMORY_MAX = 64 << 20, ALIGN = 64 };
#define NONE UINT32_MAX

typedef struct {
    uint32_t input;               /* of the model; NONE = it does not ask for it */
    dtype type;
    double off, on;
} control;

typedef struct {
    uint32_t input, output;       /* of the model */
    dtype type;
    str name;                     /* of the output */
} state;

struct sequence_io {
    str name;                     /* of the model, for messages */
    uint32_t input_count;
    const uint32_t *inputs, *outputs;   /* of each that clients know: the model's */
    uint32_t client_inputs;
    control controls[CONTROL_COUNT];
    shape control_shape;
    state *states;
    uint32_t state_count;
    sequence_block *first;
    tensor *empty;                /* a row of each input */
    sequence_values values;       /* of it */
    arena memory;
};

struct sequence_block {
    _Atomic uint32_t held;
    uint32_t count;
    tensor of[];
};

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

void sequence_block_hold(sequence_block *b) { atomic_fetch_add_explicit(&b->held, 1, memory_order_relaxed); }

void sequence_block_release(sequence_block *b)
{
    if (b && atomic_fetch_sub_explicit(&b->held, 1, memory_order_acq_rel) == 1) mem_free(b);
}

/* Of these types and shapes; their bytes are not set. */
static err_code block_new(sequence_block **ret, const sequence_io *io, const tensor *like, err *e)
{
    const uint32_t count = io->state_count;
    size_t bytes = round_up(sizeof(sequence_block) + count * sizeof(tensor), ALIGN);
    for (uint32_t i = 0; i < count; i++) {
        size_t one = shape_bounded(&like[i].shape) ? tensor_bytes(&like[i]) : SIZE_MAX;
        if (one > SEQUENCE_BYTES_MAX || bytes + round_up(one, ALIGN) > SEQUENCE_BYTES_MAX)
            return err_set(e, ERR_TOO_LARGE, "state '" STR_FMT "' of model " STR_FMT ": expected at most %zu bytes in "
                           "all states of a sequence, got more", STR_ARG(io->states[i].name), STR_ARG(io->name),
                           SEQUENCE_BYTES_MAX);
        bytes += round_up(one, ALIGN);
    }
    sequence_block *b = mem_alloc_raw(bytes);
    if (!b) return err_set(e, ERR_NOMEM, "sequences: no memory for the states of one");
    b->held = 1;
    b->count = count;
    uint8_t *at = (uint8_t *)b + round_up(sizeof(sequence_block) + count * sizeof(tensor), ALIGN);
    for (uint32_t i = 0; i < count; i++) {
        b->of[i] = tensor_make(like[i].type, &like[i].shape, at);
        at += round_up(tensor_bytes(&like[i]), ALIGN);
    }
    *ret = b;
    return ERR_OK;
}

sequence_block *sequence_io_first(const sequence_io *io)
{
    sequence_block_hold(io->first);
    return io->first;
}

/* ---- what begins a sequence -------------------------------------------------------------------------------------- */

static err_code initial_read(const sequence_io *io, const model_config *c, str file, tensor *to, err *e)
{
    char path[FILE_PATH_MAX];
    const size_t want = tensor_bytes(to);
    file_map m;
    bool plain = !memchr(file.p, '/', file.len) && file.p[0] != '.';
    int n = snprintf(path, sizeof path, STR_FMT "/initial_state/" STR_FMT, STR_ARG(c->folder), STR_ARG(file));
    if (!plain || n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_INVALID, "initial_state of model " STR_FMT ": data_file: expected the name of a file, "
                       "got '" STR_FMT "'", STR_ARG(io->name), STR_ARG(file));
    err_code rc = file_map_open(path, &m, e);
    if (rc) return rc;
    if (m.len >= want) memcpy(to->data, m.p, want);   /* the first bytes of a longer file, as Triton does */
    else
        rc = err_set(e, ERR_INVALID, "initial_state setting expects %zu bytes, but the data provided from " STR_FMT
                     " only has %zu bytes.", want, STR_ARG(file), m.len);
    file_map_close(&m);
    if (rc) return rc;
    tensor_settle_bools(to);
    return ERR_OK;
}

static shape first_shape(const model_config *c, const sequence_state *s)
{
    const i64_list *dims = s->initial_count && s->initial[0].dims.count ? &s->initial[0].dims : &s->dims;
    shape out = {.rank = c->max_batch_size > 0};
    out.dim[0] = 1;
    for (size_t k = 0; k < dims->count && out.rank < TENSOR_RANK_MAX; k++)
        out.dim[out.rank++] = dims->at[k] < 0 ? 1 : dims->at[k];
    return out;
}

static err_code first_make(sequence_io *io, const model_config *c, err *e)
{
    const sequence_batching *s = &c->scheduling.sequence;
    tensor *like = arena_new(&io->memory, tensor, s->state_count + 1);
    if (!like) return err_set(e, ERR_NOMEM, "sequences: no memory for the states of model " STR_FMT, STR_ARG(io->name));
    for (uint32_t i = 0; i < io->state_count; i++) {
        shape first = first_shape(c, &s->states[i]);
        if (s->states[i].type == DT_STRING || s->states[i].type == DT_NONE)
            return err_set(e, ERR_UNSUPPORTED, "state '" STR_FMT "' of model " STR_FMT ": expected a type of numbers, "
                           "got %s", STR_ARG(s->states[i].input), STR_ARG(io->name), dtype_name(s->states[i].type));
        like[i] = tensor_make(s->states[i].type, &first, NULL);
    }
    err_code rc = block_new(&io->first, io, like, e);
    for (uint32_t i = 0; i < io->state_count && rc == ERR_OK; i++) {
        tensor *t = &io->first->of[i];
        str file = s->states[i].initial_count ? s->states[i].initial[0].file : (str){0};
        if (file.len) rc = initial_read(io, c, file, t, e);
        else memset(t->data, 0, tensor_bytes(t));
    }
    return rc;
}

/* ---- the model's tensors ----------------------------------------------------------------------------------------- */

static uint32_t input_of(const model *m, str name)
{
    for (uint32_t i = 0; i < model_input_count(m); i++)
        if (str_eq(model_input(m, i)->name, name)) return i;
    return NONE;
}

static uint32_t output_of(const model *m, str name)
{
    for (uint32_t i = 0; i < model_output_count(m); i++)
        if (str_eq(model_output(m, i)->name, name)) return i;
    return NONE;
}

static bool maps_make(sequence_io *io, const model_config *c, const model *m)
{
    uint32_t *in = arena_new(&io->memory, uint32_t, c->ios.input_count + 1);
    uint32_t *out = arena_new(&io->memory, uint32_t, c->ios.output_count + 1);
    io->states = arena_new(&io->memory, state, c->scheduling.sequence.state_count + 1);
    if (!in || !out || !io->states) return false;
    for (uint32_t i = 0; i < c->ios.input_count; i++) in[i] = input_of(m, c->ios.inputs[i].name);
    for (uint32_t i = 0; i < c->ios.output_count; i++) out[i] = output_of(m, c->ios.outputs[i].name);
    io->inputs = in;
    io->outputs = out;
    io->client_inputs = c->ios.input_count;
    for (uint32_t i = 0; i < io->state_count; i++) {
        const sequence_state *s = &c->scheduling.sequence.states[i];
        io->states[i] = (state){input_of(m, s->input), output_of(m, s->output), s->type, s->output};
    }
    for (size_t k = 0; k < CONTROL_COUNT; k++) {
        const sequence_control *from = &c->scheduling.sequence.control[k];
        io->controls[k] = (control){from->input.len ? input_of(m, from->input) : NONE, from->type, from->off, from->on};
    }
    return true;
}

/* The controls of a row that is no request. */
static bool empty_make(sequence_io *io)
{
    io->empty = arena_new(&io->memory, tensor, io->input_count + 1);
    for (size_t k = 0; k < CONTROL_COUNT && io->empty; k++) {
        const control *c = &io->controls[k];
        if (c->input == NONE) continue;
        tensor *t = &io->empty[c->input];
        *t = tensor_make(c->type, &io->control_shape, io->values.of[k].bytes);
        if (k != CONTROL_CORRID) tensor_put_f64(t, 0, c->off);
    }
    return io->empty != NULL;
}

err_code sequence_io_new(sequence_io **ret, const model_config *c, const model *m, err *e)
{
    CLEANUP(sequence_io) sequence_io *io = mem_new0(sequence_io, 1);
    if (!io) return err_set(e, ERR_NOMEM, "sequences: no memory for the model");
    arena_init(&io->memory, NULL, 0, MEMORY_MAX);
    io->memory.snug = true;
    if (c->scheduling.sequence.state_count > SEQUENCE_STATES_MAX)
        return err_set(e, ERR_LIMIT, "sequence_batching of model " STR_FMT ": expected at most %d states, got %zu",
                       STR_ARG(c->name), SEQUENCE_STATES_MAX, c->scheduling.sequence.state_count);
    io->name = c->name;
    io->input_count = model_input_count(m);
    io->state_count = (uint32_t)c->scheduling.sequence.state_count;
    io->control_shape = (shape){.rank = c->max_batch_size > 0 ? 2 : 1, .dim = {1, 1}};
    if (!maps_make(io, c, m) || !empty_make(io)) return err_set(e, ERR_NOMEM, "sequences: no memory for the model");
    err_code rc = first_make(io, c, e);
    if (rc == ERR_OK) *ret = TAKE(io);
    return rc;
}

void sequence_io_free(sequence_io *io)
{
    if (!io) return;
    sequence_block_release(io->first);
    arena_fini(&io->memory);
    mem_free(io);
}

uint32_t sequence_io_inputs(const sequence_io *io) { return io->input_count; }
const tensor *sequence_io_empty(const sequence_io *io) { return io->empty; }
uint32_t sequence_io_output(const sequence_io *io, uint32_t i) { return io->outputs[i]; }

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static err_code id_put(const sequence_io *io, const queue_item *client, sequence_values *values, tensor *to, err *e)
{
    static const uint64_t most[] = {[DT_U64] = UINT64_MAX, [DT_I64] = INT64_MAX, [DT_U32] = UINT32_MAX,
                                    [DT_I32] = INT32_MAX};
    const str text = client->sequence.text;
    uint64_t number = client->sequence.number;
    void *at = values->of[CONTROL_CORRID].bytes;
    to->data = at;
    if (to->type == DT_STRING) {
        if (!text.len) snprintf(values->number, sizeof values->number, "%llu", (unsigned long long)number);
        values->of[CONTROL_CORRID].text = text.len ? text : str_of(values->number);
        return ERR_OK;
    }
    if (text.len)
        return err_set(e, ERR_INVALID, "sequence_id: expected a number, as model '" STR_FMT "' takes it, got '" STR_FMT
                       "'", STR_ARG(io->name), STR_ARG(text));
    if (number > most[to->type])
        return err_set(e, ERR_INVALID, "sequence_id: expected at most %llu, as model '" STR_FMT "' takes it, got %llu",
                       (unsigned long long)most[to->type], STR_ARG(io->name), (unsigned long long)number);
    if (to->type == DT_U64 || to->type == DT_I64) values->of[CONTROL_CORRID].u64 = number;
    else memcpy(at, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
    return ERR_OK;
}

err_code sequence_io_fill(const sequence_io *io, const queue_item *client, const sequence_block *states,
                          sequence_values *values, tensor *to, err *e)
{
    const bool on[CONTROL_COUNT] = {[CONTROL_START] = client->sequence.start,
                                    [CONTROL_READY] = true,
                                    [CONTROL_END] = client->sequence.end};
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < io->client_inputs; i++) to[io->inputs[i]] = client->inputs[i];
    for (uint32_t i = 0; i < io->state_count; i++) to[io->states[i].input] = states->of[i];
    for (size_t k = 0; k < CONTROL_COUNT && rc == ERR_OK; k++) {
        const control *c = &io->controls[k];
        if (c->input == NONE) continue;
        tensor *t = &to[c->input];
        *t = tensor_make(c->type, &io->control_shape, values->of[k].bytes);
        if (k == CONTROL_CORRID) rc = id_put(io, client, values, t, e);
        else tensor_put_f64(t, 0, on[k] ? c->on : c->off);
    }
    return rc;
}

/* An output's type is known for certain only when it is there. */
static err_code written(const sequence_io *io, const queue_item *ran, uint32_t i, tensor *ret, err *e)
{
    const state *s = &io->states[i];
    *ret = queue_output(ran, s->output);
    if (ret->type == s->type) return ERR_OK;
    return err_set(e, ERR_UNSUPPORTED, "state '" STR_FMT "' of model " STR_FMT ": expected %s, got '%s'",
                   STR_ARG(s->name), STR_ARG(io->name), dtype_name(s->type), dtype_name(ret->type));
}

err_code sequence_io_keep(const sequence_io *io, const queue_item *ran, sequence_block **ret, err *e)
{
    tensor few[8], *like = few;
    if (io->state_count > COUNTOF(few) && !(like = mem_new0(tensor, io->state_count)))
        return err_set(e, ERR_NOMEM, "sequences: no memory for the states of one");
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < io->state_count && rc == ERR_OK; i++) rc = written(io, ran, i, &like[i], e);
    if (rc == ERR_OK) rc = block_new(ret, io, like, e);
    for (uint32_t i = 0; i < io->state_count && rc == ERR_OK; i++)
        if (like[i].data) memcpy((*ret)->of[i].data, like[i].data, tensor_bytes(&like[i]));
    if (like != few) mem_free(like);
    return rc;
}
