/* A model is batched only where each row of its first dimension is computed as if alone: what is proven is checked by
 * running rows together and one by one, and what mixes rows is never proven. */
#include "engine/batch_axis.h"

#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

/* Nodes are "Op|inputs|outputs|attributes", separated by ';'.  Inputs: "NAME:TYPE:DIMS", the same way. */
typedef struct {
    int opset;
    const char *inputs, *nodes, *out;
    bool proven;
} sample;

#define X "x:f:N,4"
#define IMAGE "x:f:N,3,8,8"
#define SEQ "x:f:N,S,4"

static const sample samples[] = {
    /* element by element */
    {13, X, "Relu|x|y|", "y", true},
    {13, X, "Add|x,c4|y|", "y", true},
    {13, X, "Add|x,c14|y|", "y", true},
    {13, X ";z:f:N,4", "Mul|x,z|p|;Sub|p,x|y|", "y", true},
    {13, X ";z:f:N,1", "Mul|x,z|y|", "y", true},
    {13, "x:f:N,1,4;z:f:N,4", "Add|x,z|y|", "y", false},   /* z's rows meet all of x's */
    {13, X, "Add|x,c74|y|", "y", false},
    {13, X, "Where|m,x,c4|y|", "y", true},
    /* one axis */
    {13, X, "Softmax|x|y|axis=1", "y", true},
    {13, X, "Softmax|x|y|axis=0", "y", false},
    {13, X, "Softmax|x|y|axis=-1", "y", true},
    {12, X, "Softmax|x|y|", "y", true},
    {12, "x:f:N,3,4", "Softmax|x|y|axis=2", "y", true},
    {12, "x:f:N,3,4", "Softmax|x|y|axis=0", "y", false},
    {13, X, "ReduceMean|x|y|axes=[1]", "y", true},
    {13, X, "ReduceMean|x|s|axes=[0];Sub|x,s|y|", "y", false},
    {13, X, "ReduceMean|x|s|;Sub|x,s|y|", "y", false},
    {13, X, "ReduceSum|x,one|y|", "y", true},
    {13, X, "ReduceSum|x,zero|s|;Sub|x,s|y|", "y", false},
    {13, X, "ReduceSum|x|y|noop_with_empty_axes=1", "y", true},
    {13, X, "ArgMax|x|y|axis=1", "y", true},
    {13, X, "ArgMax|x|s|;Cast|s|c|to=1;Add|x,c|y|", "y", false},
    {13, X, "CumSum|x,one|y|", "y", true},
    {13, X, "CumSum|x,zero|y|", "y", false},
    {13, X, "CumSum|x,most|y|", "y", false},   /* an axis that lies nowhere, as only a run would say */
    {13, X, "CumSum|x,least|y|", "y", false},
    {13, X, "TopK|x,two|y,i|", "y", true},
    {13, X, "TopK|x,two|t,i|axis=0;ReduceSum|t|s|;Add|x,s|y|", "y", false},
    {13, X, "Split|x,halves|y,z|axis=1", "y", true},
    {13, X, "Concat|x,x|y|axis=1", "y", true},
    {13, X, "Concat|x,x|y|axis=0", "y", false},
    {17, X, "LayerNormalization|x,c4|y|", "y", true},
    {17, X, "LayerNormalization|x,c14|y|axis=0", "y", false},
    {13, "x:f:N,3,4,4", "MeanVarianceNormalization|x|y|", "y", false},
    {13, "x:f:N,3,4,4", "MeanVarianceNormalization|x|y|axes=[2,3]", "y", true},
    /* products */
    {13, X, "MatMul|x,w|y|", "y", true},
    {13, SEQ, "MatMul|x,w|y|", "y", true},
    {13, SEQ, "Transpose|x|t|perm=[0,2,1];MatMul|x,t|y|", "y", true},
    {13, X, "Transpose|x|t|;MatMul|x,t|s|;ReduceSum|s,one|r|;Add|x,r|y|", "y", false},
    {13, X, "Transpose|x|t|;MatMul|w,t|p|;Transpose|p|y|", "y", false},   /* would be right, is not claimed */
    {13, X, "Gemm|x,w,c4|y|", "y", true},
    {13, X, "Gemm|x,w,x|y|", "y", true},
    {13, X, "Gemm|x,x|s|transB=1;ReduceSum|s,one|r|;Add|x,r|y|", "y", false},
    {13, X, "Gemm|x,x|s|transA=1;MatMul|x,s|y|", "y", false},
    /* images */
    {13, IMAGE, "Conv|x,k|c|pads=[1,1,1,1];MaxPool|c|p|kernel_shape=[2,2];GlobalAveragePool|p|g|;Flatten|g|y|",
     "y", true},
    {13, IMAGE, "MaxPool|x|p,i|kernel_shape=[2,2];Cast|i|c|to=1;Add|p,c|y|", "y", false},
    {13, IMAGE, "Pad|x,pads|y|", "y", true},
    {13, IMAGE, "Pad|x,turn|y|", "y", false},
    {13, IMAGE, "Resize|x,,twice|y|", "y", true},
    {13, "x:f:N,3,H,W",
     "Shape|x|d|;Slice|d,zero,two|h|;Slice|d,two,four|t|;Mul|t,two|u|;Concat|h,u|s|axis=0;"
     "Resize|x,,,s|y|", "y", true},
    {13, IMAGE, "DepthToSpace|x9|q|blocksize=3;GlobalMaxPool|x|y|", "y", true},
    /* other shapes */
    {13, SEQ, "Reshape|x,flat|f|;MatMul|f,w|p|;Shape|x|d|;Reshape|p,d|y|", "y", true},
    {13, SEQ, "Reshape|x,flat|f|;Softmax|f|p|axis=0;Shape|x|d|;Reshape|p,d|y|", "y", false},
    {13, "x:f:N,M", "Reshape|x,eight|f|;Softmax|f|p|axis=1;Shape|x|d|;Reshape|p,d|y|", "y", false},   /* M may be 4 */
    {13, "x:f:N,16", "Reshape|x,eight|f|;Softmax|f|p|axis=1;Shape|x|d|;Reshape|p,d|y|", "y", true},
    {13, "x:f:N,3,4", "Transpose|x|t|perm=[1,0,2];Reshape|t,flat|f|;Shape|x|d|;Reshape|f,d|y|", "y", false},
    {13, "x:f:N,3,4", "Transpose|x|t|perm=[1,0,2];Relu|t|r|;Transpose|r|y|perm=[1,0,2]", "y", true},
    {13, X, "Unsqueeze|x,one|u|;Squeeze|u,one|y|", "y", true},
    {13, X, "Transpose|x|y|", "y", false},
    {13, X, "Reshape|x,minus|f|;Relu|f|y|", "y", false},
    {13, X, "Slice|x,one,two,one|y|", "y", true},
    {13, X, "Slice|x,zero,two,zero|y|", "y", false},
    {13, X, "Slice|x,zero,most,zero|y|", "y", true},
    {13, X, "Slice|x,minus,least,zero,minus|y|", "y", false},   /* backwards */
    {9, X, "Slice|x|y|starts=[1] ends=[3] axes=[1]", "y", true},
    {13, X, "Tile|x,rep12|y|", "y", true},
    {13, X, "Tile|x,rep21|y|", "y", false},
    {13, X, "Gather|x,zero|y|axis=1", "y", true},
    {13, X, "Gather|x,zero|r|axis=0;Sub|x,r|y|", "y", false},
    {13, "x:i:N,S", "Gather|w,x|y|", "y", true},
    {13, "x:f:N,4;z:i:N,2", "GatherElements|x,z|y|axis=1", "y", true},
    {13, "x:f:N,4;z:i:N,4", "GatherElements|x,z|y|axis=0", "y", false},
    {13, "x:i:N", "OneHot|x,five,onoff|y|", "y", true},
    {13, "x:i:N", "OneHot|x,five,onoff|o|axis=0;Transpose|o|y|", "y", true},
    /* what is counted */
    {13, X, "Shape|x|d|;ConstantOfShape|d|z|;Add|x,z|y|", "y", true},
    {13, X, "Shape|x|d|;Cast|d|c|to=1;Slice|c,zero,one|n|;Div|x,n|y|", "y", false},
    {13, X, "Shape|x|d|;Slice|d,zero,one|n|;Squeeze|n|q|;Range|null,q,unit|r|;Cast|r|c|to=1"
     ";Unsqueeze|c,one|u|;Add|x,u|y|",
     "y", false},
    {13, X, "Shape|x|d|;Expand|c14,d|z|;Concat|x,z|y|axis=1", "y", true},
    {13, X, "Shape|x|d|;Slice|d,zero,one|n|;Concat|n,zero|e|axis=0;ConstantOfShape|e|z|;Concat|x,z|y|axis=1",
     "y", true},                                                 /* rows without a value */
    {13, X, "Shape|x|y|", "y", false},
    /* sequences in time */
    {14, "x:f:3,N,4", "Relu|x|y|", "y", false},
    {14, "x:f:N,3,4", "Transpose|x|t|perm=[1,0,2];GRU|t,gw,gr|a,h|hidden_size=2;Squeeze|h,zero|y|", "y", true},
    {14, "x:f:N,3,4", "GRU|x,gw,gr|a,h|hidden_size=2;Squeeze|a,one|y|", "y", false},   /* rows taken for time */
    /* types */
    {13, X, "QuantizeLinear|x,scale|q|;DequantizeLinear|q,scale|y|", "y", true},
    {13, X, "DynamicQuantizeLinear|x|q,s,z|;DequantizeLinear|q,s,z|y|", "y", false},
    {13, X, "Dropout|x|y|", "y", true},
    {13, X, "NonZero|x|y|", "y", false},
    {13, X, "RandomNormalLike|x|r|;Add|x,r|y|", "y", false},
    {13, "x:f:4", "Relu|x|y|", "y", false},
    {13, X ";z:f:1", "Mul|x,z|y|", "y", false},
    {13, X, "Identity|c14|y|", "y", false},
    {9, X, "ai.onnx.ml:Scaler|x|y|offset=[1.0] scale=[2.0]", "y", true},
    {9, "x:f:N", "ai.onnx.ml:Normalizer|x|y|norm='L1'", "y", false},
};

/* The next part of a list; false at its end. */
static bool next_part(const char **list, char end, char *ret, size_t room)
{
    if (!**list) return false;
    const char *stop = strchr(*list, end);
    size_t len = stop ? (size_t)(stop - *list) : strlen(*list);
    INVARIANT(len < room);
    memcpy(ret, *list, len);
    ret[len] = 0;
    *list += len + (stop != NULL);
    return true;
}

static void constants_add(onnx_build *b)
{
    static const float ramp[108] = {0.5f, -1, 2, 0.25f, -0.75f, 1.5f, 3, -2, 1, 0.1f, -0.4f, 0.7f,
                                     1.1f, -1.3f, 0.6f, 0.9f};
    onnx_build_floats(b, "c4", "4", ramp);
    onnx_build_floats(b, "c14", "1,4", ramp);
    onnx_build_floats(b, "c74", "7,4", ramp);
    onnx_build_floats(b, "w", "4,4", ramp);
    onnx_build_floats(b, "k", "2,3,3,3", ramp);
    onnx_build_floats(b, "x9", "1,9,1,1", ramp);
    onnx_build_floats(b, "gw", "1,6,4", ramp);
    onnx_build_floats(b, "gr", "1,6,2", ramp);
    onnx_build_floats(b, "onoff", "2", ramp);
    onnx_build_floats(b, "scale", "", &ramp[3]);
    onnx_build_floats(b, "twice", "4", (const float[]){1, 1, 2, 2});
    static const struct {
        const char *name, *dims;
        int64_t values[8];
    } ints[] = {{"zero", "1", {0}}, {"one", "1", {1}}, {"two", "1", {2}}, {"four", "1", {4}}, {"five", "", {5}},
                {"null", "", {0}}, {"unit", "", {1}}, {"minus", "1", {-1}}, {"most", "1", {INT64_MAX}},
                {"least", "1", {INT64_MIN}}, {"halves", "2", {2, 2}}, {"flat", "2", {-1, 4}}, {"eight", "2", {-1, 8}},
                {"rep12", "2", {1, 2}}, {"rep21", "2", {2, 1}}, {"pads", "8", {0, 0, 1, 1, 0, 0, 1, 1}},
                {"turn", "8", {1, 0, 0, 0, -1}}};
    for (size_t i = 0; i < COUNTOF(ints); i++) onnx_build_ints(b, ints[i].name, ints[i].dims, ints[i].values);
    static const bool mask[4] = {true, false, true, true};
    tensor m = tensor_make(DT_BOOL, &(shape){1, {4}}, (void *)(uintptr_t)mask);
    onnx_build_tensor(b, "m", &m);
}

typedef struct {
    onnx_build bytes;            /* the model's, as long as it is open */
    model *model;
} opened;

static void sample_open(opened *o, const sample *s)
{
    onnx_build *b = &o->bytes;
    err e = {0};
    char part[200], op[40], ins[60], outs[40], attrs[80], type[2], dims[40];
    onnx_build_start(b, s->opset);
    onnx_build_import(b, "ai.onnx.ml", 3);
    constants_add(b);
    for (const char *list = s->inputs; next_part(&list, ';', part, sizeof part);) {
        const char *at = part;
        (void)(next_part(&at, ':', op, sizeof op) && next_part(&at, ':', type, sizeof type) &&
               next_part(&at, ':', dims, sizeof dims));
        onnx_build_input(b, op, *type == 'i' ? DT_I64 : DT_F32, dims);
    }
    for (const char *list = s->nodes; next_part(&list, ';', part, sizeof part);) {
        const char *at = part;
        *attrs = 0;
        (void)(next_part(&at, '|', op, sizeof op) && next_part(&at, '|', ins, sizeof ins) &&
               next_part(&at, '|', outs, sizeof outs) && next_part(&at, '|', attrs, sizeof attrs));
        onnx_build_node(b, op, ins, outs, attrs);
    }
    onnx_build_output(b, s->out, DT_NONE, NULL);
    o->model = NULL;
    if (model_open_bytes(&o->model, onnx_build_bytes(b), s->nodes, NULL, &(model_opts){.pool = NULL}, &e))
        printf("# %s\n", e.text);
    INVARIANT(o->model);
}

static void sample_close(opened *o)
{
    model_free(o->model);
    onnx_build_end(&o->bytes);
}

enum { ROWS = 5, INPUTS = 2, ELEMENTS = 4000 };

/* The shape of input i for so many rows, with sizes for what is open besides. */
static shape shape_with(const model *m, uint32_t i, int64_t rows)
{
    shape s = model_input(m, i)->shape;
    for (uint32_t d = 0; d < s.rank; d++) {
        str name = model_input(m, i)->dim_name[d];
        if (s.dim[d] < 0) s.dim[d] = d == 0 ? rows : str_is(name, "S") ? 3 : str_is(name, "M") ? 16 : 8;
    }
    return s;
}

/* Rows from..from+rows-1 of `data`; output 0 is appended to out. */
static size_t run_rows(model *m, double data[INPUTS][ELEMENTS], int64_t from, int64_t rows, double *out)
{
    err e = {0};
    exec *x = NULL;
    shape shapes[INPUTS];
    for (uint32_t i = 0; i < model_input_count(m); i++) shapes[i] = shape_with(m, i, rows);
    err_code rc = exec_take(&x, m, shapes, &e);
    INVARIANT(!rc);
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        tensor *t = exec_input(x, i);
        uint64_t count = tensor_count(t), row = count / (uint64_t)rows;
        for (uint64_t n = 0; n < count; n++) tensor_put_f64(t, n, data[i][(uint64_t)from * row + n]);
    }
    rc = exec_run(x, NULL, &e);
    if (rc) printf("# %s\n", e.text);
    INVARIANT(!rc);
    const tensor *y = exec_output(x, 0);
    uint64_t count = tensor_count(y);
    INVARIANT(count <= ELEMENTS && y->shape.dim[0] == rows);
    for (uint64_t n = 0; n < count; n++) out[n] = tensor_f64(y, n);
    exec_give(x);
    return (size_t)count;
}

static bool alone_as_together(model *m, uint64_t *seed)
{
    static double data[INPUTS][ELEMENTS], together[ELEMENTS], alone[ELEMENTS];
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        bool whole = model_input(m, i)->type == DT_I64;
        for (size_t n = 0; n < ELEMENTS; n++)
            data[i][n] = whole ? (double)(test_rand(seed) % 2) : (double)(test_rand(seed) % 2000) / 500 - 2;
    }
    size_t count = run_rows(m, data, 0, ROWS, together), done = 0;
    for (int64_t r = 0; r < ROWS; r++) done += run_rows(m, data, r, 1, alone + done);
    if (done != count) return false;
    for (size_t n = 0; n < count; n++) {
        if (fabs(alone[n] - together[n]) > 1e-4) return false;
    }
    return true;
}

static void what_is_proven_computes_rows_apart_and_what_mixes_them_is_not_proven(void)
{
    uint64_t seed = 7;
    for (size_t i = 0; i < COUNTOF(samples); i++) {
        opened o;
        sample_open(&o, &samples[i]);
        const batch_axis *b = model_batch(o.model);
        if (b->proven != samples[i].proven) printf("# %s: %s\n", samples[i].nodes, b->proven ? "proven" : b->why);
        CHECK(b->proven == samples[i].proven);
        CHECK(b->proven == (b->why[0] == 0));
        if (b->proven && !alone_as_together(o.model, &seed)) {
            printf("# %s: rows together differ from rows alone\n", samples[i].nodes);
            test_failures++;
        }
        sample_close(&o);
    }
}

static void what_stands_in_the_way_is_named(void)
{
    static const struct {
        sample sample;
        const char *why;
    } cases[] = {
        {{13, X, "Relu|x|r|;Softmax|r|y|axis=0", "y", false},
         "node that makes 'y' (Softmax, ai.onnx 13): is not known to keep the rows of a batch apart"},
        {{13, "x:f:4", "Relu|x|y|", "y", false}, "input 'x': its first dimension is not open"},
        {{13, X, "Transpose|x|y|", "y", false}, "output 'y': its first dimension does not follow the inputs' rows"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        opened o;
        sample_open(&o, &cases[i].sample);
        CHECK_STR(model_batch(o.model)->why, cases[i].why);
        sample_close(&o);
    }
}

static void every_failed_allocation_is_said(void)
{
    static const sample s = {13, X, "Relu|x|y|", "y", true};
    opened o;
    sample_open(&o, &s);
    FAULT_SWEEP({
        arena a;
        batch_axis found;
        err e;
        arena_init(&a, NULL, 0, 1 << 16);
        err_code rc = batch_axis_find(&found, model_graph(o.model), &kernel_active()->set, &a, &e);
        CHECK(rc == ERR_OK ? found.proven : rc == ERR_NOMEM && mem_fault_fired());
        arena_fini(&a);
    });
    sample_close(&o);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_proven_computes_rows_apart_and_what_mixes_them_is_not_proven),
        TEST(what_stands_in_the_way_is_named),
        TEST(every_failed_allocation_is_said),
    };
    return test_main(cases, COUNTOF(cases));
}
