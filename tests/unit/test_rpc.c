/* A gRPC call ends exactly once, with its answers in the order of its messages and a status that says why, however its
 * bytes are cut, whoever runs it, and whether its client waits or not; a steady load takes nothing from the heap. */
#include "base/slab.h"
#include "fake/sys_fake.h"
#include "grpc_rig.h"
#include "serve/rpc.h"
#include "test.h"
#include "v2_pb_text.h"
#include "wire/grpc.h"

static char twice_path[64], slow_path[64];
static const char *const models[] = {"m", twice_path, NULL},
                        *const slow_too[] = {"m", twice_path, "slow", slow_path, NULL};
enum { SLOW_ROWS = 2048 };   /* take the slow model a second: it is at work even when its loop comes late */
static grpc_rig g;
static buf message, text;

#define INFER "/inference.GRPCInferenceService/ModelInfer"
#define STREAM "/inference.GRPCInferenceService/ModelStreamInfer"
#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

static void start(const http_rig_opts *o)
{
    bool started = grpc_rig_start(&g, o, models);
    INVARIANT(started);
}

static void start_slow(const http_rig_opts *o)
{
    bool started = grpc_rig_start(&g, o, slow_too);
    INVARIANT(started);
}

/* x FP32 [rows,2] of 1, 2, 3...; raw. */
static str request(const char *name, const char *id, int64_t rows)
{
    static float x[1 << 20];
    INVARIANT(rows * 2 <= (int64_t)COUNTOF(x));
    for (int64_t i = 0; i < rows * 2; i++) x[i] = (float)(i + 1);
    buf_clear(&message);
    pb_put_str(&message, 1, str_of(name));
    pb_put_str(&message, 3, str_of(id));
    size_t in = pb_open(&message, 5);
    pb_put_str(&message, 1, STR("x"));
    pb_put_str(&message, 2, STR("FP32"));
    pb_put_packed_i64(&message, 3, (int64_t[]){rows, 2}, 2);
    pb_close(&message, in);
    pb_put_bytes(&message, 7, x, (size_t)rows * 2 * sizeof *x);
    return buf_str(&message);
}

static const char *as_text(void (*read)(buf *, str), str got)
{
    buf_clear(&text);
    if (got.p) read(&text, got);
    buf_put_byte(&text, 0);
    return (const char *)text.p;
}

#define ANSWER "m/1 id=a y:FP32[1,2] raw=0000004000008040"

static void a_model_answers_inline_and_from_the_queue(void)
{
    static const char *const inline_us[] = {"500", "0"};
    for (size_t i = 0; i < COUNTOF(inline_us); i++) {
        str got;
        start(&(http_rig_opts){.threads = "1", .inline_us = inline_us[i]});
        for (int k = 0; k < 3; k++) {
            CHECK_STR(grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &got), "0 ");
            CHECK_STR(as_text(v2_pb_text, got), ANSWER);
        }
        CHECK_STR(grpc_rig_unary(&g, INFER, "content-type: application/grpc+proto\n", request("m", "a", 1), &got),
                  "0 ");
        CHECK_STR(as_text(v2_pb_text, got), ANSWER);
        CHECK_U64(COUNT(http_rig_model(&g.rig, "m"), success), 4);
        grpc_rig_stop(&g);
    }
}

static void every_cut_of_a_call_is_answered_the_same(void)
{
    start(&(http_rig_opts){.threads = "1", .inline_us = "500"});
    uint8_t whole[400] = {0};
    str m = request("m", "a", 1);
    grpc_prefix_print(whole, false, (uint32_t)m.len);
    memcpy(whole + GRPC_PREFIX_BYTES, m.p, m.len);
    size_t len = m.len + GRPC_PREFIX_BYTES;
    for (size_t cut = 0; cut <= len; cut++) {
        grpc_rig_forget(&g);
        grpc_call *c = grpc_rig_call(&g, INFER, "");
        grpc_rig_send(&g, c, (str){(char *)whole, cut}, false);
        grpc_rig_turn(&g, 1);
        grpc_rig_send(&g, c, (str){(char *)whole + cut, len - cut}, true);
        CHECK(grpc_rig_until(&g, c, 0));
        CHECK_STR(c->status, "0");
        CHECK_STR(as_text(v2_pb_text, grpc_rig_got(c, 0, NULL)), ANSWER);
    }
    grpc_rig_stop(&g);
}

static void large_tensors_come_and_go(void)
{
    enum { ROWS = 300000 };
    str got;
    start(&(http_rig_opts){.threads = "1"});
    uint64_t before = sys_fake_scattered();
    CHECK_STR(grpc_rig_unary(&g, INFER, "", request("m", "a", ROWS), &got), "0 ");
    CHECK(sys_fake_scattered() > before);   /* they are read to where they stay */
    pb m;
    pb_field f;
    str raw = {0};
    for (pb_init(&m, got.p, got.len); pb_next(&m, &f);)
        if (f.number == 6) raw = pb_bytes(&m, &f);
    CHECK_U64(raw.len, ROWS * 8);
    float last = 0;
    if (raw.len) memcpy(&last, raw.p + raw.len - sizeof last, sizeof last);
    CHECK(last == 2.0f * 2 * ROWS);
    grpc_rig_stop(&g);
}

static void what_is_wrong_with_a_call_has_its_status(void)
{
    start(&(http_rig_opts){.threads = "1"});
    CHECK_STR(grpc_rig_unary(&g, "/a.B/C", "", STR(""), NULL), "12 unknown method /a.B/C");
    CHECK_STR(grpc_rig_unary(&g, INFER, "", request("none", "a", 1), NULL), "5 Model with name none does not exist.");
    CHECK(g.calls[0].details[0] == 'C' && g.calls[0].details[1] == 'A' && g.calls[0].details[2] == 'U');   /* code 5 */
    CHECK_STR(grpc_rig_unary(&g, INFER, "", STR("\x0a\x05m"), NULL),
              "3 ModelInferRequest: byte 1: field 1: length: expected at most the 1 bytes that follow, got 5");
    CHECK_STR(grpc_rig_unary(&g, INFER, "grpc-encoding: br\n", request("m", "a", 1), NULL),
              "12 grpc-encoding: expected identity, deflate or gzip, got 'br'");
    CHECK_STR(g.calls[0].accepts, "identity,deflate,gzip");
    CHECK_STR(grpc_rig_unary(&g, INFER, "grpc-timeout: 1s\n", request("m", "a", 1), NULL),
              "3 grpc-timeout: expected 1 to 8 digits and one of H M S m u n, got '1s'");
    CHECK_STR(grpc_rig_unary(&g, INFER, "grpc-timeout: 0n\n", request("m", "a", 1), NULL), "4 the deadline passed");
    CHECK_STR(grpc_rig_unary(&g, INFER, "content-type: application/grpc+json\n", request("m", "a", 1), NULL), "404");
    CHECK_STR(grpc_rig_unary(&g, INFER, "content-type: application/json\n", request("m", "a", 1), NULL), "404");
    grpc_rig_stop(&g);
}

static const char *body_of(const char *path, const char *headers, str bytes)
{
    grpc_rig_forget(&g);
    grpc_call *c = grpc_rig_call(&g, path, headers);
    grpc_rig_send(&g, c, bytes, true);
    if (!grpc_rig_until(&g, c, 0)) return "timeout";
    snprintf(g.text, sizeof g.text, "%s %s", c->status, c->message);
    return g.text;
}

#define BYTES(literal) ((str){literal, sizeof literal - 1})

static void bodies_that_lie_are_refused(void)
{
    start(&(http_rig_opts){.threads = "1"});
    CHECK_STR(body_of(INFER, "", BYTES("")), "12 " INFER ": expected exactly one message, got none");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\0\0\0\0\0\0")),
              "12 " INFER ": expected exactly one message, got more");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\0\0\0\0\0\1x")),
              "12 " INFER ": expected exactly one message, got more");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\1x\0\0\0\0\1x")),
              "12 " INFER ": expected exactly one message, got more");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\1x\0\0\0\0\2x")),
              "12 " INFER ": expected exactly one message, got more");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\1x\0")),
              "13 message: expected 5 bytes of prefix, the stream ended after 1");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\5abc")), "13 message: expected 5 bytes, the stream ended after 3");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0")), "13 message: expected 5 bytes of prefix, the stream ended after 2");
    CHECK_STR(body_of(INFER, "", BYTES("\3\0\0\0\1a")), "13 message: compressed flag: expected 0 or 1, got 3");
    CHECK_STR(body_of(INFER, "", BYTES("\1\0\0\0\1a")),
              "13 message: compressed flag: expected 0 without grpc-encoding, got 1");
    CHECK_STR(body_of(INFER, "grpc-encoding: gzip\n", BYTES("\1\0\0\0\1a")), "13 gzip: the packed data ends too early");
    CHECK_STR(body_of(INFER, "", BYTES("\0\377\377\377\377abc")),
              "8 message: expected at most 67108864 bytes, got 4294967295");
    CHECK_STR(body_of(STREAM, "", BYTES("")), "0 ");
    CHECK_STR(body_of("/grpc.health.v1.Health/Watch", "", BYTES("")),
              "12 /grpc.health.v1.Health/Watch: expected exactly one message, got none");
    CHECK_STR(body_of(INFER, "", BYTES("\0\0\0\0\0")), "5 Model with name  does not exist.");
    grpc_rig_stop(&g);
}

/* Far more than may be under way, then a cut one: all are answered, and the cut is told. */
static void a_stream_that_ends_inside_a_message_is_refused(void)
{
    enum { N = 20000 };
    start(&(http_rig_opts){.threads = "1"});
    for (int cut = 1; cut <= 7; cut += 3) {
        buf all;
        char want[80];
        grpc_rig_forget(&g);
        buf_init(&all, 1 << 20);
        for (int i = 0; i < N; i++) buf_put(&all, "\0\0\0\0\2\x3a", 7);
        buf_put(&all, "\0\0\0\0\3\x3a\1", (size_t)cut);
        grpc_call *c = grpc_rig_call(&g, REFLECT, "");
        grpc_rig_send(&g, c, buf_str(&all), true);
        CHECK(grpc_rig_until(&g, c, 0));
        if (cut < 5) snprintf(want, sizeof want, "message: expected 5 bytes of prefix, the stream ended after %d", cut);
        else snprintf(want, sizeof want, "message: expected 3 bytes, the stream ended after %d", cut - 5);
        CHECK_STR(c->status, "13");
        CHECK_STR(c->message, want);
        buf_fini(&all);
    }
    grpc_rig_stop(&g);
}

/* See net/low_water.h: the connection is told how much of the message is still to come. */
static void the_rest_of_a_long_message_is_waited_for_at_once(void)
{
    static char zeros[200 << 10];
    start(&(http_rig_opts){.threads = "1"});
    (void)grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &(str){0});
    uint64_t before = sys_fake_calls(SYS_option_set);
    grpc_call *c = grpc_rig_call(&g, INFER, "");
    grpc_rig_send(&g, c, BYTES("\0\0\x0f\0\0"), false);
    grpc_rig_send(&g, c, (str){zeros, sizeof zeros}, false);
    for (int i = 0; i < 30000 && sys_fake_calls(SYS_option_set) == before; i++) grpc_rig_turn(&g, 2);
    CHECK(sys_fake_calls(SYS_option_set) > before);
    grpc_rig_reset(&g, c);
    CHECK(strncmp(grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &(str){0}), "0 ", 2) == 0);
    grpc_rig_stop(&g);
}

/* Messages that have not all come hold memory of all requests' bodies; who comes then is told to come again. */
static void the_memory_of_all_messages_together_is_bounded(void)
{
    static char zeros[300 << 10];
    start(&(http_rig_opts){.threads = "1", .body_bytes_max = "1Mi"});   /* so four bodies, as the server's default is */
    quota *q = server_bodies(g.rig.server);
    CHECK_U64(quota_used(q), 0);
    grpc_call *calls[20];
    size_t refused = 0;
    for (size_t i = 0; i < COUNTOF(calls); i++) {
        calls[i] = grpc_rig_call(&g, INFER, "");
        grpc_rig_send(&g, calls[i], BYTES("\0\0\x0f\0\0"), false);   /* 960 KB to come, of which 300 do */
        grpc_rig_send(&g, calls[i], (str){zeros, sizeof zeros}, false);
    }
    for (int i = 0; i < 30000 && refused == 0; i++) {
        grpc_rig_turn(&g, 2);
        for (size_t k = 0; k < COUNTOF(calls); k++) refused += str_is(str_of(calls[k]->status), "14");
    }
    CHECK(refused > 0 && quota_used(q) > 0 && quota_used(q) <= q->max);
    for (size_t i = 0; i < COUNTOF(calls); i++)
        if (!calls[i]->closed) grpc_rig_reset(&g, calls[i]);
    for (int i = 0; i < 30000 && quota_used(q) > q->max / ASK_KEEP_SHARE; i++) grpc_rig_turn(&g, 2);
    CHECK(quota_used(q) <= q->max / ASK_KEEP_SHARE);
    CHECK(strncmp(grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &(str){0}), "0 ", 2) == 0);
    grpc_rig_stop(&g);
}

static void messages_are_compressed_both_ways(void)
{
    static const char *const names[] = {"gzip", "deflate"};
    start(&(http_rig_opts){.threads = "1"});
    for (size_t i = 0; i < COUNTOF(names); i++) {
        buf packed, plain;
        char headers[100];
        err e;
        bool flag;
        grpc_rig_forget(&g);
        buf_init(&packed, 1 << 20);
        buf_init(&plain, 1 << 20);
        CHECK(flate_pack(&packed, flate_named(str_of(names[i])), request("m", "a", 1000), &e) == ERR_OK);
        snprintf(headers, sizeof headers, "grpc-encoding: %s\ngrpc-accept-encoding: identity,%s\n", names[i], names[i]);
        grpc_call *c = grpc_rig_call(&g, INFER, headers);
        grpc_rig_message(&g, c, buf_str(&packed), true, true);
        CHECK(grpc_rig_until(&g, c, 0));
        CHECK_STR(c->status, "0");
        CHECK_STR(c->encoding, names[i]);
        str got = grpc_rig_got(c, 0, &flag);
        CHECK(flag && got.len < 8000);
        CHECK(flate_unpack(&plain, flate_named(str_of(names[i])), got, &e) == ERR_OK && plain.len > 8000);
        /* A small answer would only grow: it goes as it is. */
        CHECK_STR(grpc_rig_unary(&g, INFER, headers, request("m", "a", 1), &got), "0 ");
        CHECK_STR(as_text(v2_pb_text, got), ANSWER);
        buf_fini(&packed);
        buf_fini(&plain);
    }
    grpc_rig_stop(&g);
}

static void a_bomb_is_refused_at_the_limit(void)
{
    static const char zeros[1 << 20];
    buf packed, twice;
    err e;
    start(&(http_rig_opts){.threads = "1"});
    buf_init(&packed, 1 << 20);
    buf_init(&twice, 128 << 20);
    for (int i = 0; i < 80; i++) buf_put(&twice, zeros, sizeof zeros);
    CHECK(flate_pack(&packed, FLATE_GZIP, buf_str(&twice), &e) == ERR_OK);
    grpc_call *c = grpc_rig_call(&g, INFER, "grpc-encoding: gzip\n");
    grpc_rig_message(&g, c, buf_str(&packed), true, true);
    CHECK(grpc_rig_until(&g, c, 0));
    CHECK_STR(c->status, "8");
    CHECK(strstr(c->message, "gzip: unpacked: expected at most 67108864 bytes, got "));
    buf_fini(&packed);
    buf_fini(&twice);
    grpc_rig_stop(&g);
}

/* Many messages at once, some wrong: the answers stand in their order. */
static void a_stream_answers_in_order_and_goes_on_after_errors(void)
{
    enum { N = 3 * RPC_ASKS_MAX };
    static const char *const inline_us[] = {"500", "0"};
    for (size_t k = 0; k < COUNTOF(inline_us); k++) {
        start(&(http_rig_opts){.threads = "2", .inline_us = inline_us[k], .queue_max = "1000"});
        grpc_call *c = grpc_rig_call(&g, STREAM, "");
        char id[16], want[200];
        for (int i = 0; i < N; i++) {
            snprintf(id, sizeof id, "r%d", i);
            grpc_rig_message(&g, c, request(i % 7 == 3 ? "none" : "m", id, 1), false, i == N - 1);
        }
        CHECK(grpc_rig_until(&g, c, 0));
        CHECK_STR(c->status, "0");
        for (int i = 0; i < N; i++) {
            if (i % 7 == 3) snprintf(want, sizeof want, "error=Model with name none does not exist.{ id=r%d}", i);
            else snprintf(want, sizeof want,
                          "{m/1 id=r%d p=triton_final_response:true y:FP32[1,2] raw=0000004000008040}", i);
            CHECK_STR(as_text(v2_pb_stream_text, grpc_rig_got(c, (size_t)i, NULL)), want);
        }
        CHECK(grpc_rig_got(c, N, NULL).p == NULL);
        grpc_rig_stop(&g);
    }
}

/* All its messages have come at once: another call that came behind them is answered before the last of them is. */
static void a_long_stream_lets_the_others_have_their_turn(void)
{
    enum { N = 3 * RPC_TURN_MAX };   /* answers that fit one frame: who is done first ends first */
    start(&(http_rig_opts){.threads = "1"});
    CHECK_STR(grpc_rig_unary(&g, "/grpc.health.v1.Health/Check", "", STR(""), NULL), "0 0801");   /* windows are open */
    grpc_rig_forget(&g);
    grpc_call *c = grpc_rig_call(&g, REFLECT, "");
    for (int i = 0; i < N; i++) grpc_rig_message(&g, c, STR("\x22\1?"), false, i == N - 1);
    grpc_call *other = grpc_rig_call(&g, "/grpc.health.v1.Health/Check", "");
    grpc_rig_message(&g, other, STR(""), false, true);
    CHECK(grpc_rig_until(&g, other, 0) && grpc_rig_until(&g, c, 0));
    CHECK(c->in.len < 16384 && other->place < c->place);
    CHECK_STR(other->status, "0");
    CHECK_STR(c->status, "0");
    CHECK(grpc_rig_got(c, N - 1, NULL).p && !grpc_rig_got(c, N, NULL).p);
    grpc_rig_stop(&g);
}

static void a_stream_may_end_with_its_first_error(void)
{
    start(&(http_rig_opts){.threads = "1"});
    grpc_call *c = grpc_rig_call(&g, STREAM, "triton_grpc_error: true\n");
    grpc_rig_message(&g, c, request("m", "1", 1), false, false);
    grpc_rig_message(&g, c, request("none", "2", 1), false, false);
    grpc_rig_message(&g, c, request("m", "3", 1), false, false);
    CHECK(grpc_rig_until(&g, c, 0));
    CHECK_STR(c->status, "5");
    CHECK_STR(c->message, "Model with name none does not exist.");
    CHECK(grpc_rig_got(c, 0, NULL).p && !grpc_rig_got(c, 1, NULL).p);
    grpc_rig_stop(&g);
}

/* The client's window is shut: nothing piles up behind it, and nothing is lost when it opens. */
static void a_client_that_does_not_read_holds_its_own_stream_only(void)
{
    enum { N = 600, ROWS = 512 };
    str got;
    start(&(http_rig_opts){.threads = "1"});
    g.hold_windows = true;
    grpc_call *c = grpc_rig_call(&g, STREAM, "");
    for (int i = 0; i < N; i++) grpc_rig_message(&g, c, request("m", "a", ROWS), false, i == N - 1);
    for (int i = 0; i < 2000 && COUNT(http_rig_model(&g.rig, "m"), success) == 0; i++) grpc_rig_turn(&g, 30);
    grpc_rig_turn(&g, 60);
    uint64_t done = COUNT(http_rig_model(&g.rig, "m"), success);
    CHECK(done > 0 && done < N);
    for (int i = 0; i < 60000 && !c->closed; i++) {
        grpc_rig_take(&g, c);
        grpc_rig_turn(&g, 1);
    }
    CHECK(c->closed);
    CHECK_STR(c->status, "0");
    CHECK(grpc_rig_got(c, N - 1, NULL).p != NULL);
    g.hold_windows = false;
    CHECK_STR(grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &got), "0 ");
    grpc_rig_stop(&g);
}

/* Some of the answers lie in the connection, some where they were made: together they are too many, so the last ones
 * are errors, in their places. */
static void answers_that_wait_for_a_client_are_bounded(void)
{
    enum { N = 60, ROWS = 16384 };   /* 7.5 MB */
    size_t good = 0, refused = 0;
    start(&(http_rig_opts){.threads = "1", .replies_bytes_max = "4Mi"});
    g.hold_windows = true;
    grpc_call *c = grpc_rig_call(&g, STREAM, "");
    for (size_t i = 0; i < N; i++) grpc_rig_message(&g, c, request("m", "a", ROWS), false, i == N - 1);
    const served *m = http_rig_model(&g.rig, "m");
    for (int i = 0; i < 20000 && COUNT(m, success) < N; i++) grpc_rig_turn(&g, 1);
    server_stats stats;
    server_stats_read(g.rig.server, &stats);
    CHECK(stats.replies_refused > 0 && stats.replies_bytes <= 4 << 20);
    for (int i = 0; i < 20000 && !c->closed; i++) {
        grpc_rig_take(&g, c);
        grpc_rig_turn(&g, 1);
    }
    g.hold_windows = false;
    CHECK_STR(c->status, "0");
    for (size_t i = 0; i < N; i++) {
        static const char why[] = "answers: expected at most 4194304 bytes that wait for clients";
        str got = grpc_rig_got(c, i, NULL);
        CHECK(got.p);
        refused += got.p && memmem(got.p, got.len, why, sizeof why - 1);
        good += got.len > ROWS * 8;
    }
    CHECK(refused > 0 && good > 8 && refused + good == N);
    str got;
    CHECK_STR(grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &got), "0 ");
    grpc_rig_stop(&g);
}

static void a_deadline_ends_what_runs_and_drops_what_waits(void)
{
    start_slow(&(http_rig_opts){.threads = "1", .inline_us = "0"});
    served *slow = http_rig_model(&g.rig, "slow");
    grpc_call *first = grpc_rig_call(&g, INFER, "grpc-timeout: 60m\n");
    grpc_rig_message(&g, first, request("slow", "a", SLOW_ROWS), false, true);
    grpc_call *second = grpc_rig_call(&g, INFER, "grpc-timeout: 30m\n");
    grpc_rig_message(&g, second, request("slow", "b", SLOW_ROWS), false, true);
    CHECK(grpc_rig_until(&g, second, 0) && grpc_rig_until(&g, first, 0));
    CHECK_STR(second->status, "4");
    CHECK(strncmp(second->message, "the deadline passed", 19) == 0);   /* the call saw it first, or the queue */
    CHECK_STR(first->status, "4");
    for (int i = 0; i < 6000 && COUNT(slow, cancelled) + COUNT(slow, expired) < 2; i++)
        grpc_rig_turn(&g, 10);
    CHECK_U64(COUNT(slow, cancelled) + COUNT(slow, expired), 2);
    CHECK_U64(COUNT(slow, success), 0);
    grpc_rig_stop(&g);
}

static void a_run_has_so_much_time(void)
{
    start_slow(&(http_rig_opts){.threads = "1", .inline_us = "0", .compute_wait_ms = "1"});
    CHECK_STR(grpc_rig_unary(&g, INFER, "", request("slow", "a", SLOW_ROWS), NULL),
              "4 run: expected its end within 1 ms");
    CHECK_U64(COUNT(http_rig_model(&g.rig, "slow"), failure), 1);
    CHECK_U64(COUNT(http_rig_model(&g.rig, "slow"), expired), 0);
    grpc_rig_stop(&g);
}

static void a_call_that_is_reset_is_cancelled(void)
{
    start_slow(&(http_rig_opts){.threads = "1", .inline_us = "0"});
    served *slow = http_rig_model(&g.rig, "slow");
    grpc_call *c = grpc_rig_call(&g, INFER, "");
    grpc_rig_message(&g, c, request("slow", "a", SLOW_ROWS), false, true);
    grpc_call *stream = grpc_rig_call(&g, STREAM, "");
    for (int i = 0; i < 5; i++) grpc_rig_message(&g, stream, request("slow", "a", SLOW_ROWS), false, false);
    grpc_call *half = grpc_rig_call(&g, INFER, "");
    grpc_rig_send(&g, half, STR("\0\0"), false);
    for (int i = 0; i < 20; i++) grpc_rig_turn(&g, 1);   /* all has come, whatever one of them was kept from */
    grpc_rig_reset(&g, c);
    grpc_rig_reset(&g, stream);
    grpc_rig_reset(&g, half);
    for (int i = 0; i < 6000 && COUNT(slow, cancelled) < 6; i++) grpc_rig_turn(&g, 10);
    CHECK_U64(COUNT(slow, cancelled), 6);
    grpc_rig_stop(&g);
}

static void the_connection_may_go_while_models_run(void)
{
    start_slow(&(http_rig_opts){.threads = "1", .inline_us = "0"});
    for (int i = 0; i < 3; i++) {
        grpc_call *c = grpc_rig_call(&g, i == 1 ? STREAM : INFER, "grpc-timeout: 10S\n");
        grpc_rig_message(&g, c, request("slow", "a", SLOW_ROWS), false, true);
    }
    grpc_rig_turn(&g, 5);
    http_rig_hang_up(&g.rig, true);
    http_rig_turn(&g.rig, 20);
    grpc_rig_stop(&g);
}

static void a_full_queue_is_resource_exhausted(void)
{
    start_slow(&(http_rig_opts){.threads = "1", .inline_us = "0", .queue_max = "1"});
    grpc_call *calls[4];
    size_t refused = 0;
    for (size_t i = 0; i < COUNTOF(calls); i++) {
        calls[i] = grpc_rig_call(&g, INFER, "");
        grpc_rig_message(&g, calls[i], request("slow", "a", 256), false, true);
    }
    for (int i = 0; i < 30000 && refused < 2; i++) {
        grpc_rig_turn(&g, 2);
        refused = 0;
        for (size_t k = 0; k < COUNTOF(calls); k++) refused += str_is(str_of(calls[k]->status), "8");
    }
    CHECK(refused >= 2);
    grpc_rig_stop(&g);
}

static void health_is_watched_until_the_server_leaves(void)
{
    start(&(http_rig_opts){.threads = "1"});
    CHECK_STR(grpc_rig_unary(&g, "/grpc.health.v1.Health/Check", "", STR(""), NULL), "0 0801");
    CHECK_STR(grpc_rig_unary(&g, "/grpc.health.v1.Health/Check", "", STR("\x0a\x01m"), NULL), "0 0801");
    CHECK_STR(grpc_rig_unary(&g, "/grpc.health.v1.Health/Check", "", STR("\x0a\x1einference.GRPCInferenceService"),
                             NULL), "0 0801");
    CHECK_STR(grpc_rig_unary(&g, "/grpc.health.v1.Health/Check", "", STR("\x0a\x01?"), NULL), "5 unknown service ?");
    grpc_rig_forget(&g);
    grpc_call *all = grpc_rig_call(&g, "/grpc.health.v1.Health/Watch", "");
    grpc_rig_message(&g, all, STR(""), false, true);
    grpc_call *unknown = grpc_rig_call(&g, "/grpc.health.v1.Health/Watch", "");
    grpc_rig_message(&g, unknown, STR("\x0a\x01?"), false, true);
    grpc_call *gone = grpc_rig_call(&g, "/grpc.health.v1.Health/Watch", "");
    grpc_rig_message(&g, gone, STR(""), false, true);
    CHECK(grpc_rig_until(&g, all, 7) && grpc_rig_until(&g, unknown, 7) && grpc_rig_until(&g, gone, 7));
    CHECK(str_eq(grpc_rig_got(all, 0, NULL), STR("\x08\x01")));
    CHECK(str_eq(grpc_rig_got(unknown, 0, NULL), STR("\x08\x03")));
    grpc_rig_reset(&g, gone);
    endpoints_leave(&g.rig.endpoints);
    endpoint_pools_leave(&g.rig.pools);
    CHECK(grpc_rig_until(&g, all, 0) && grpc_rig_until(&g, unknown, 0));
    CHECK(str_eq(grpc_rig_got(all, 1, NULL), STR("\x08\x02")));
    CHECK_STR(all->status, "14");
    grpc_call *late = grpc_rig_call(&g, "/grpc.health.v1.Health/Watch", "");
    grpc_rig_message(&g, late, STR(""), false, true);
    CHECK(grpc_rig_until(&g, late, 0));
    CHECK(str_eq(grpc_rig_got(late, 0, NULL), STR("\x08\x02")));
    grpc_rig_stop(&g);
}

#define UNLOAD "/inference.GRPCInferenceService/RepositoryModelUnload"
#define LOAD "/inference.GRPCInferenceService/RepositoryModelLoad"

static grpc_call *watch(str request)
{
    grpc_call *c = grpc_rig_call(&g, "/grpc.health.v1.Health/Watch", "");
    grpc_rig_message(&g, c, request, false, true);
    CHECK(grpc_rig_until(&g, c, 7));
    return c;
}

static void control(const char *path)
{
    grpc_call *c = grpc_rig_call(&g, path, "");
    grpc_rig_message(&g, c, STR("\x12\x01m"), false, true);
    CHECK(grpc_rig_until(&g, c, 0));
    CHECK_STR(c->status, "0");
}

static void health_is_watched_while_models_come_and_go(void)
{
    start(&(http_rig_opts){.threads = "1", .model_control = "explicit"});
    grpc_call *all = watch(STR("")), *m = watch(STR("\x0a\x01m")), *unknown = watch(STR("\x0a\x01?"));
    grpc_call *gone = watch(STR("\x0a\x01m"));
    grpc_rig_reset(&g, gone);
    control(UNLOAD);
    CHECK(grpc_rig_until(&g, m, 14) && str_eq(grpc_rig_got(m, 1, NULL), STR("\x08\x02")));
    grpc_call *late = watch(STR("\x0a\x01m"));
    CHECK(str_eq(grpc_rig_got(late, 0, NULL), STR("\x08\x02")));
    control(LOAD);
    CHECK(grpc_rig_until(&g, m, 21) && str_eq(grpc_rig_got(m, 2, NULL), STR("\x08\x01")));
    CHECK(grpc_rig_until(&g, late, 14) && str_eq(grpc_rig_got(late, 1, NULL), STR("\x08\x01")));
    control(LOAD);   /* as healthy as before: nothing to tell */
    grpc_rig_turn(&g, 20);
    CHECK(m->in.len == 21 && late->in.len == 14 && all->in.len == 7 && unknown->in.len == 7);
    grpc_rig_stop(&g);
}

/* Whoever does not read is told when he does, and only how it is by then. */
static void watch_without_reading(bool leaving)
{
    enum { CHANGES = 60001 };   /* of 7 bytes: more than the window, and what may wait behind it */
    start(&(http_rig_opts){.threads = "1"});
    g.hold_windows = true;
    grpc_call *m = watch(STR("\x0a\x01m"));
    for (int i = 0; i < CHANGES; i++) {
        atomic_store(&g.rig.endpoints.leaving, i % 2 == 0);
        rpc_pool_look(g.rig.pools.rpcs);
        if (i % 500 == 0) grpc_rig_turn(&g, 1);
    }
    atomic_store(&g.rig.endpoints.leaving, leaving);
    rpc_pool_look(g.rig.pools.rpcs);
    grpc_rig_turn(&g, 10);
    size_t held = m->in.len;
    for (int i = 0; i < 200; i++) {
        grpc_rig_take(&g, m);
        grpc_rig_turn(&g, 1);
    }
    g.hold_windows = false;
    CHECK(held < m->in.len && m->in.len < 7 * CHANGES && m->in.p[m->in.len - 1] == (leaving ? 2 : 1));
    grpc_rig_stop(&g);
}

static void a_watcher_that_does_not_read_is_told_the_latest(void)
{
    watch_without_reading(false);
    watch_without_reading(true);
}

static void changes_make_one_look_and_names_are_bounded(void)
{
    static char name[RPC_WATCHED_MAX + 8];
    start(&(http_rig_opts){.threads = "1"});
    grpc_call *m = watch(STR("\x0a\x01m")), *longer = grpc_rig_call(&g, "/grpc.health.v1.Health/Watch", "");
    memset(name, 'n', sizeof name);
    memcpy(name, "\x0a\x82\x20", 3);   /* 4098 bytes of it */
    grpc_rig_message(&g, longer, (str){name, 3 + 4098}, false, true);
    CHECK(grpc_rig_until(&g, longer, 0));
    CHECK_STR(longer->message, "service: expected at most 4096 bytes");
    for (int i = 0; i < 4; i++) endpoints_models_changed(&g.rig.endpoints);
    grpc_rig_turn(&g, 10);
    CHECK_U64(m->in.len, 7);
    grpc_rig_stop(&g);
}

static void a_stream_that_owes_no_answer_ends_when_the_server_drains(void)
{
    static const char leaving[] = "the server is leaving";
    start(&(http_rig_opts){.threads = "1"});
    str one = request("m", "a", 1);
    uint8_t prefix[GRPC_PREFIX_BYTES];
    grpc_prefix_print(prefix, false, (uint32_t)one.len);
    grpc_call *silent = grpc_rig_call(&g, STREAM, ""), *reflects = grpc_rig_call(&g, REFLECT, "");
    grpc_call *half = grpc_rig_call(&g, STREAM, ""), *used = grpc_rig_call(&g, STREAM, "");
    grpc_rig_send(&g, half, (str){(const char *)prefix, 3}, false);
    grpc_rig_message(&g, used, one, false, false);
    CHECK(grpc_rig_until(&g, used, 20));
    endpoint_pools_drain(&g.rig.pools);
    grpc_call *const idle[] = {silent, reflects, used};
    for (size_t i = 0; i < COUNTOF(idle); i++) {
        CHECK(grpc_rig_until(&g, idle[i], 0));
        CHECK_STR(idle[i]->status, "14");
        CHECK_STR(idle[i]->message, leaving);
    }
    CHECK(!half->closed);   /* of a message that has begun the answer is owed */
    grpc_rig_send(&g, half, (str){(const char *)prefix + 3, sizeof prefix - 3}, false);
    grpc_rig_send(&g, half, one, false);
    CHECK(grpc_rig_until(&g, half, 0));
    CHECK(grpc_rig_got(half, 0, NULL).p && !grpc_rig_got(half, 1, NULL).p);
    CHECK_STR(half->status, "14");
    grpc_call *whole = grpc_rig_call(&g, STREAM, ""), *late = grpc_rig_call(&g, STREAM, "");
    grpc_rig_message(&g, whole, one, false, true);
    CHECK(grpc_rig_until(&g, whole, 0) && grpc_rig_until(&g, late, 0));
    CHECK_STR(whole->status, "0");
    CHECK_STR(late->status, "14");
    grpc_rig_stop(&g);
}

static void each_message_of_reflection_is_answered(void)
{
    start(&(http_rig_opts){.threads = "1"});
    grpc_call *c = grpc_rig_call(&g, REFLECT, "");
    grpc_rig_message(&g, c, STR("\x3a\x01*"), false, false);
    CHECK(grpc_rig_until(&g, c, 20));
    grpc_rig_message(&g, c, STR("\x22\x05?.Foo"), false, false);
    grpc_rig_message(&g, c, STR("\x22\x1binference.ModelInferRequest"), false, true);
    CHECK(grpc_rig_until(&g, c, 0));
    CHECK_STR(c->status, "0");
    str services = grpc_rig_got(c, 0, NULL), unknown = grpc_rig_got(c, 1, NULL), file = grpc_rig_got(c, 2, NULL);
    CHECK(services.p && memmem(services.p, services.len, "inference.GRPCInferenceService", 30));
    CHECK(unknown.p && memmem(unknown.p, unknown.len, "symbol not found: ?.Foo", 23));
    CHECK(file.p && memmem(file.p, file.len, "raw_input_contents", 18));
    grpc_rig_stop(&g);
}

/* It comes to rest: rounds in a row that take nothing.  When that is depends on how the threads meet. */
static void a_steady_load_takes_nothing_from_the_heap(void)
{
    enum { AT_REST = 30, ROUNDS_MAX = 2000 };
    static const char *const inline_us[] = {"500", "0"};
    for (size_t i = 0; i < COUNTOF(inline_us); i++) {
        start(&(http_rig_opts){.threads = "1", .inline_us = inline_us[i]});
        int quiet = 0;
        for (int k = 0; k < ROUNDS_MAX && quiet < AT_REST; k++) {
            grpc_rig_forget(&g);
            grpc_call *c = grpc_rig_call(&g, INFER, "grpc-timeout: 10S\n"), *s = grpc_rig_call(&g, STREAM, "");
            grpc_rig_message(&g, c, request("m", "a", 1), false, true);
            grpc_rig_message(&g, s, request("m", "a", 1), false, false);
            grpc_rig_message(&g, s, request("m", "a", 2), false, true);
            CHECK(buf_room(&c->in, 1000) && buf_room(&s->in, 1000));   /* the client's own memory is there before */
            long before = mem_allocs();
            CHECK(grpc_rig_until(&g, c, 0) && grpc_rig_until(&g, s, 0));
            quiet = mem_allocs() == before ? quiet + 1 : 0;
            CHECK_STR(c->status, "0");
            CHECK_STR(s->status, "0");
        }
        if (slab_recycles()) CHECK_U64((uint64_t)quiet, AT_REST);
        grpc_rig_stop(&g);
    }
}

/* Whatever allocation fails, the client hears of it and the next call is answered. */
static void no_memory_is_a_status_or_the_end_of_a_connection(void)
{
    static const char *const paths[] = {INFER, STREAM, REFLECT, "/grpc.health.v1.Health/Watch"};
    err e;
    FAULT_SWEEP({
        ask_pool *asks = NULL;
        if (ask_pool_new(&asks, &(ask_opts){.reply_bytes_max = 1, .message_bytes_max = 1}, &e) == ERR_OK)
            ask_pool_free(asks);
        rpc_pool *calls = NULL;
        if (rpc_pool_new(&calls, &(ask_opts){.reply_bytes_max = 1, .message_bytes_max = 1}, &e) == ERR_OK)
            rpc_pool_free(calls);
    })
    for (size_t i = 0; i < COUNTOF(paths); i++) {
        long live = mem_live();
        bool more = true;
        for (long n = 0; more; n++) {
            start(&(http_rig_opts){.threads = "1", .inline_us = "500"});
            grpc_call *c = grpc_rig_call(&g, paths[i], "grpc-timeout: 10S\n");
            grpc_rig_message(&g, c, i < 2 ? request("m", "a", 1) : STR("\x3a\x01*"), false, true);
            CHECK(buf_room(&c->in, 20000) && buf_room(&g.out, 20000));
            mem_fault_after(n);
            bool ended = false;
            for (int k = 0; k < 20000 && !ended; k++) {
                grpc_rig_turn(&g, 1);
                ended = c->closed || g.rig.closed || (i == 3 && c->in.len);
            }
            more = mem_fault_fired();
            mem_fault_after(-1);
            CHECK(ended);
            if (!more) CHECK(str_is(str_of(c->status), i == 3 ? "" : "0"));
            grpc_rig_stop(&g);
        }
        CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    }
}

static void make_slow(void)
{
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,2");
    static float w[256 * 256];
    for (size_t i = 0; i < COUNTOF(w); i++) w[i] = 0.001f;
    static float first[2 * 256];
    onnx_build_floats(&b, "f", "2,256", first);
    onnx_build_floats(&b, "w", "256,256", w);
    onnx_build_node(&b, "MatMul", "x,f", "h0", "");
    char in[32], out[32], args[64];
    enum { DEEP = 400 };
    for (int i = 0; i < DEEP; i++) {
        snprintf(in, sizeof in, "h%d", i);
        snprintf(out, sizeof out, i == DEEP - 1 ? "y" : "h%d", i + 1);
        snprintf(args, sizeof args, "%s,w", in);
        onnx_build_node(&b, "MatMul", args, out, "");
    }
    onnx_build_output(&b, "y", DT_F32, "N,256");
    serve_rig_save(&b, slow_path);
    onnx_build_end(&b);
}

/* Of its pools, that is: a call, its message and its request each have a place there, with memory for the next. */
static void at_rest_nothing_is_kept_of_a_load(void)
{
    start(&(http_rig_opts){.threads = "1", .inline_us = "0"});
    for (int round = 0; round < 3; round++) {
        str got;
        CHECK_STR(grpc_rig_unary(&g, INFER, "", request("m", "a", 1), &got), "0 ");
        CHECK_STR(as_text(v2_pb_text, got), ANSWER);
        long busy = mem_live();
        endpoints_rested(&g.rig.endpoints, g.rig.loop, false);
        CHECK(mem_live() <= busy - 5);
        long rests = mem_live();
        endpoints_rested(&g.rig.endpoints, g.rig.loop, true);
        CHECK_U64((uint64_t)mem_live(), (uint64_t)rests);
    }
    grpc_rig_stop(&g);
}

int main(void)
{
    onnx_build b;
    buf_init(&message, 64 << 20);
    buf_init(&text, 64 << 20);
    serve_rig_twice(&b);
    serve_rig_save(&b, twice_path);
    onnx_build_end(&b);
    make_slow();
    static const test_case cases[] = {
        TEST(a_model_answers_inline_and_from_the_queue), TEST(every_cut_of_a_call_is_answered_the_same),
        TEST(large_tensors_come_and_go), TEST(what_is_wrong_with_a_call_has_its_status),
        TEST(bodies_that_lie_are_refused), TEST(messages_are_compressed_both_ways),
        TEST(the_rest_of_a_long_message_is_waited_for_at_once),
        TEST(the_memory_of_all_messages_together_is_bounded), TEST(a_stream_that_ends_inside_a_message_is_refused),
        TEST(a_bomb_is_refused_at_the_limit),
        TEST(a_stream_answers_in_order_and_goes_on_after_errors),
        TEST(a_long_stream_lets_the_others_have_their_turn),
        TEST(a_stream_may_end_with_its_first_error), TEST(a_client_that_does_not_read_holds_its_own_stream_only),
        TEST(answers_that_wait_for_a_client_are_bounded),
        TEST(a_deadline_ends_what_runs_and_drops_what_waits), TEST(a_run_has_so_much_time),
        TEST(a_call_that_is_reset_is_cancelled),
        TEST(the_connection_may_go_while_models_run), TEST(a_full_queue_is_resource_exhausted),
        TEST(health_is_watched_until_the_server_leaves),
        TEST(health_is_watched_while_models_come_and_go),
        TEST(a_watcher_that_does_not_read_is_told_the_latest),
        TEST(changes_make_one_look_and_names_are_bounded),
        TEST(a_stream_that_owes_no_answer_ends_when_the_server_drains), TEST(each_message_of_reflection_is_answered),
        TEST(a_steady_load_takes_nothing_from_the_heap), TEST(at_rest_nothing_is_kept_of_a_load),
        TEST(no_memory_is_a_status_or_the_end_of_a_connection),
    };
    int status = test_main(cases, COUNTOF(cases));
    serve_rig_unsave(twice_path);
    serve_rig_unsave(slow_path);
    buf_fini(&message);
    buf_fini(&text);
    return status;
}
