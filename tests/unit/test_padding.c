/* A model is padded only where it keeps what its mask promises, or where it is told to and can be: padded rows and rows
 * alone come out the same, whatever the model says of itself. */
#include "models/padding.h"

#include "onnx_build.h"
#include "test.h"

/* Nodes are "Op|inputs|outputs|attributes", separated by ';'; inputs and outputs "NAME:TYPE:DIMS". */
typedef struct {
    const char *inputs, *nodes, *outputs, *wish, *why;
    uint64_t padded;
    uint8_t axis;
} sample;

#define IDS "ids:i:N,S"
#define MASK "attention_mask:i:N,S"
#define EMBED "Gather|table,ids|e|;Cast|attention_mask|c|to=1;Unsqueeze|c|m|axes=[2];Mul|e,m|h|"
#define POOL ";ReduceSum|h|y|axes=[1] keepdims=0"

static const sample samples[] = {
    {IDS ";" MASK, EMBED POOL, "y:f:N,4", "", NULL, 3, 0},
    {IDS ";" MASK, EMBED, "h:f:N,S,4", "auto", NULL, 3, 1},
    {IDS ";" MASK, EMBED ";Transpose|h|t|perm=[0,2,1]", "t:f:N,4,S", "", NULL, 3, 2},
    {IDS ";" MASK ";w:f:N,4", EMBED POOL ";Add|y,w|z|", "z:f:N,4", "", NULL, 3, 0},
    {IDS ";" MASK, EMBED POOL, "y:f:N,4", "off", "it is off", 0, 0},
    {IDS ";" MASK, "Gather|table,ids|h|" POOL ";Cast|attention_mask|u|to=1", "y:f:N,4;u:f:N,S", "",
     "what is padded changes the answer", 0, 0},
    {IDS ";" MASK, EMBED ";ReduceMean|h|y|axes=[1] keepdims=0", "y:f:N,4", "",
     "what is padded changes the answer", 0, 0},
    {IDS, "Gather|table,ids|h|", "h:f:N,S,4", "", "no input is a mask", 0, 0},
    {IDS, "Gather|table,ids|h|", "h:f:N,S,4", "on", NULL, 1, 1},
    {IDS ";" MASK, EMBED ";Concat|h,h|d|axis=1", "d:f:N,D,4", "",
     "an output whose shape follows the length in another way", 0, 0},
    {IDS ";" MASK, EMBED ";Transpose|h|t|perm=[0,2,1];MatMul|h,t|q|", "q:f:N,S,S", "",
     "an output whose shape follows the length in another way", 0, 0},
    {IDS ";" MASK, EMBED ";Flatten|c|f|", "h:f:N,S,4;f:f:N,S;c:f:N,S", "", "outputs that share memory", 0, 0},
    {"x:f:N,4", "Relu|x|y|", "y:f:N,4", "", "no input has an open length", 0, 0},
    {"x:f:N,S,T;mask:i:N,S", "Relu|x|y|", "y:f:N,S,T", "",
     "an input with more than one open dimension beside the rows", 0, 0},
    {"s:s:N,S;" MASK, "Identity|s|t|", "t:s:N,S", "", "an input that cannot be filled with zeros", 0, 0},
    {IDS ";" MASK, EMBED ";ReduceSum|h|y|", "y:f:", "", "its rows are not proven to be apart", 0, 0},
    /* a vocabulary of one word: the tries fail, and so it is not padded */
    {IDS ";" MASK, "Gather|one,ids|e|;Cast|attention_mask|c|to=1;Unsqueeze|c|m|axes=[2];Mul|e,m|h|", "h:f:N,S,4", "",
     "node", 0, 0},
};

static void each(onnx_build *b, const char *text, void (*add)(onnx_build *b, char *part[4]))
{
    char copy[400];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *rest = copy, *one; (one = strsep(&rest, ";"));) {
        static char none[] = "";
        char *part[4] = {none, none, none, none};
        for (size_t i = 0; i < 4 && one; i++) part[i] = strsep(&one, strchr(text, '|') ? "|" : ":");
        add(b, part);
    }
}

static dtype type_of(const char *t) { return *t == 'i' ? DT_I64 : *t == 's' ? DT_STRING : DT_F32; }
static void add_input(onnx_build *b, char *p[4]) { onnx_build_input(b, p[0], type_of(p[1]), p[2]); }
static void add_output(onnx_build *b, char *p[4]) { onnx_build_output(b, p[0], type_of(p[1]), p[2]); }
static void add_node(onnx_build *b, char *p[4]) { onnx_build_node(b, p[0], p[1], p[2], p[3]); }

static void build(onnx_build *b, const sample *s)
{
    static const float table[] = {0.5F, -1, 2, 0.25F, 1.5F, 3, -0.5F, 1};
    onnx_build_start(b, 11);
    onnx_build_floats(b, "table", "2,4", table);
    onnx_build_floats(b, "one", "1,4", table);
    each(b, s->inputs, add_input);
    each(b, s->nodes, add_node);
    each(b, s->outputs, add_output);
}

static err_code find_in(padding *ret, str bytes, const char *wish, err *e)
{
    CLEANUP(model) model *m = NULL;
    model_opts o = {.pool = NULL};
    err_code rc = model_open_bytes(&m, bytes, "m", NULL, &o, e);
    return rc ? rc : padding_find(ret, m, str_of(wish), e);
}

static err_code find(padding *ret, const sample *s, err *e)
{
    onnx_build b;
    build(&b, s);
    err_code rc = find_in(ret, onnx_build_bytes(&b), s->wish, e);
    onnx_build_end(&b);
    return rc;
}

static void what_keeps_its_promise_is_padded(void)
{
    for (size_t i = 0; i < COUNTOF(samples); i++) {
        const sample *s = &samples[i];
        padding p;
        err e = {0};
        err_code rc = find(&p, s, &e);
        if (rc) printf("# sample %zu: %s\n", i, e.text);
        CHECK(rc == ERR_OK);
        if (rc) continue;
        if (p.on == !!s->why || (s->why && !strstr(p.why, s->why))) printf("# sample %zu: %d %s\n", i, p.on, p.why);
        CHECK(p.on == !s->why);
        CHECK(!s->why || (strstr(p.why, s->why) && p.inputs == 0));
        if (s->why) continue;
        CHECK_U64(p.inputs, s->padded);
        CHECK_U64(p.output_axis[0], s->axis);
        CHECK(padding_has(&p, 0) && !padding_has(&p, 2));
    }
}

static void a_wish_that_cannot_be_is_refused(void)
{
    sample s = samples[0];
    padding p;
    err e;
    s.wish = "yes";
    CHECK(find(&p, &s, &e) == ERR_INVALID);
    CHECK_STR(e.text, "parameters: padding: expected 'on', 'off' or 'auto', got 'yes'");
    s = (sample){"x:f:N,4", "Relu|x|y|", "y:f:N,4", "on", NULL, 0, 0};
    CHECK(find(&p, &s, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "parameters: padding: no input has an open length");
}

static void finding_survives_every_failed_allocation(void)
{
    onnx_build b;
    build(&b, &samples[0]);
    const str bytes = onnx_build_bytes(&b);
    FAULT_SWEEP({
        padding p;
        err e;
        err_code rc = find_in(&p, bytes, "", &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
    });
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_keeps_its_promise_is_padded),
        TEST(a_wish_that_cannot_be_is_refused),
        TEST(finding_survives_every_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
