/* Any bytes as a ModelInferRequest: what is accepted is what a naive reader finds in it, and the answer's tensors are
 * the request's again, for the model gives back what it gets; alone and in a stream. */
#include "naive.h"
#include "serve/v2_pb.h"
#include "serve_rig.h"
#include "v2_pb_text.h"

#include <string.h>

static serve_rig rig;

static void once(void)
{
    onnx_build b;
    if (rig.served.model) return;
    serve_rig_four(&b);
    serve_rig_start(&rig, &b);
}

static str field(pb m, uint32_t number)   /* the last one of that number */
{
    pb_field f;
    str s = STR("");
    while (pb_next(&m, &f))
        if (f.number == number) s = pb_bytes(&m, &f);
    return s;
}

/* Typed contents of f, i, s and b, one element after the other. */
static void check_typed(pb m, const tensor *t)
{
    static const uint32_t numbers[] = {[DT_F32] = 6, [DT_I64] = 3, [DT_STRING] = 8, [DT_BOOL] = 1};
    pb_field f;
    size_t i = 0;
    while (pb_next(&m, &f)) {
        if (f.number != numbers[t->type]) continue;
        if (t->type == DT_STRING) {
            INVARIANT(str_eq(((const str *)t->data)[i++], pb_bytes(&m, &f)));
            continue;
        }
        pb_type item = t->type == DT_F32 ? PB_FIXED32 : PB_VARINT;
        uint64_t v;
        for (pb it = pb_items(&m, &f, item); pb_item(&it, item, &v); i++) {
            INVARIANT(i < tensor_count(t));
            uint32_t bits = (uint32_t)v;
            if (t->type == DT_F32) INVARIANT(memcmp((const float *)t->data + i, &bits, 4) == 0);
            if (t->type == DT_I64) INVARIANT(((const uint64_t *)t->data)[i] == v);
            if (t->type == DT_BOOL) INVARIANT(((const bool *)t->data)[i] == (v != 0));
        }
    }
    INVARIANT(i == tensor_count(t));
}

static void check_inputs(str message)
{
    str raw[4];
    pb m;
    pb_field f;
    size_t raws = 0, inputs = 0;
    for (pb_init(&m, message.p, message.len); pb_next(&m, &f);) {
        if (f.number != 7) continue;
        INVARIANT(raws < COUNTOF(raw));
        raw[raws++] = pb_bytes(&m, &f);
    }
    for (pb_init(&m, message.p, message.len); pb_next(&m, &f);) {
        if (f.number != 5) continue;
        int32_t index = infer_input_index(&rig.request, field(pb_sub(&m, &f), 1));
        INVARIANT(index >= 0);
        const tensor *t = &rig.request.inputs[index];
        INVARIANT(str_is(field(pb_sub(&m, &f), 2), dtype_v2_name(t->type)));
        str contents = field(pb_sub(&m, &f), 5);
        pb c;
        pb_init(&c, contents.p, contents.len);
        if (raws) naive_compare_raw(raw[inputs], t);
        else check_typed(c, t);
        inputs++;
    }
    INVARIANT(inputs == 4 && (raws == 0 || raws == 4));
}

/* Output k of the model is its input k: the bytes of the answer are those that the tensors make. */
static void check_answer(str message)
{
    pb m;
    pb_field f;
    str raw[4];
    size_t outputs = 0, raws = 0;
    for (pb_init(&m, message.p, message.len); pb_next(&m, &f);) {
        INVARIANT(f.number != 6 || raws < COUNTOF(raw));
        if (f.number == 6) raw[raws++] = pb_bytes(&m, &f);
    }
    for (pb_init(&m, message.p, message.len); pb_next(&m, &f);) {
        if (f.number != 5) continue;
        int32_t index = infer_output_index(&rig.request, field(pb_sub(&m, &f), 1));
        INVARIANT(index >= 0);
        const tensor *t = &rig.request.inputs[index];
        str contents = field(pb_sub(&m, &f), 5);
        pb c;
        pb_init(&c, contents.p, contents.len);
        bool classes = rig.request.wants[outputs].classes > 0;   /* strings: another tensor */
        if (!classes && raws) naive_compare_raw(raw[outputs], t);
        else if (!classes) check_typed(c, t);
        outputs++;
    }
    INVARIANT(outputs == rig.request.want_count && (raws == 0 || raws == outputs));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static buf text;
    v2_pb_target target;
    err e;
    str message = {(const char *)data, size};
    once();
    if (!text.p) buf_init(&text, 1 << 22);
    if (size > 65536 || v2_pb_target_read(message, &target, &e)) return 0;
    INVARIANT(target.read_bytes <= size);
    if (!serve_rig_ask_message(&rig, &v2_pb_protocol, message)) {
        check_inputs((str){(const char *)rig.body, size});
        check_answer(rig.tail);
        buf_clear(&text);
        v2_pb_text(&text, rig.tail);
        INVARIANT(!serve_rig_ask_message(&rig, &v2_pb_stream_protocol, message));
        v2_pb_stream_text(&text, rig.tail);
    }
    serve_rig_forget(&rig);
    return 0;
}
