/* The table is aligned, bounded in width and rows, and holds nothing that a terminal would obey. */
#include "conf_rig.h"
#include "models/model_table.h"
#include "serve_rig.h"

static compute *pool;

static conf *config(void)
{
    static conf c;
    conf_rig_fresh(&c);
    return &c;
}

static const char *table(const conf *c)
{
    static char text[16384];
    CLEANUP(repository) repository *r = NULL;
    buf out;
    err e;
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    for (size_t i = 0; r && i < repository_count(r); i++) repository_at(r, i)->load_us = 1234;
    buf_init(&out, sizeof text - 1);
    if (r) model_table_print(&out, r);
    CHECK(!out.full);
    snprintf(text, sizeof text, STR_FMT, (int)out.len, (const char *)out.p);
    buf_fini(&out);
    return text;
}

/* What comes before the memory, which depends on the file. */
static void check_row(const char *text, size_t index, const char *want)
{
    while (index-- > 0 && strchr(text, '\n')) text = strchr(text, '\n') + 1;
    CHECK(strncmp(text, want, strlen(want)) == 0);
    if (strncmp(text, want, strlen(want)) != 0) printf("# %.*s\n# %s\n", (int)strcspn(text, "\n"), text, want);
}

static void columns_are_aligned(void)
{
    onnx_build b;
    char path[64];
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    conf *c = config();
    conf_rig_model(c, "m", path);
    conf_rig_model(c, "gr\303\274n", path);
    const char *text = table(c);
    check_row(text, 0, "MODEL  VERSION  INPUTS         OUTPUTS        INSTANCES  MEMORY  LOADED\n");
    check_row(text, 1, "m      1        x FP32 [-1,2]  y FP32 [-1,2]          1  0.0 MB  1.2 ms\n");
    check_row(text, 2, "gr\303\274n   1        x FP32 [-1,2]  y FP32 [-1,2]          1  0.0 MB  1.2 ms\n");
    serve_rig_unsave(path);
    onnx_build_end(&b);
}

static void what_is_long_is_cut_and_what_is_many_is_counted(void)
{
    onnx_build b;
    char path[64], name[16];
    serve_rig_four(&b);
    serve_rig_save(&b, path);
    conf *c = config();
    for (int i = 0; i < MODEL_TABLE_ROWS_MAX + 3; i++) {
        snprintf(name, sizeof name, "m%d", i);
        conf_rig_model(c, name, path);
    }
    const char *text = table(c);
    size_t lines = 0;
    check_row(text, 1, "m0     1        f FP32 [-1,2], i INT64 [-1], s BYTES ...  "
                       "fo FP32 [-1,2], io INT64 [-1], so BYT...  ");
    for (const char *p = text; (p = strchr(p, '\n')); p++) lines++;
    CHECK_U64(lines, MODEL_TABLE_ROWS_MAX + 2);
    CHECK(strstr(text, "\nand 3 more\n"));
    serve_rig_unsave(path);
    onnx_build_end(&b);
}

static void no_name_reaches_the_terminal_as_a_command(void)
{
    onnx_build b;
    char path[64];
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "\033[2J\302\233a\r", DT_F32, "N");
    onnx_build_node(&b, "Identity", "\033[2J\302\233a\r", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N");
    serve_rig_save(&b, path);
    conf *c = config();
    conf_rig_model(c, "m", path);
    check_row(table(c), 1, "m      1        ?[2J?a? FP32 [-1]  y FP32 [-1]  ");
    serve_rig_unsave(path);
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(columns_are_aligned),
        TEST(what_is_long_is_cut_and_what_is_many_is_counted),
        TEST(no_name_reaches_the_terminal_as_a_command),
    };
    err e;
    if (compute_new(&pool, 1, &e)) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    compute_free(pool);
    conf_rig_end();
    return failed;
}
