#include "serve/trace_entry.h"

#include "base/mem.h"
#include "os/clock.h"
#include "wire/decimal.h"
#include "wire/json_text.h"

#include <math.h>
#include <string.h>

enum { ALIGN = 16 };   /* of each piece of data: the largest element */

trace_entry *trace_entry_new(quota *memory)
{
    if (!quota_take(memory, sizeof(trace_entry))) return NULL;
    trace_entry *t = mem_new0(trace_entry, 1);
    if (!t) {
        quota_give(memory, sizeof(trace_entry));
        return NULL;
    }
    t->memory = memory;
    t->taken = sizeof *t;
    return t;
}

void trace_entry_free(trace_entry *t)
{
    if (!t) return;
    quota_give(t->memory, t->taken);
    step_times_free(t->steps);
    mem_free(t->texts);
    mem_free(t->data);
    mem_free(t);
}

/* ---- copies ---- */

/* Pieces are laid one behind the other, twice: first to add up their bytes (p == NULL), then into memory. */
typedef struct {
    uint8_t *p;
    size_t at;
    bool over;
} layout;

static void *lay(layout *l, const void *from, size_t bytes)
{
    size_t room = round_up(bytes, ALIGN);
    uint8_t *to = l->p ? l->p + l->at : NULL;
    if (room < bytes || __builtin_add_overflow(l->at, room, &l->at)) l->over = true;
    if (to && bytes) memcpy(to, from, bytes);
    return to;
}

static str lay_text(layout *l, str s) { return (str){lay(l, s.p, s.len), s.len}; }

static void *room_take(trace_entry *t, const layout *l)
{
    void *p = NULL;
    if (!l->over && quota_take(t->memory, l->at)) {
        t->taken += l->at;
        p = mem_alloc_raw(l->at ? l->at : 1);
    }
    t->lost = t->lost || !p;
    return p;
}

static void lay_tensor(layout *l, trace_tensor *to, const tensor *from, str name, bool output)
{
    const str *strings = from->data;
    uint64_t count = tensor_count(from);
    trace_tensor one = {.t = *from, .output = output, .name = lay_text(l, name)};
    str *copies = lay(l, from->data, from->data ? tensor_bytes(from) : 0);
    one.t.data = copies;
    for (uint64_t i = 0; from->type == DT_STRING && strings && i < count; i++) {
        str s = lay_text(l, strings[i]);
        if (copies) copies[i] = s;
    }
    if (to) *to = one;
}

/* Those that were asked for and are the model's own. */
static bool is_shown(const infer *r, uint32_t i, uint32_t *ret_output)
{
    *ret_output = r->want_count ? r->wants[i].output : i;
    return *ret_output < served_output_count(r->model);
}

static uint32_t outputs_of(const infer *r)
{
    uint32_t n = r->want_count ? r->want_count : served_output_count(r->model), count = 0, k;
    for (uint32_t i = 0; r->item.source && i < n; i++) count += is_shown(r, i, &k);
    return count;
}

static void lay_tensors(layout *l, const infer *r, uint32_t inputs, uint32_t outputs)
{
    const served *m = r->model;
    trace_tensor *to = lay(l, NULL, 0);
    l->at += (size_t)(inputs + outputs) * sizeof *to;
    l->at = round_up(l->at, ALIGN);
    for (uint32_t i = 0; i < inputs; i++)
        lay_tensor(l, to ? to + i : NULL, &r->inputs[i], served_input(m, i)->name, false);
    for (uint32_t i = 0, n = 0, k; n < outputs; i++) {
        if (!is_shown(r, i, &k)) continue;
        tensor t = queue_output(&r->item, k);
        lay_tensor(l, to ? to + inputs + n : NULL, &t, served_output(m, k)->name, true);
        n++;
    }
}

void trace_entry_ran(trace_entry *t, const infer *r)
{
    uint32_t inputs = r->inputs ? served_input_count(r->model) : 0, outputs = outputs_of(r);
    layout l = {.p = NULL};
    t->at_ns[TRACE_AT_QUEUE_START] = r->item.since_ns;
    if (!(t->sample.level & TRACE_TENSORS)) return;
    INVARIANT(!t->data);
    lay_tensors(&l, r, inputs, outputs);
    t->data = room_take(t, &l);
    if (!t->data) return;
    l = (layout){.p = t->data};
    lay_tensors(&l, r, inputs, outputs);
    t->tensors = t->data;
    t->tensor_count = inputs + outputs;
}

/* Writing is the model's output, as in V2's statistics; inputs are used where they lie, so copying them takes no
 * time. */
static void times_read(trace_entry *t, const infer *r)
{
    const infer_times *at = &r->times;
    const queue_item *run = &r->item;
    uint64_t *to = t->at_ns;
    to[TRACE_AT_RECV_END] = to[TRACE_AT_REQUEST_START] = at->since;
    if (!to[TRACE_AT_RECV_START]) to[TRACE_AT_RECV_START] = at->since;
    if (run->end_ns) {
        to[TRACE_AT_COMPUTE_START] = to[TRACE_AT_COMPUTE_INPUT_END] = run->start_ns;
        to[TRACE_AT_COMPUTE_OUTPUT_START] = run->end_ns;
        to[TRACE_AT_COMPUTE_END] = at->write_until ? at->write_until : run->end_ns;
    }
    if (r->failure.code == ERR_OK) to[TRACE_AT_RESPONSE_COMPLETE] = at->write_until;
    to[TRACE_AT_REQUEST_END] = to[TRACE_AT_SEND_START] = clock_now_ns();
}

static void lay_texts(layout *l, trace_entry *t, const infer *r)
{
    t->model = lay_text(l, r->model->name);
    t->version = lay_text(l, r->model->version);
    t->request_id = lay_text(l, r->id);
}

static void steps_read(trace_entry *t, const infer *r)
{
    step_times *steps = r->item.run && (t->sample.level & TRACE_TIMESTAMPS) ? step_times_new(&r->item) : NULL;
    size_t bytes = step_times_bytes(steps);
    bool ok = quota_take(t->memory, bytes);
    if (ok) t->taken += bytes;
    else t->lost = true;
    t->steps = ok ? steps : NULL;
    if (!ok) step_times_free(steps);
}

void trace_entry_answer(trace_entry *t, const infer *r)
{
    layout l = {.p = NULL};
    INVARIANT(!t->texts);
    t->grpc = r->protocol->counted == METRIC_GRPC || r->protocol->counted == METRIC_STREAM;
    times_read(t, r);
    steps_read(t, r);
    lay_texts(&l, t, r);
    t->texts = room_take(t, &l);
    l = (layout){.p = t->texts};
    lay_texts(&l, t, r);
}

/* ---- into text ---- */

typedef struct {
    buf *out;
    trace_spill *spill;
    void *ctx;
} sink;

static void settle(const sink *s)
{
    if (s->out->len >= TRACE_SPILL_BYTES) s->spill(s->ctx, s->out);
}

/* So much of it as ends between two characters. */
static str piece_of(str s)
{
    size_t n = s.len < TRACE_PIECE_BYTES ? s.len : TRACE_PIECE_BYTES;
    for (int i = 0; i < 3 && n < s.len && ((uint8_t)s.p[n] & 0xC0) == 0x80; i++) n--;
    return (str){s.p, n};
}

/* A JSON text inside of one: what json_text_put() writes, without the quotes around it, and that once more. */
static void inner_put(const sink *s, str text)
{
    buf plain, quoted;
    buf_init(&plain, (size_t)8 * TRACE_PIECE_BYTES);
    buf_init(&quoted, (size_t)16 * TRACE_PIECE_BYTES);
    while (text.len) {
        str piece = piece_of(text);
        buf_clear(&plain);
        buf_clear(&quoted);
        json_text_put(&plain, piece);
        if (!plain.full) json_text_put(&quoted, (str){(const char *)plain.p + 1, plain.len - 2});
        if (plain.full || quoted.full) s->out->full = true;
        else buf_put(s->out, quoted.p + 1, quoted.len - 2);
        settle(s);
        text = (str){text.p + piece.len, text.len - piece.len};
    }
    buf_fini(&plain);
    buf_fini(&quoted);
}

static void float_put(buf *out, uint64_t bits, const decimal_format *f, double v)
{
    char text[DECIMAL_TEXT_MAX];
    decimal d;
    if (!isfinite(v)) {   /* as streams of C++ write them */
        buf_put_z(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    decimal_shortest(bits, f, &d);
    buf_put(out, text, decimal_print(text, &d));
}

#define ELEMENT(type) __extension__({ type v_; memcpy(&v_, (const type *)t->data + i, sizeof v_); v_; })

static void number_put(buf *out, const tensor *t, uint64_t i)
{
    dtype_kind kind = dtype_kind_of(t->type);
    char text[DECIMAL_TEXT_MAX];
    if (kind != KIND_FLOAT) {
        size_t len = t->type == DT_U64 ? decimal_print_u64(text, ELEMENT(uint64_t))
                                       : decimal_print_i64(text, tensor_int(t, i));
        buf_put(out, text, len);
        return;
    }
    if (t->type == DT_F32) float_put(out, ELEMENT(uint32_t), &decimal_f32, tensor_f64(t, i));
    else if (t->type == DT_F16) float_put(out, ELEMENT(uint16_t), &decimal_f16, tensor_f64(t, i));
    else if (t->type == DT_BF16) float_put(out, ELEMENT(uint16_t), &decimal_bf16, tensor_f64(t, i));
    else {
        double v = tensor_f64(t, i);
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        float_put(out, bits, &decimal_f64, v);
    }
}

/* Elements with commas between them; strings in quotes.  Complex numbers, which V2 has not, are left out. */
static void data_put(const sink *s, const tensor *t)
{
    const str *strings = t->data;
    uint64_t count = tensor_count(t);
    if (!t->data || dtype_kind_of(t->type) == KIND_COMPLEX) return;
    for (uint64_t i = 0; i < count; i++) {
        if (i) buf_put_byte(s->out, ',');
        if (t->type != DT_STRING) {
            number_put(s->out, t, i);
        } else {
            buf_put_z(s->out, "\\\"");
            inner_put(s, strings[i]);
            buf_put_z(s->out, "\\\"");
        }
        settle(s);
    }
}

static void tensor_put(const sink *s, uint64_t id, const trace_tensor *t)
{
    const char *type = dtype_v2_name(t->t.type);
    buf_printf(s->out, ",{\"id\":%llu,\"activity\":\"%s\",\"tensor\":{\"name\":", (unsigned long long)id,
               t->output ? "TENSOR_BACKEND_OUTPUT" : "TENSOR_QUEUE_INPUT");
    json_text_put(s->out, t->name);
    buf_put_z(s->out, ",\"data\":\"");
    data_put(s, &t->t);
    buf_put_z(s->out, "\",\"shape\":\"");
    for (uint32_t d = 0; d < t->t.shape.rank; d++)
        buf_printf(s->out, d ? ",%lld" : "%lld", (long long)t->t.shape.dim[d]);
    buf_printf(s->out, "\",\"dtype\":\"%s\"}}", type ? type : dtype_name(t->t.type));
    settle(s);
}

static void tensors_put(const sink *s, const trace_entry *t, bool output)
{
    for (uint32_t i = 0; i < t->tensor_count; i++)
        if (t->tensors[i].output == output) tensor_put(s, t->id, &t->tensors[i]);
}

static void model_put(const sink *s, uint64_t id, str name, str version)
{
    uint64_t number;
    bool numbered = str_u64(version, &number) && number <= INT64_MAX;
    buf_printf(s->out, "{\"id\":%llu,\"model_name\":", (unsigned long long)id);
    json_text_put(s->out, name);
    if (numbered) buf_printf(s->out, ",\"model_version\":%llu", (unsigned long long)number);
    else buf_put_z(s->out, ",\"model_version\":-1");
}

static void time_put(const sink *s, uint64_t id, const char *name, uint64_t ns)
{
    if (!ns) return;
    buf_printf(s->out, ",{\"id\":%llu,\"timestamps\":[{\"name\":\"%s\",\"ns\":%llu}]}", (unsigned long long)id, name,
               (unsigned long long)ns);
}

/* A trace of its own, with the request's, or the step's that asked for it, as its parent. */
static void step_put(const sink *s, const step_time *of, uint64_t id, uint64_t parent)
{
    buf_put_byte(s->out, ',');
    model_put(s, id, of->model, of->version);
    buf_printf(s->out, ",\"parent_id\":%llu}", (unsigned long long)parent);
    time_put(s, id, "REQUEST_START", of->since_ns);
    time_put(s, id, "QUEUE_START", of->since_ns);
    time_put(s, id, "COMPUTE_START", of->start_ns);
    time_put(s, id, "COMPUTE_INPUT_END", of->start_ns);
    time_put(s, id, "COMPUTE_OUTPUT_START", of->end_ns);
    time_put(s, id, "COMPUTE_END", of->end_ns);
    time_put(s, id, "REQUEST_END", step_time_end(of));
    settle(s);
}

static void steps_put(const sink *s, const trace_entry *t)
{
    uint64_t ids[STEP_TIMES_DEPTH_MAX];
    for (uint32_t i = 0; t->steps && i < t->steps->count; i++) {
        const step_time *of = &t->steps->all[i];
        ids[of->depth] = t->steps_id + i;
        step_put(s, of, ids[of->depth], of->depth ? ids[of->depth - 1] : t->id);
    }
}

static void head_put(const sink *s, const trace_entry *t)
{
    model_put(s, t->id, t->model, t->version);
    if (t->request_id.len) {
        buf_put_z(s->out, ",\"request_id\":");
        json_text_put(s->out, t->request_id);
    }
    buf_put_byte(s->out, '}');
}

void trace_entry_print(const trace_entry *t, buf *out, trace_spill *spill, void *ctx)
{
    static const char *const names[TRACE_EVENTS][2] = {
#define X(id, rest, grpc) {rest, grpc},
        TRACE_EVENTS_LIST(X)
#undef X
    };
    const sink s = {out, spill, ctx};
    uint64_t last_ns = 0;
    head_put(&s, t);
    for (size_t i = 0; i < TRACE_EVENTS; i++) {
        const char *name = t->grpc && names[i][1] ? names[i][1] : names[i][0];
        if (i == TRACE_AT_COMPUTE_START) tensors_put(&s, t, false);
        if (i == TRACE_AT_COMPUTE_END) tensors_put(&s, t, true);
        if (!(t->sample.level & TRACE_TIMESTAMPS) || !t->at_ns[i]) continue;
        if (t->at_ns[i] > last_ns) last_ns = t->at_ns[i];   /* a loop's clock may be behind: tools want an order */
        time_put(&s, t->id, name, last_ns);
    }
    settle(&s);
    steps_put(&s, t);
}
