/* What a model was given on disk reaches it, and its outputs come back from disk the same, in both forms; files that
 * lie, end early or lack something are refused by name. */
#include "cli/model_files.h"

#include "cli/tensor_file.h"
#include "engine/onnx_tensor.h"
#include "onnx_build.h"
#include "os/file.h"
#include "test.h"
#include "wire/npy.h"
#include "wire/zip.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { ITEMS = 3 };
static char folder[64], npz_in[96], npz_out[96];

static const float floats[ITEMS] = {1.5f, -2, 0};
static const int64_t longs[ITEMS] = {INT64_MIN, 0, INT64_MAX};
static const bool truths[ITEMS] = {true, false, true};
static const uint16_t halves[ITEMS] = {0x3fc0, 0xc000, 0};
static const str words[ITEMS] = {{"cat", 3}, {"", 0}, {"\xC3\xA9\xFF", 3}};

/* One input of each kind of file content; output NAME2 is the input NAME. */
static const struct {
    const char *name, *descr;
    dtype type;
    const void *data;
} ports[] = {{"f", "<f4", DT_F32, floats}, {"i", "<i8", DT_I64, longs}, {"b", "|b1", DT_BOOL, truths},
             {"h", "<V2", DT_BF16, halves}, {"s", "<U2", DT_STRING, words}};
enum { PORTS = COUNTOF(ports) };

static tensor port(size_t i)
{
    shape s = shape_make(1, (const int64_t[]){ITEMS});
    return tensor_make(ports[i].type, &s, (void *)(uintptr_t)ports[i].data);
}

static model *same_model(onnx_build *b)
{
    model *m = NULL;
    err e = {0};
    onnx_build_start(b, 16);
    for (size_t i = 0; i < PORTS; i++) {
        char out[8];
        snprintf(out, sizeof out, "%s2", ports[i].name);
        onnx_build_input(b, ports[i].name, ports[i].type, "N");
        onnx_build_node(b, "Identity", ports[i].name, out, "");
        onnx_build_output(b, out, ports[i].type, NULL);
    }
    if (model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &(model_opts){.no_passes = true}, &e))
        printf("# %s\n", e.text);
    INVARIANT(m);
    return m;
}

/* The array of a port as a .npy file; strings as kind U. */
static void npy_put(buf *b, size_t i)
{
    tensor t = port(i);
    npy n = {.kind = ports[i].descr[1], .rank = 1, .dims = {ITEMS}, .count = ITEMS};
    if (ports[i].type == DT_STRING) {
        npy_put_text(b, &n, t.data);
        return;
    }
    n.item_bytes = dtype_bits(t.type) / 8;
    npy_put_header(b, &n);
    buf_put(b, t.data, tensor_bytes(&t));
}

/* All ports but `without`, last first, as an archive. */
static void archive_put(buf *b, size_t without)
{
    zip_writer w;
    buf_clear(b);
    zip_init(&w, b);
    for (size_t i = PORTS; i-- > 0;) {
        char name[16];
        snprintf(name, sizeof name, "%s.npy", ports[i].name);
        if (i == without) continue;
        zip_open(&w, str_of(name));
        npy_put(b, i);
        zip_close(&w);
    }
    zip_end(&w);
    zip_fini(&w);
    CHECK(!b->full);
}

static void save(const char *path, const buf *b)
{
    err e = {0};
    if (file_write(path, b->p, b->len, &e)) CHECK_STR(e.text, path);
}

static const char *path_of(const char *kind, uint32_t i)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s_%u.pb", folder, kind, i);
    return path;
}

/* input_0.pb ... in the model's order. */
static void folder_put(void)
{
    buf b;
    buf_init(&b, 4096);
    for (uint32_t i = 0; i < PORTS; i++) {
        tensor t = port(i);
        buf_clear(&b);
        onnx_tensor_write(&b, &t, STR("any name"));
        save(path_of("input", i), &b);
    }
    buf_fini(&b);
}

static bool same(const tensor *got, size_t i)
{
    if (got->type != ports[i].type || got->shape.rank != 1 || got->shape.dim[0] != ITEMS) return false;
    if (got->type != DT_STRING) return memcmp(got->data, ports[i].data, tensor_bytes(got)) == 0;
    const str *s = got->data;
    return str_eq(s[0], words[0]) && str_eq(s[1], words[1]) && str_eq(s[2], words[2]);
}

/* Reads, runs and writes, as `model run` does. */
static err_code run_files(model *m, const char *from, const char *to, err *e)
{
    arena a;
    tensor *in = NULL;
    exec *x = NULL;
    arena_init(&a, NULL, 0, 1 << 20);
    err_code rc = model_files_read(m, from, &a, &in, e);
    for (size_t i = 0; i < PORTS && !rc; i++) CHECK(same(&in[i], i));
    if (!rc) rc = model_files_take(&x, m, in, &a, e);
    if (!rc) rc = exec_run(x, NULL, e);
    if (!rc) rc = model_files_write(m, x, to, e);
    if (x) exec_give(x);
    arena_fini(&a);
    return rc;
}

static void archive_check(void)
{
    arena a;
    file_map map = {0};
    zip_file *files = NULL;
    size_t count = 0;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 16);
    CHECK(file_map_open(npz_out, &map, &e) == ERR_OK);
    CHECK(zip_parse((str){(const char *)map.p, map.len}, &a, &files, &count, &e) == ERR_OK && count == PORTS);
    for (size_t i = 0; i < count; i++) {
        char want[16];
        npy n;
        str data, *text = NULL;
        snprintf(want, sizeof want, "%s2.npy", ports[i].name);
        CHECK(str_is(files[i].name, want) && zip_check(&files[i], &e) == ERR_OK);
        CHECK(npy_parse(files[i].data, &n, &data, &e) == ERR_OK && n.kind == ports[i].descr[1] && n.count == ITEMS);
        tensor t = port(i);
        if (n.kind != 'U') {
            CHECK(data.len == tensor_bytes(&t) && memcmp(data.p, t.data, data.len) == 0);
            continue;
        }
        CHECK(npy_text_read(&text, &n, data, &a, &e) == ERR_OK);
        t.data = text;
        CHECK(text && same(&t, i));
    }
    file_map_close(&map);
    arena_fini(&a);
}

static void folder_check(void)
{
    for (uint32_t i = 0; i < PORTS; i++) {
        arena a;
        char *bytes = NULL, want[8];
        size_t len = 0;
        str name = {0};
        pb message;
        tensor t = {0};
        err e = {0};
        arena_init(&a, NULL, 0, 1 << 16);
        CHECK(file_read(path_of("output", i), 1 << 16, &bytes, &len, &e) == ERR_OK);
        pb_init(&message, bytes, len);
        CHECK(onnx_tensor_read(&t, &name, message, &(onnx_tensor_opts){.memory = &a}, &e) == ERR_OK && same(&t, i));
        snprintf(want, sizeof want, "%s2", ports[i].name);
        CHECK(str_is(name, want));
        mem_free(bytes);
        arena_fini(&a);
    }
}

static void what_was_given_comes_back_in_both_forms(void)
{
    onnx_build made;
    CLEANUP(model) model *m = same_model(&made);
    buf b;
    err e = {0};
    buf_init(&b, 1 << 16);
    archive_put(&b, PORTS);
    save(npz_in, &b);
    folder_put();
    for (int from_folder = 0; from_folder < 2; from_folder++) {
        const char *from = from_folder ? folder : npz_in;
        CHECK(run_files(m, from, npz_out, &e) == ERR_OK);
        archive_check();
        CHECK(run_files(m, from, folder, &e) == ERR_OK);
        folder_check();
    }
    buf_fini(&b);
    onnx_build_end(&made);
}

/* The error of reading this path, after the path itself. */
static const char *refusal(model *m, const char *path, err *e)
{
    arena a;
    tensor *in = NULL;
    *e = (err){0};
    arena_init(&a, NULL, 0, 1 << 20);
    if (model_files_read(m, path, &a, &in, e) == ERR_OK) snprintf(e->text, sizeof e->text, "%s: read", path);
    arena_fini(&a);
    return str_starts(str_of(e->text), str_of(path)) ? e->text + strlen(path) : e->text;
}

static void what_is_missing_or_wrong_is_named(void)
{
    onnx_build made;
    CLEANUP(model) model *m = same_model(&made);
    buf b;
    err e;
    buf_init(&b, 1 << 16);
    archive_put(&b, 1);
    save(npz_in, &b);
    CHECK_STR(refusal(m, npz_in, &e), ": input 'i': expected an array, got none");
    CHECK(e.code == ERR_NOT_FOUND);
    zip_writer w;
    static const struct { const char *header, *data, *text; } rows[] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", "12345678",
         ": input 'f': expected float32, got float64"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,1), }", "1234",
         ": 'f': Fortran order: not implemented, save it in C order"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", "1234",
         ": input 'i': expected an array, got none"},
        {"{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", "123",
         ": 'f': an array of kind 'f' and 3 bytes: not implemented"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "12345678",
         ": 'f': npy: descr: expected numbers or text, got pickled objects: save strings with dtype=str"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", "1234",
         ": 'f': rank: expected at most 8 dimensions, got 9"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "1234",
         ": 'f': npy: data: expected 2 elements of 4 bytes, got 4 bytes"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        buf_clear(&b);
        zip_init(&w, &b);
        zip_open(&w, STR("f"));   /* the suffix may be missing */
        buf_put(&b, "\x93NUMPY\1\0", 8);
        buf_put_byte(&b, (uint8_t)strlen(rows[i].header));
        buf_put_byte(&b, 0);
        buf_put_z(&b, rows[i].header);
        buf_put_z(&b, rows[i].data);
        zip_close(&w);
        zip_end(&w);
        zip_fini(&w);
        save(npz_in, &b);
        CHECK_STR(refusal(m, npz_in, &e), rows[i].text);
    }
    folder_put();
    CHECK(remove(path_of("input", 4)) == 0);
    CHECK(strstr(refusal(m, folder, &e), "/input_4.pb: ") != NULL);
    folder_put();
    buf_clear(&b);
    save(path_of("input", 5), &b);
    CHECK_STR(refusal(m, folder, &e), "/input_5.pb: expected 5 inputs, got more");
    CHECK(remove(path_of("input", 5)) == 0);
    tensor t = port(0);
    onnx_tensor_write(&b, &t, STR(""));
    save(path_of("input", 1), &b);
    CHECK_STR(refusal(m, folder, &e), "input 'i': expected int64, got float32");
    CHECK(strstr(refusal(m, "/nowhere/x.npz", &e), "o such file") != NULL);
    CHECK(strstr(refusal(m, "/nowhere", &e), "o such file") != NULL);
    buf_fini(&b);
    onnx_build_end(&made);
}

static void every_cut_and_every_flip_is_refused_or_harmless(void)
{
    onnx_build made;
    CLEANUP(model) model *m = same_model(&made);
    buf b;
    err e;
    buf_init(&b, 1 << 16);
    archive_put(&b, PORTS);
    save(npz_in, &b);
    int fd = open(npz_in, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t at = 0; at < b.len; at++) {
        uint8_t flipped = (uint8_t)(b.p[at] ^ 1 << at % 8);
        CHECK(pwrite(fd, &flipped, 1, (off_t)at) == 1);
        (void)refusal(m, npz_in, &e);
        CHECK(e.text[0]);
        CHECK(pwrite(fd, &b.p[at], 1, (off_t)at) == 1);
    }
    CHECK_STR(refusal(m, npz_in, &e), ": read");
    for (size_t cut = b.len; cut-- > 0;) {
        CHECK(ftruncate(fd, (off_t)cut) == 0);
        CHECK(strcmp(refusal(m, npz_in, &e), ": read") != 0);
    }
    close(fd);
    buf_fini(&b);
    onnx_build_end(&made);
}

/* A type that NumPy has not, and a place that cannot be written. */
static void any_byte_but_0_is_true(void)
{
    npy n = {.kind = 'b', .rank = 1, .dims = {3}, .count = 3, .item_bytes = 1};
    tensor t;
    arena a;
    err e;
    buf b;
    buf_init(&b, 1000);
    arena_init(&a, NULL, 0, 1 << 20);
    npy_put_header(&b, &n);
    buf_put(&b, "\0\1\7", 3);
    CHECK(tensor_file_parse(buf_str(&b), &a, &t, &e) == ERR_OK && memcmp(t.data, "\0\1\1", 3) == 0);
    arena_fini(&a);
    buf_fini(&b);
}

static void what_cannot_be_written_is_said(void)
{
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    exec *x = NULL;
    err e = {0};
    onnx_build_start(&b, 21);
    onnx_build_input(&b, "x", DT_I4, "2");
    onnx_build_node(&b, "Identity", "x", "y", "");
    onnx_build_output(&b, "y", DT_I4, NULL);
    shape s = shape_make(1, (const int64_t[]){2});
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
    CHECK(m && exec_take(&x, m, &s, &e) == ERR_OK);
    if (x) {
        *(uint8_t *)exec_input(x, 0)->data = 0x21;
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        CHECK(model_files_write(m, x, npz_out, &e) == ERR_UNSUPPORTED);
        CHECK_STR(e.text, "int4 as .npy: not implemented");
        CHECK(model_files_write(m, x, folder, &e) == ERR_OK);
        CHECK(model_files_write(m, x, "/nowhere", &e) != ERR_OK && strstr(e.text, "/nowhere/output_0.pb: "));
        static char far[FILE_PATH_MAX + 1];
        memset(far, 'a', FILE_PATH_MAX);
        CHECK(model_files_write(m, x, far, &e) == ERR_INVALID);
        CHECK_STR(e.text, "outputs: path: expected at most 4095 bytes, got 4108");
        exec_give(x);
    }
    onnx_build_end(&b);
}

static void every_failed_allocation_is_survived(void)
{
    onnx_build made;
    CLEANUP(model) model *m = same_model(&made);
    buf b;
    err e;
    buf_init(&b, 1 << 16);
    archive_put(&b, PORTS);
    save(npz_in, &b);
    folder_put();
    CHECK(run_files(m, npz_in, npz_out, &e) == ERR_OK);   /* the model keeps its plan and an execution from here on */
    FAULT_SWEEP({
        err_code rc = run_files(m, npz_in, npz_out, &e);
        CHECK(rc == ERR_OK || (rc == ERR_NOMEM && mem_fault_fired()));
    });
    FAULT_SWEEP({
        err_code rc = run_files(m, folder, folder, &e);
        CHECK(rc == ERR_OK || (rc == ERR_NOMEM && mem_fault_fired()));
    });
    buf_fini(&b);
    onnx_build_end(&made);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_was_given_comes_back_in_both_forms),
        TEST(what_is_missing_or_wrong_is_named),
        TEST(every_cut_and_every_flip_is_refused_or_harmless),
        TEST(any_byte_but_0_is_true),
        TEST(what_cannot_be_written_is_said),
        TEST(every_failed_allocation_is_survived),
    };
    snprintf(folder, sizeof folder, "/tmp/proa-files-XXXXXX");
    INVARIANT(mkdtemp(folder));
    snprintf(npz_in, sizeof npz_in, "%s/in.npz", folder);
    snprintf(npz_out, sizeof npz_out, "%s/out.npz", folder);
    int failed = test_main(cases, COUNTOF(cases));
    for (uint32_t i = 0; i <= PORTS; i++) {
        (void)remove(path_of("input", i));
        (void)remove(path_of("output", i));
    }
    (void)remove(npz_in);
    (void)remove(npz_out);
    (void)remove(folder);
    return failed;
}
