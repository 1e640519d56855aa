/* Every kind of attribute is read, with its type or, as before IR 2, by the field that is there; what contradicts
 * itself is refused by name; a Constant node means the tensor that its one attribute says. */
#include "engine/onnx_attr.h"
#include "test.h"

enum {
    NAME = 1, FLOAT = 2, INT = 3, STRING = 4, TENSOR = 5, GRAPH = 6, FLOATS = 7, INTS = 8, STRINGS = 9, TENSORS = 10,
    GRAPHS = 11, TYPE_PROTO = 14, TYPE = 20, REF = 21, SPARSE = 22, SPARSES = 23
};

static void start(buf *b, const char *name)
{
    buf_clear(b);
    pb_put_str(b, NAME, str_of(name));
}

static void tensor_put(buf *b, uint32_t field, float v)
{
    size_t at = pb_open(b, field);
    tensor t = tensor_make(DT_F32, &(shape){.rank = 0}, &v);
    onnx_tensor_write(b, &t, STR(""));
    pb_close(b, at);
}

/* [3] with v at 1. */
static void sparse_put(buf *b, uint32_t field, float v)
{
    int64_t index = 1;
    shape one = shape_make(1, &index);
    tensor values = tensor_make(DT_F32, &one, &v), indices = tensor_make(DT_I64, &one, &index);
    size_t sparse = pb_open(b, field), at = pb_open(b, 1);
    onnx_tensor_write(b, &values, STR(""));
    pb_close(b, at);
    at = pb_open(b, 2);
    onnx_tensor_write(b, &indices, STR(""));
    pb_close(b, at);
    pb_put_i64(b, 3, 3);
    pb_close(b, sparse);
}

static void value_put(buf *b, attr_kind kind)
{
    switch (kind) {
    case ATTR_FLOAT: pb_put_f32(b, FLOAT, 1.5f); break;
    case ATTR_INT: pb_put_i64(b, INT, INT64_MIN); break;
    case ATTR_STRING: pb_put_str(b, STRING, STR("a\xff")); break;
    case ATTR_TENSOR: tensor_put(b, TENSOR, 7); break;
    case ATTR_GRAPH: pb_put_bytes(b, GRAPH, "", 0); break;
    case ATTR_FLOATS:
        pb_put_f32(b, FLOATS, 1);
        pb_put_bytes(b, FLOATS, "\0\0\0\x40\0\0\x40\x40", 8);   /* packed: 2, 3 */
        break;
    case ATTR_INTS:
        pb_put_bytes(b, INTS, "\x01\x80\x01", 3);               /* packed: 1, 128 */
        pb_put_i64(b, INTS, -1);
        break;
    case ATTR_STRINGS:
        pb_put_str(b, STRINGS, STR("x"));
        pb_put_str(b, STRINGS, STR(""));
        break;
    case ATTR_TENSORS:
        tensor_put(b, TENSORS, 7);
        tensor_put(b, TENSORS, 8);
        break;
    case ATTR_GRAPHS:
        pb_put_bytes(b, GRAPHS, "", 0);
        pb_put_bytes(b, GRAPHS, "", 0);
        break;
    case ATTR_TYPE: pb_put_bytes(b, TYPE_PROTO, "\x0a\0", 2); break;
    default: INVARIANT(!"a kind");
    }
}

static void value_check(const attr *a)
{
    switch (a->kind) {
    case ATTR_FLOAT: CHECK(a->f == 1.5f); break;
    case ATTR_INT: CHECK(a->i == INT64_MIN); break;
    case ATTR_STRING: CHECK(str_is(a->s, "a\xff")); break;
    case ATTR_TENSOR: CHECK(*(const float *)a->t->data == 7); break;
    case ATTR_FLOATS: CHECK(a->count == 3 && a->floats[0] == 1 && a->floats[1] == 2 && a->floats[2] == 3); break;
    case ATTR_INTS: CHECK(a->count == 3 && a->ints[0] == 1 && a->ints[1] == 128 && a->ints[2] == -1); break;
    case ATTR_STRINGS: CHECK(a->count == 2 && str_is(a->strings[0], "x") && a->strings[1].len == 0); break;
    case ATTR_TENSORS: CHECK(a->count == 2 && *(const float *)a->tensors[1].data == 8); break;
    case ATTR_TYPE: CHECK_U64(a->s.len, 2); break;
    default: break;
    }
}

/* Both steps, as the loader takes them. */
static err_code read_bytes(const void *bytes, size_t len, arena *m, attr *ret, onnx_attr *raw, err *e)
{
    pb message;
    onnx_tensor_opts o = {.memory = m, .dense_max = 1000};
    pb_init(&message, bytes, len);
    err_code rc = onnx_attr_parse(raw, message, m, e);
    return rc ? rc : onnx_attr_read(ret, raw, &o, e);
}

static err_code read_attr(const buf *b, arena *m, attr *ret, onnx_attr *raw, err *e)
{
    return read_bytes(b->p, b->len, m, ret, raw, e);
}

static void every_kind_is_read_with_and_without_its_type(void)
{
    buf b;
    arena m;
    buf_init(&b, 4096);
    arena_init(&m, NULL, 0, 1 << 16);
    for (int kind = ATTR_FLOAT; kind <= ATTR_TYPE; kind++) {
        for (int typed = 0; typed < 3; typed++) {
            attr a = {0};
            onnx_attr raw;
            err e = {0};
            int64_t number = kind == ATTR_TYPE ? 13 : kind;
            start(&b, "k");
            if (typed == 1) pb_put_i64(&b, TYPE, number);   /* the fields of a message come in any order */
            value_put(&b, (attr_kind)kind);
            if (typed == 2) pb_put_i64(&b, TYPE, number);
            err_code rc = read_attr(&b, &m, &a, &raw, &e);
            CHECK_STR(rc ? e.text : "", "");
            CHECK(str_is(a.name, "k") && a.kind == (attr_kind)kind && !raw.sparse && !raw.refers_to.len);
            CHECK_U64(raw.graph_count, kind == ATTR_GRAPH ? 1 : kind == ATTR_GRAPHS ? 2 : 0);
            if (!rc) value_check(&a);
        }
    }
    arena_fini(&m);
    buf_fini(&b);
}

static void sparse_tensors_come_dense(void)
{
    static const float want[3] = {0, 4, 0};
    buf b;
    arena m;
    attr a = {0};
    onnx_attr raw;
    err e = {0};
    buf_init(&b, 4096);
    arena_init(&m, NULL, 0, 1 << 16);
    for (int typed = 0; typed < 2; typed++) {
        start(&b, "k");
        sparse_put(&b, SPARSE, 4);
        if (typed) pb_put_i64(&b, TYPE, 11);
        CHECK(read_attr(&b, &m, &a, &raw, &e) == ERR_OK && a.kind == ATTR_TENSOR && raw.sparse);
        CHECK(tensor_count(a.t) == 3 && memcmp(a.t->data, want, sizeof want) == 0);
        start(&b, "k");
        sparse_put(&b, SPARSES, 3);
        sparse_put(&b, SPARSES, 4);
        if (typed) pb_put_i64(&b, TYPE, 12);
        CHECK(read_attr(&b, &m, &a, &raw, &e) == ERR_OK && a.kind == ATTR_TENSORS && a.count == 2);
        CHECK(memcmp(a.tensors[1].data, want, sizeof want) == 0);
    }
    arena_fini(&m);
    buf_fini(&b);
}

static void refuse(const buf *b, err_code code, const char *text)
{
    arena m;
    attr a;
    onnx_attr raw;
    err e = {0};
    arena_init(&m, NULL, 0, 1 << 16);
    CHECK(read_attr(b, &m, &a, &raw, &e) == code);
    CHECK_STR(e.text, text);
    arena_fini(&m);
}

static void what_contradicts_itself_is_refused_by_name(void)
{
    buf b;
    buf_init(&b, 4096);
    start(&b, "k");
    refuse(&b, ERR_INVALID, "attribute 'k': expected a value, got none");
    pb_put_i64(&b, TYPE, 99);
    refuse(&b, ERR_UNSUPPORTED, "attribute 'k': type 99: not implemented");
    start(&b, "k");
    pb_put_i64(&b, TYPE, ATTR_TENSOR);
    refuse(&b, ERR_INVALID, "attribute 'k': expected one tensor, got 0");
    tensor_put(&b, TENSOR, 1);
    tensor_put(&b, TENSOR, 1);
    refuse(&b, ERR_INVALID, "attribute 'k': expected one tensor, got 2");
    start(&b, "k");
    pb_put_bytes(&b, TENSOR, "\x10\x63", 2);
    refuse(&b, ERR_UNSUPPORTED, "attribute 'k': tensor '': data type 99: not implemented");
    start(&b, "k");
    pb_put_i64(&b, TYPE, ATTR_INT);
    pb_put_bytes(&b, GRAPH, "", 0);
    refuse(&b, ERR_INVALID, "attribute 'k': holds a graph that its type denies");
    start(&b, "k");
    pb_put_bytes(&b, GRAPH, "", 0);
    pb_put_bytes(&b, GRAPH, "", 0);
    refuse(&b, ERR_INVALID, "attribute 'k': expected one graph, got 2");
    pb_put_str(&b, REF, STR("r"));   /* which may be a string: the graph would be read as one */
    refuse(&b, ERR_INVALID, "attribute 'k': refers to 'r' and holds a graph");
    start(&b, "\xff");
    refuse(&b, ERR_INVALID, "AttributeProto: byte 2: field 1: string: expected UTF-8, got other bytes");
    start(&b, "k");
    pb_put_bytes(&b, INTS, "\x80", 1);
    refuse(&b, ERR_INVALID,
           "attribute 'k': AttributeProto: byte 5: field 8: truncated: the message ends inside a value");
    start(&b, "k");
    pb_put_str(&b, FLOAT, STR("1.5"));
    refuse(&b, ERR_INVALID, "attribute 'k': AttributeProto: byte 5: field 2: expected a fixed32, got bytes");
    buf_fini(&b);
}

static void every_cut_is_refused_or_harmless(void)
{
    buf b;
    buf_init(&b, 4096);
    for (int kind = ATTR_FLOAT; kind <= ATTR_TYPE; kind++) {
        start(&b, "k");
        value_put(&b, (attr_kind)kind);
        for (size_t cut = 0; cut < b.len; cut++) {
            char *copy = mem_alloc0(1, cut);   /* of just that size: ASan sees a read past it */
            arena m;
            attr a = {0};
            onnx_attr raw;
            err e;
            memcpy(copy, b.p, cut);
            arena_init(&m, NULL, 0, 1 << 16);
            if (read_bytes(copy, cut, &m, &a, &raw, &e) == ERR_OK) CHECK(a.kind == (attr_kind)kind);
            arena_fini(&m);
            mem_free(copy);
        }
    }
    buf_fini(&b);
}

/* ---- Constant ---------------------------------------------------------------------------------------------------- */

static err_code constant_of(attr *a, uint32_t count, arena *m, value *ret, err *e)
{
    value_id out = 0;
    value v = {.name = STR("v")};
    graph g = {.values = &v, .value_count = 1, .memory = m};
    node n = {.name = STR("c"), .op = STR("Constant"), .opset = 13, .attr_count = count, .attrs = a, .out_count = 1,
              .out = &out};
    err_code rc = onnx_constant(&g, &n, e);
    *ret = v;
    return rc;
}

static void a_constant_is_what_its_attribute_says(void)
{
    static const float floats[] = {1, 2};
    static const int64_t ints[] = {3, 4, 5};
    static const str strings[] = {{"a", 1}, {"b", 1}}, six = {"six", 3};
    const float seven = 7;
    const tensor t = tensor_make(DT_F32, &(shape){.rank = 0}, (void *)(uintptr_t)&seven);
    attr rows[] = {
        {.name = STR("value"), .kind = ATTR_TENSOR, .t = &t},
        {.name = STR("value_float"), .kind = ATTR_FLOAT, .f = 7},
        {.name = STR("value_floats"), .kind = ATTR_FLOATS, .count = 2, .floats = floats},
        {.name = STR("value_int"), .kind = ATTR_INT, .i = -6},
        {.name = STR("value_ints"), .kind = ATTR_INTS, .count = 3, .ints = ints},
        {.name = STR("value_string"), .kind = ATTR_STRING, .s = six},
        {.name = STR("value_strings"), .kind = ATTR_STRINGS, .count = 2, .strings = strings},
        {.name = STR("value_ints"), .kind = ATTR_INTS, .count = 0, .ints = ints},
    };
    const struct { dtype type; uint32_t rank; uint64_t count; const void *data; } want[] = {
        {DT_F32, 0, 1, (const float[]){7}}, {DT_F32, 0, 1, (const float[]){7}}, {DT_F32, 1, 2, floats},
        {DT_I64, 0, 1, (const int64_t[]){-6}}, {DT_I64, 1, 3, ints}, {DT_STRING, 0, 1, &six},
        {DT_STRING, 1, 2, strings}, {DT_I64, 1, 0, NULL}};
    arena m;
    err e = {0};
    arena_init(&m, NULL, 0, 1 << 16);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        value v;
        CHECK(constant_of(&rows[i], 1, &m, &v, &e) == ERR_OK);
        CHECK(v.from == VALUE_CONST && v.type == want[i].type && v.ranked && v.declared.rank == want[i].rank);
        CHECK(v.init && tensor_count(v.init) == want[i].count);
        if (v.init && want[i].count) CHECK(memcmp(v.init->data, want[i].data, tensor_bytes(v.init)) == 0);
    }
    arena_fini(&m);
}

static void a_constant_without_one_value_is_refused(void)
{
    attr two[] = {{.name = STR("value_int"), .kind = ATTR_INT}, {.name = STR("value_float"), .kind = ATTR_FLOAT}};
    attr other = {.name = STR("value"), .kind = ATTR_TYPE};
    arena m;
    value v;
    err e = {0};
    arena_init(&m, NULL, 0, 1 << 16);
    for (uint32_t count = 0; count < 3; count += 2) {
        CHECK(constant_of(two, count, &m, &v, &e) == ERR_INVALID);
        CHECK_STR(e.text, "node 'c' (Constant, ai.onnx 13): expected one attribute with the value and one output");
    }
    CHECK(constant_of(&other, 1, &m, &v, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "node 'c' (Constant, ai.onnx 13): attribute 'value': not implemented");
    arena_fini(&m);
}

static void every_failed_allocation_is_said(void)
{
    buf b;
    err e;
    buf_init(&b, 4096);
    for (int kind = ATTR_FLOAT; kind <= ATTR_TYPE; kind++) {
        start(&b, "k");
        value_put(&b, (attr_kind)kind);
        FAULT_SWEEP({
            arena m;
            attr a;
            value v;
            onnx_attr raw;
            arena_init(&m, NULL, 0, 1 << 16);
            err_code rc = read_attr(&b, &m, &a, &raw, &e);
            CHECK(rc == ERR_OK || (rc == ERR_NOMEM && e.text[0]));
            a.name = STR("value");
            if (!rc) rc = constant_of(&a, 1, &m, &v, &e);
            CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_UNSUPPORTED);
            arena_fini(&m);
        });
    }
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_kind_is_read_with_and_without_its_type),
        TEST(sparse_tensors_come_dense),
        TEST(what_contradicts_itself_is_refused_by_name),
        TEST(every_cut_is_refused_or_harmless),
        TEST(a_constant_is_what_its_attribute_says),
        TEST(a_constant_without_one_value_is_refused),
        TEST(every_failed_allocation_is_said),
    };
    return test_main(cases, COUNTOF(cases));
}
