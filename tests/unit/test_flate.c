/* What is packed comes back, whoever packed it; what unpacks to too much, too little or something else is refused at a
 * bounded cost. */
#include "wire/flate.h"
#include "test.h"

#define BYTES(literal) ((str){literal, sizeof literal - 1})

/* "hello hello hello hello" by Python's gzip.compress(mtime=0) and zlib.compress(). */
static const char gzipped[] =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcbH\xcd\xc9\xc9W\xc8@'\x01\xe3Q=\x8d\x17\x00\x00\x00";
static const char deflated[] = "x\x9c\xcbH\xcd\xc9\xc9W\xc8@'\x01h\x03\x08\xb1";

static const char *unpack(flate_kind kind, str packed, size_t limit)
{
    static char text[512];
    buf b;
    err e = {0};
    buf_init(&b, limit);
    if (flate_unpack(&b, kind, packed, &e))
        snprintf(text, sizeof text, "%d %s", err_http_status(e.code), e.text);
    else
        snprintf(text, sizeof text, "%.*s", (int)b.len, buf_str(&b).p);
    buf_fini(&b);
    return text;
}

static void others_bodies_are_unpacked(void)
{
    CHECK_STR(unpack(FLATE_GZIP, BYTES(gzipped), 100), "hello hello hello hello");
    CHECK_STR(unpack(FLATE_DEFLATE, BYTES(deflated), 100), "hello hello hello hello");
    CHECK_STR(unpack(FLATE_NONE, BYTES("plain"), 100), "plain");
    CHECK_STR(unpack(FLATE_GZIP, BYTES(gzipped), 23), "hello hello hello hello");
    CHECK_STR(unpack(FLATE_GZIP, BYTES(gzipped), 22), "413 gzip: unpacked: expected at most 22 bytes, got 23");
    CHECK_STR(unpack(FLATE_NONE, BYTES("plain"), 4), "413 unpacked: expected at most 4 bytes, got 5");
}

static void every_length_comes_back(void)
{
    static char plain[200000];
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (char)(test_rand(&seed) % (i < 1000 ? 256 : 5));
    static const size_t lens[] = {0, 1, 2, 100, 32767, 32768, 32769, 200000};
    for (flate_kind kind = FLATE_NONE; kind < FLATE_KINDS; kind++) {
        for (size_t i = 0; i < COUNTOF(lens); i++) {
            buf packed, out;
            err e;
            str in = {plain, lens[i]};
            buf_init(&packed, 1 << 20);
            buf_init(&out, lens[i] ? lens[i] : 1);
            buf_put_byte(&packed, 'p');   /* both append */
            CHECK(flate_pack(&packed, kind, in, &e) == ERR_OK);
            CHECK(flate_unpack(&out, kind, (str){(char *)packed.p + 1, packed.len - 1}, &e) == ERR_OK);
            CHECK(str_eq(buf_str(&out), in));
            if (kind != FLATE_NONE && lens[i] > 32767) CHECK(packed.len < lens[i] / 2);
            buf_fini(&packed);
            buf_fini(&out);
        }
    }
}

static void cut_and_flipped_data_is_refused(void)
{
    char bytes[sizeof gzipped];
    for (size_t len = 0; len < sizeof gzipped - 1; len++) {
        const char *got = unpack(FLATE_GZIP, (str){gzipped, len}, 100);
        CHECK_STR(got, "400 gzip: the packed data ends too early");
    }
    CHECK_STR(unpack(FLATE_DEFLATE, BYTES(gzipped), 100), "400 deflate: incorrect header check");
    CHECK_STR(unpack(FLATE_GZIP, BYTES("hello"), 100), "400 gzip: incorrect header check");
    for (size_t i = sizeof gzipped - 9; i < sizeof gzipped - 1; i++) {   /* the checksum and the length */
        memcpy(bytes, gzipped, sizeof gzipped);
        bytes[i] ^= 1;
        CHECK(strncmp(unpack(FLATE_GZIP, (str){bytes, sizeof gzipped - 1}, 100), "400 gzip: incorrect ", 20) == 0);
    }
    memcpy(bytes, gzipped, sizeof gzipped);   /* its last byte is a NUL too many */
    CHECK_STR(unpack(FLATE_GZIP, (str){bytes, sizeof gzipped}, 100),
              "400 gzip: expected no bytes behind the packed data, got 1");
}

static void a_bomb_costs_its_limit(void)
{
    static char zeros[1 << 20];
    buf packed;
    err e;
    buf_init(&packed, 1 << 20);
    for (int i = 0; i < 2; i++) {
        buf_clear(&packed);
        CHECK(flate_pack(&packed, FLATE_GZIP, (str){zeros, sizeof zeros}, &e) == ERR_OK);
    }
    CHECK(packed.len < 8192);
    CHECK_STR(unpack(FLATE_GZIP, buf_str(&packed), 65536),
              "413 gzip: unpacked: expected at most 65536 bytes, got 98304");
    buf out;
    buf_init(&out, 100);
    CHECK(flate_pack(&out, FLATE_NONE, (str){zeros, 101}, &e) == ERR_LIMIT);
    buf_fini(&out);
    buf_init(&out, 10);
    CHECK(flate_pack(&out, FLATE_GZIP, (str){zeros, 101}, &e) == ERR_LIMIT);
    buf_fini(&out);
    buf_fini(&packed);
}

static void lists_of_encodings_are_read_in_their_order(void)
{
    static const struct {
        const char *list;
        flate_kind want;
    } rows[] = {{"", FLATE_NONE},
                {"identity", FLATE_NONE},
                {"identity, deflate, gzip", FLATE_DEFLATE},
                {"GZIP", FLATE_GZIP},
                {"br, gzip;q=0.5", FLATE_GZIP},
                {"gzip;q=0, deflate ;q=0.001", FLATE_DEFLATE},
                {"gzip;q=0.000", FLATE_NONE},
                {"gzip; x=0", FLATE_GZIP},
                {"*", FLATE_NONE},
                {",,;,", FLATE_NONE}};
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_U64(flate_accepted(str_of(rows[i].list)), rows[i].want);
    CHECK_U64(flate_named(STR("")), FLATE_NONE);
    CHECK_U64(flate_named(STR("Deflate")), FLATE_DEFLATE);
    CHECK_U64(flate_named(STR("br")), FLATE_KINDS);
    CHECK_STR(flate_name(FLATE_GZIP), "gzip");
}

static void weights_choose(void)
{
    static const struct {
        const char *first, *second;
        flate_kind best;
        bool refuses_plain;
    } rows[] = {{"", "", FLATE_NONE, false},
                {"gzip", "", FLATE_GZIP, false},
                {"deflate", "gzip", FLATE_GZIP, false},
                {"deflate", "gzip;q=0.999", FLATE_DEFLATE, false},
                {"deflate;Q=.5", "gzip ; q = 0.4", FLATE_DEFLATE, false},
                {"gzip;q=7", "deflate", FLATE_GZIP, false},
                {"gzip;q=-1", "", FLATE_NONE, false},
                {"gzip;q=x", "", FLATE_GZIP, false},
                {"gzip;q=0.0004", "", FLATE_NONE, false},
                {"identity;q=0.5, gzip;q=0.4", "", FLATE_NONE, false},
                {"identity;q=0.5, *;q=0.6", "", FLATE_GZIP, false},
                {"identity;q=0", "", FLATE_NONE, true},
                {"identity;q=0, br", "x-gzip;q=0.1", FLATE_GZIP, true},
                {"*;q=0", "", FLATE_NONE, true},
                {"*;q=0, identity", "", FLATE_NONE, false},
                {"*", "", FLATE_GZIP, false},
                {"*;q=0.3, gzip;q=0", "", FLATE_DEFLATE, false},
                {",", ";q=0", FLATE_NONE, false}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        flate_wish w = {.others = 0};
        flate_wish_read(&w, str_of(rows[i].first));
        flate_wish_read(&w, str_of(rows[i].second));
        CHECK_U64(flate_wish_best(&w), rows[i].best);
        CHECK(flate_wish_refuses_plain(&w) == rows[i].refuses_plain);
    }
}

static bool put(void *ctx, str piece)
{
    buf *out = ctx;
    buf_put_str(out, piece);
    return !out->full;
}

/* What its senders mean: see flate.h. */
static const char *unpack_http(flate_kind kind, str packed, size_t limit)
{
    static char text[512];
    buf b;
    err e = {0};
    buf_init(&b, limit);
    if (flate_unpack_http(kind, packed, put, &b, &e))
        snprintf(text, sizeof text, "%d %s", err_http_status(e.code), e.text);
    else
        snprintf(text, sizeof text, "%.*s", (int)b.len, buf_str(&b).p);
    buf_fini(&b);
    return text;
}

static void http_takes_raw_data_and_several_members(void)
{
    char twice[2 * sizeof gzipped];
    size_t n = sizeof gzipped - 1;
    memcpy(twice, gzipped, n);
    memcpy(twice + n, gzipped, n);
    CHECK_STR(unpack_http(FLATE_NONE, BYTES("plain"), 5), "plain");
    CHECK_STR(unpack_http(FLATE_NONE, BYTES("plain"), 4), "429 stopped");
    CHECK_STR(unpack_http(FLATE_GZIP, BYTES(gzipped), 23), "hello hello hello hello");
    CHECK_STR(unpack_http(FLATE_GZIP, BYTES(gzipped), 22), "429 gzip: stopped");
    CHECK_STR(unpack_http(FLATE_GZIP, (str){twice, 2 * n}, 46), "hello hello hello hellohello hello hello hello");
    CHECK_STR(unpack_http(FLATE_GZIP, (str){twice, 2 * n - 1}, 46), "400 gzip: the packed data ends too early");
    CHECK_STR(unpack_http(FLATE_GZIP, (str){twice, n + 1}, 46), "400 gzip: the packed data ends too early");
    twice[n] = 'x';
    CHECK_STR(unpack_http(FLATE_GZIP, (str){twice, 2 * n}, 46), "400 gzip: incorrect header check");
    CHECK_STR(unpack_http(FLATE_DEFLATE, BYTES(deflated), 23), "hello hello hello hello");
    CHECK_STR(unpack_http(FLATE_DEFLATE, (str){deflated + 2, sizeof deflated - 7}, 23), "hello hello hello hello");
    CHECK_STR(unpack_http(FLATE_DEFLATE, (str){deflated + 2, sizeof deflated - 8}, 23),
              "400 deflate: the packed data ends too early");
    CHECK_STR(unpack_http(FLATE_DEFLATE, (str){deflated + 2, sizeof deflated - 6}, 23),
              "400 deflate: expected no bytes behind the packed data, got 1");
    CHECK_STR(unpack_http(FLATE_DEFLATE, (str){deflated, 1}, 23), "400 deflate: the packed data ends too early");
    CHECK_STR(unpack(FLATE_DEFLATE, (str){deflated + 2, sizeof deflated - 7}, 23),
              "400 deflate: incorrect header check");   /* not for gRPC */
}

static void running_out_of_memory_leaves_nothing(void)
{
    err e;
    buf b;
    for (flate_kind kind = FLATE_NONE; kind < FLATE_KINDS; kind++) {
        FAULT_SWEEP({
            buf_init(&b, 1000);
            (void)(flate_pack(&b, kind, STR("hello"), &e) == ERR_OK);
            buf_fini(&b);
        })
    }
    FAULT_SWEEP({
        buf_init(&b, 1000);
        err_code rc = flate_unpack(&b, FLATE_GZIP, BYTES(gzipped), &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        buf_fini(&b);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(others_bodies_are_unpacked), TEST(every_length_comes_back),
        TEST(cut_and_flipped_data_is_refused), TEST(a_bomb_costs_its_limit),
        TEST(lists_of_encodings_are_read_in_their_order), TEST(weights_choose),
        TEST(http_takes_raw_data_and_several_members), TEST(running_out_of_memory_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
