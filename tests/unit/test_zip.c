/* Archives that we write we read; every cut and every damaged byte gives an error or files within the archive. */
#include "wire/zip.h"
#include "test.h"

static const struct { const char *name, *data; } files[] = {
    {"x.npy", "some bytes"}, {"", ""}, {"\xc3\xa9/b", "\1\2\3"}};

static void archive(buf *b, bool zip64, const char *comment)
{
    zip_writer w;
    zip_init(&w, b);
    w.zip64 = zip64;
    for (size_t i = 0; i < COUNTOF(files); i++) {
        zip_open(&w, str_of(files[i].name));
        buf_put_z(b, files[i].data);
        zip_close(&w);
    }
    zip_end(&w);
    zip_fini(&w);
    if (b->full) return;
    b->p[b->len - 2] = (uint8_t)strlen(comment);
    buf_put_z(b, comment);
}

static void what_is_written_is_read(void)
{
    for (int i = 0; i < 4; i++) {
        buf b;
        arena a;
        err e;
        zip_file *f;
        size_t count;
        buf_init(&b, 1 << 16);
        arena_init(&a, NULL, 0, 4096);
        archive(&b, i & 1, i & 2 ? "a comment PK\5\6 that looks like an end" : "");
        CHECK(zip_parse(buf_str(&b), &a, &f, &count, &e) == ERR_OK && count == COUNTOF(files));
        for (size_t k = 0; k < COUNTOF(files); k++) {
            CHECK(str_is(f[k].name, files[k].name) && str_is(f[k].data, files[k].data));
            CHECK(zip_check(&f[k], &e) == ERR_OK);
        }
        b.p[f[0].data.p - (const char *)b.p] ^= 1;
        CHECK(zip_check(&f[0], &e) == ERR_INVALID);
        CHECK(str_starts(str_of(e.text), STR("zip: 'x.npy': expected checksum ")));
        arena_fini(&a);
        buf_fini(&b);
    }
}

static void every_cut_is_refused(void)
{
    for (int zip64 = 0; zip64 < 2; zip64++) {
        buf b;
        arena a;
        err e;
        zip_file *f;
        size_t count;
        buf_init(&b, 1 << 16);
        arena_init(&a, NULL, 0, 4096);
        archive(&b, zip64, "");
        for (size_t cut = 0; cut < b.len; cut++) {
            char *copy = mem_alloc_raw(cut), *at = copy + (MEM_ALIGN - cut % MEM_ALIGN) % MEM_ALIGN;
            memcpy(at, b.p, cut);
            arena_reset(&a);
            CHECK(zip_parse((str){at, cut}, &a, &f, &count, &e) == ERR_INVALID);
            mem_free(copy);
        }
        arena_fini(&a);
        buf_fini(&b);
    }
}

static void random_damage_gives_errors_or_views_inside(void)
{
    uint64_t seed = 21;
    buf b;
    arena a;
    buf_init(&b, 1 << 16);
    arena_init(&a, NULL, 0, 1 << 20);
    for (int round = 0; round < 20000; round++) {
        zip_file *f;
        size_t count = 0;
        err e;
        buf_clear(&b);
        archive(&b, round & 1, "");
        for (uint64_t n = 1 + test_rand(&seed) % 3; n; n--) {
            size_t at = test_rand(&seed) % b.len;
            b.p[at] = test_rand(&seed) & 1 ? 0xff : (uint8_t)test_rand(&seed);
        }
        arena_reset(&a);
        if (zip_parse(buf_str(&b), &a, &f, &count, &e)) continue;
        for (size_t i = 0; i < count; i++) {
            const char *first = (const char *)b.p, *last = first + b.len;
            CHECK(f[i].name.p >= first && f[i].name.p + f[i].name.len <= last);
            CHECK(f[i].data.p >= first && f[i].data.p + f[i].data.len <= last);
        }
    }
    arena_fini(&a);
    buf_fini(&b);
}

static void refuse_patched(size_t from_end, uint8_t byte, err_code want, const char *text)
{
    buf b;
    arena a;
    err e = {0};
    zip_file *f;
    size_t count;
    buf_init(&b, 1 << 16);
    arena_init(&a, NULL, 0, 4096);
    archive(&b, false, "");
    b.p[b.len - from_end] = byte;
    CHECK(zip_parse(buf_str(&b), &a, &f, &count, &e) == want);
    CHECK_STR(e.text, text);
    arena_fini(&a);
    buf_fini(&b);
}

/* The end record is 22 bytes; before it stand the entries, 46 bytes and the name: the third starts at 22 + 50. */
static void compressed_and_encrypted_files_are_refused_by_name(void)
{
    refuse_patched(22 + 50 - 10, 8, ERR_UNSUPPORTED,
                   "zip: '\xc3\xa9/b': expected a stored file, got compression method 8 "
                   "(save with np.savez, not np.savez_compressed)");
    refuse_patched(22 + 50 - 8, 9, ERR_UNSUPPORTED, "zip: '\xc3\xa9/b': encrypted");
    refuse_patched(22 + 50 - 20, 4, ERR_INVALID, "zip: '\xc3\xa9/b': expected equal sizes, got 4 and 3");
    refuse_patched(12, 200, ERR_INVALID, "zip: directory: expected at most 65536 files in 147 bytes, got 200");
    refuse_patched(4, 9, ERR_INVALID, "zip: directory: expected 147 bytes at 589996 within the archive's 341");
}

static void the_writer_survives_full_bufs_and_failing_memory(void)
{
    buf b;
    arena a;
    err e;
    zip_file *f;
    size_t count;
    for (size_t limit = 1; limit < 500; limit += 7) {
        buf_init(&b, limit);
        archive(&b, true, "");
        CHECK(b.len <= limit);
        buf_fini(&b);
    }
    FAULT_SWEEP({
        buf_init(&b, 1 << 16);
        arena_init(&a, NULL, 0, 4096);
        archive(&b, false, "");
        if (!buf_check(&b, "zip", &e))
            CHECK(zip_parse(buf_str(&b), &a, &f, &count, &e) == ERR_OK || e.code == ERR_LIMIT);
        arena_fini(&a);
        buf_fini(&b);
    });
}

static void an_archive_of_nothing_is_one(void)
{
    buf b;
    arena a;
    err e;
    zip_file *f;
    size_t count = 7;
    zip_writer w;
    buf_init(&b, 1 << 16);
    arena_init(&a, NULL, 0, 4096);
    zip_init(&w, &b);
    zip_end(&w);
    zip_fini(&w);
    CHECK(zip_parse(buf_str(&b), &a, &f, &count, &e) == ERR_OK && count == 0);
    CHECK(zip_parse(STR("not an archive, but long enough to be one"), &a, &f, &count, &e) == ERR_INVALID);
    CHECK_STR(e.text, "zip: expected a ZIP archive, got no end record");
    arena_fini(&a);
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_written_is_read),
        TEST(every_cut_is_refused),
        TEST(random_damage_gives_errors_or_views_inside),
        TEST(compressed_and_encrypted_files_are_refused_by_name),
        TEST(the_writer_survives_full_bufs_and_failing_memory),
        TEST(an_archive_of_nothing_is_one),
    };
    return test_main(cases, COUNTOF(cases));
}
