/* Property: requests and replies that go in parts arrive whole and in order, with HTTP/1 and HTTP/2 alike; neither a
 * slow handler nor a slow client makes the server hold more than it says; a handler hears of its client's end, once. */
#include "net/call.h"
#include "http2_client.h"
#include "server_rig.h"

enum { FLOWS_MAX = 128, FLOOD_PARTS = 64, FLOOD_PART = 64 << 10 };

/* What a handler here knows of a call: loop 0 only, but for the counters. */
typedef struct {
    http_call *call;
    buf got;
    _Atomic size_t sent, waits;   /* a test looks at them while the loop goes on */
    bool gone;
} flow;

static flow flows[FLOWS_MAX];
static _Atomic size_t flow_count, done, gone, received, placed;

/* What the path of "/aligned/AT" says. */
static uint64_t aligned_at(const http_request *req)
{
    uint64_t at = 0;
    str rest = req->path;
    if (str_starts(rest, STR("/aligned/"))) (void)str_u64((str){rest.p + 9, rest.len - 9}, &at);
    return at;
}

static bool begin(void *ctx, const http_request *req, size_t *ret_aligned)
{
    (void)ctx;
    CHECK(req->body.len == 0 && req->method.len && req->header_count && *ret_aligned == 0);
    *ret_aligned = (size_t)aligned_at(req);
    return str_starts(req->path, STR("/parts"));
}

static void end(flow *f)
{
    http_header sum = {STR("Sum"), STR("7")};
    http_reply_end(f->call, &sum, 1);
    atomic_fetch_add(&done, 1);
}

static void on_gone(void *ctx)
{
    flow *f = ctx;
    CHECK(!f->gone);
    f->gone = true;
    atomic_fetch_add(&gone, 1);
    CHECK(http_call_gone(f->call));
}

/* /parts: the whole body back at its end.  /parts/mirror: each part back as it comes. */
static void on_part(void *ctx, str bytes, bool last)
{
    flow *f = ctx;
    atomic_fetch_add(&received, bytes.len);
    CHECK(!f->gone);
    buf_put_str(&f->got, bytes);
    if (f->sent == SIZE_MAX) return;   /* nobody takes it, see take() */
    http_call_took(f->call, bytes.len);
    if (!last) return;
    http_reply(f->call, &(http_response){.status = 200, .body = {buf_str(&f->got)}});
    atomic_fetch_add(&done, 1);
}

/* /parts/placed: the same as /parts; the handler says where the body shall lie. */
static void on_placed(void *ctx, str bytes, bool last)
{
    flow *f = ctx;
    uint8_t *room = buf_room(&f->got, BIG - f->got.len);
    INVARIANT(room && bytes.len <= BIG - f->got.len);
    if ((const uint8_t *)bytes.p == room) atomic_fetch_add(&placed, bytes.len);
    else if (bytes.len) memcpy(room, bytes.p, bytes.len);
    f->got.len += bytes.len;
    size_t rest = BIG - f->got.len;
    if (!last) http_call_await(f->call, rest, (mem_span){room + bytes.len, rest});
    http_call_took(f->call, bytes.len);
    if (!last) return;
    http_reply(f->call, &(http_response){.status = 200, .body = {buf_str(&f->got)}});
    atomic_fetch_add(&done, 1);
}

static void on_mirrored(void *ctx, str bytes, bool last)
{
    flow *f = ctx;
    if (bytes.len) CHECK(http_reply_part(f->call, bytes));
    http_call_took(f->call, bytes.len);
    if (last) end(f);
}

static void flood(void *ctx)
{
    flow *f = ctx;
    bool more = true;
    for (; more && f->sent < FLOOD_PARTS; f->sent++)
        more = http_reply_part(f->call, (str){big + f->sent * FLOOD_PART, FLOOD_PART});
    f->waits += !more;
    if (more) end(f);
}

static void stream_handle(void *ctx, http_call *call, const http_request *req)
{
    const http_response head = {.status = 200, .content_type = STR("text/plain")};
    size_t i = atomic_fetch_add(&flow_count, 1);
    INVARIANT(i < FLOWS_MAX);
    flow *f = &flows[i];
    (void)ctx;
    *f = (flow){.call = call};
    buf_init(&f->got, 1 << 26);
    http_call_on_gone(call, on_gone, f);
    if (str_starts(req->path, STR("/aligned"))) {
        CHECK(((uintptr_t)req->body.p + aligned_at(req)) % 64 == 0);
        http_reply(call, &(http_response){.status = 200, .content_type = STR("text/plain"), .body = {req->body}});
    } else if (str_is(req->path, "/parts/early")) {
        http_reply(call, &(http_response){.status = 403, .body = {STR("no")}});
    } else if (str_is(req->path, "/parts/mirror")) {
        http_reply_begin(call, &head);
        http_call_on_part(call, on_mirrored, f);
    } else if (str_is(req->path, "/parts/placed")) {
        http_call_on_part(call, on_placed, f);
    } else if (str_starts(req->path, STR("/parts"))) {
        if (str_is(req->path, "/parts/slow")) f->sent = SIZE_MAX;
        http_call_on_part(call, on_part, f);
    } else if (str_is(req->path, "/flood")) {
        http_reply_begin(call, &head);
        http_call_on_drain(call, flood, f);
        flood(f);
    } else if (str_is(req->path, "/abort")) {
        http_reply_begin(call, &head);
        (void)http_reply_part(call, STR("half"));
        http_reply_abort(call);
    } else if (str_is(req->path, "/held")) {
        http_reply_begin(call, &head);
        (void)http_reply_part(call, STR("first "));
    } else {
        CHECK(str_is(req->path, "/three"));
        http_reply_begin(call, &head);
        CHECK(http_reply_part(call, STR("one ")) && http_reply_part(call, STR("")));
        CHECK(http_reply_part(call, STR("two ")) && http_reply_part(call, STR("three")));
        end(f);
    }
}

static void start(rig *r, const http_limits *limits)
{
    atomic_store(&flow_count, 0);
    atomic_store(&done, 0);
    atomic_store(&gone, 0);
    atomic_store(&received, 0);
    atomic_store(&placed, 0);
    rig_start_with(r, limits, 1, stream_handle, begin);
}

static void stop(rig *r)
{
    rig_stop(r);
    for (size_t i = 0; i < atomic_load(&flow_count); i++) buf_fini(&flows[i].got);
}

static void wait_for(_Atomic size_t *value, size_t want)
{
    for (int i = 0; i < 50000 && atomic_load(value) < want; i++) usleep(100);
    CHECK_U64(atomic_load(value), want);
}

/* What a chunked reply holds; ends with its last chunk or the stream. */
static size_t hear_chunks(int fd, char *ret, size_t room)
{
    size_t n = 0;
    for (;;) {
        char line[40];
        size_t len = 0;
        while (len < 2 || line[len - 2] != '\r') {
            if (len == sizeof line || recv(fd, line + len, 1, 0) != 1) return n;
            len++;
        }
        line[len - 2] = 0;
        size_t size = strtoul(line, NULL, 16);
        CHECK(size <= room - n);
        for (size_t at = 0; at < size;) {
            ssize_t got = recv(fd, ret + n + at, size - at, 0);
            if (got <= 0) return n;
            at += (size_t)got;
        }
        CHECK(recv(fd, line, 2, MSG_WAITALL) == 2 && line[0] == '\r');
        n += size;
        if (size == 0) return n;
    }
}

#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"

static char heard[BIG + 1];

static void check_chunks(int fd, const char *want)
{
    reply got;
    CHECK(hear_head(fd, &got, &(size_t){0}));
    CHECK_STR(got.text, CHUNKED_HEAD);
    heard[hear_chunks(fd, heard, BIG)] = 0;
    CHECK_STR(heard, want);
}

/* Bodies of all sizes, sent in one piece or in two, lie where they were wanted and are whole; so does the next one on
 * the connection. */
static void a_body_lies_where_the_handler_wants_it(void)
{
    static const size_t sizes[] = {1, 63, 64, 65, 1000, 5000, 70000, 300000};
    static const unsigned ats[] = {274, 0, 1, 63, 64, 1000003};   /* the first one finds no memory */
    rig r;
    char head[100];
    start(&r, &plain);
    int fd = dial(&r);
    for (size_t n = 0; n < COUNTOF(sizes) * COUNTOF(ats); n++) {
        size_t size = sizes[n / COUNTOF(ats)], cut = n % 3 ? size / n : 0;
        snprintf(head, sizeof head, "POST /aligned/%u HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                 ats[n % COUNTOF(ats)], size);
        say(fd, head);
        CHECK(send(fd, big, cut, 0) == (ssize_t)cut);
        if (cut) usleep(500);
        CHECK(send(fd, big + cut, size - cut, 0) == (ssize_t)(size - cut));
        reply answer;
        (void)hear(fd, &answer);
        CHECK(answer.body_bytes == size && memcmp(answer.body, big, size) == 0);
    }
    close(fd);
    stop(&r);
}

static void http1_replies_in_chunks(void)
{
    rig r;
    reply got;
    start(&r, &plain);
    int fd = dial(&r);
    for (int i = 0; i < 3; i++) {
        say(fd, "GET /three HTTP/1.1\r\n" HOST "\r\nGET /three HTTP/1.1\r\n" HOST "\r\n");
        check_chunks(fd, "one two three");
        check_chunks(fd, "one two three");
    }
    say(fd, "HEAD /three HTTP/1.1\r\n" HOST "\r\n");
    CHECK(hear_head(fd, &got, &(size_t){0}));
    CHECK_STR(got.text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
    say(fd, "GET /three HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");   /* knows no chunks: the end is the end */
    CHECK(hear_head(fd, &got, &(size_t){0}));
    CHECK_STR(got.text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n");
    char all[40] = "";
    CHECK(recv(fd, all, sizeof all - 1, MSG_WAITALL) == 13);
    CHECK_STR(all, "one two three");
    close(fd);
    fd = dial(&r);   /* cut: no last chunk, and the connection ends */
    say(fd, "GET /abort HTTP/1.1\r\n" HOST "\r\n");
    CHECK(hear_head(fd, &got, &(size_t){0}));
    heard[hear_chunks(fd, heard, BIG)] = 0;
    CHECK_STR(heard, "half");
    close(fd);
    stop(&r);
}

static void http1_bodies_come_in_parts(void)
{
    rig r;
    reply got;
    start(&r, &plain);
    int fd = dial(&r);
    say(fd, "POST /parts HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhelloPOST /parts HTTP/1.1\r\n" HOST
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK(strstr(hear(fd, &got), "\r\n\r\nhello"));
    CHECK_STR(hear(fd, &got), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "3\r\nabc\r\n");
    wait_for(&received, 8);
    say(fd, "3\r\ndef\r\n0\r\n\r\n");
    CHECK(strstr(hear(fd, &got), "\r\n\r\nabcdef"));
    say(fd, "POST /parts/mirror HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc");
    CHECK(hear_head(fd, &got, &(size_t){0}));
    char part[8];
    CHECK(recv(fd, part, 8, MSG_WAITALL) == 8 && memcmp(part, "3\r\nabc\r\n", 8) == 0);   /* while the body goes on */
    say(fd, "defghi");
    heard[hear_chunks(fd, heard, BIG)] = 0;
    CHECK_STR(heard, "defghi");
    char head[200];
    snprintf(head, sizeof head, "POST /parts HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", BIG);
    say(fd, head);
    say_bytes(fd, big, BIG);
    hear(fd, &got);
    CHECK(got.body_bytes == BIG && memcmp(got.body, big, BIG) == 0);
    say(fd, "POST /parts/early HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\nabc");   /* the rest is not wanted */
    CHECK(strstr(hear(fd, &got), "Connection: close\r\n\r\nno"));
    close(fd);
    stop(&r);
}

static void http2_goes_in_parts_both_ways(void)
{
    rig r;
    h2c c;
    start(&r, &plain);
    int fd = dial(&r);
    h2c_init(&c, 0);
    int32_t three = h2c_get(&c, "/three"), whole = h2c_ask(&c, "POST", "/parts", NULL, big, BIG);
    h2c_stream *s = h2c_wait(&c, fd, three);
    buf_put_byte(&s->body, 0);
    CHECK_STR((const char *)s->body.p, "one two three");
    CHECK_STR(s->headers, "content-type: text/plain\n");
    CHECK_STR(s->trailers, "sum: 7\n");
    s = h2c_wait(&c, fd, whole);
    CHECK(s->ended && s->body.len == BIG && memcmp(s->body.p, big, BIG) == 0);
    c.hold = true;
    int32_t mirror = h2c_post(&c, "/parts/mirror", "abc");
    s = h2c_of(&c, mirror);
    while (s->body.len < 3 && h2c_turn(&c, fd)) {}
    CHECK(s->body.len == 3 && !s->ended);
    h2c_more(&c, mirror, "def", 3, true);
    h2c_wait(&c, fd, mirror);
    CHECK(s->ended && s->body.len == 6 && memcmp(s->body.p, "abcdef", 6) == 0);
    CHECK_STR(s->trailers, "sum: 7\n");
    c.hold = true;
    int32_t early = h2c_post(&c, "/parts/early", "abc");
    s = h2c_wait(&c, fd, early);
    CHECK(s->status == 403 && s->closed && s->code == NGHTTP2_NO_ERROR);
    s = h2c_wait(&c, fd, h2c_get(&c, "/abort"));
    CHECK(!s->ended && s->code == NGHTTP2_INTERNAL_ERROR);
    close(fd);
    h2c_fini(&c);
    stop(&r);
}

static void a_body_is_read_to_the_place_that_its_handler_names(void)
{
    rig r;
    h2c c;
    start(&r, &plain);
    int fd = dial(&r);
    h2c_init(&c, 0);
    h2c_stream *s = h2c_wait(&c, fd, h2c_ask(&c, "POST", "/parts/placed", NULL, big, BIG));
    CHECK(s->ended && s->body.len == BIG && memcmp(s->body.p, big, BIG) == 0);
    CHECK(atomic_load(&placed) > BIG / 2);
    close(fd);
    h2c_fini(&c);
    stop(&r);
}

static void a_slow_client_holds_back_a_streamed_reply(void)
{
    rig r;
    reply got;
    start(&r, &plain);
    int fd = dial(&r);
    h2c c;
    h2c_init(&c, 0);
    int fd2 = dial(&r);
    say(fd, "GET /flood HTTP/1.1\r\n" HOST "\r\n");
    int32_t id = h2c_get(&c, "/flood");   /* with a window of 64 KB */
    (void)h2c_say(&c, fd2);
    wait_for(&flow_count, 2);
    for (int i = 0; i < 3; i++) on_loop(&r, nothing, 0);
    CHECK(flows[1].sent <= (HTTP_REPLY_WAITING_MAX + 65536) / FLOOD_PART + 2 || flows[0].sent < FLOOD_PARTS);
    CHECK(hear_head(fd, &got, &(size_t){0}));
    CHECK(hear_chunks(fd, heard, BIG) == BIG && memcmp(heard, big, BIG) == 0);
    h2c_stream *s = h2c_wait(&c, fd2, id);
    CHECK(s->ended && s->body.len == BIG && memcmp(s->body.p, big, BIG) == 0);
    CHECK(flows[0].waits + flows[1].waits > 2);
    wait_for(&done, 2);
    close(fd);
    close(fd2);
    h2c_fini(&c);
    stop(&r);
}

static void end_flow(rig *r, size_t index)
{
    (void)r;
    if (index == 0) {
        (void)http_reply_part(flows[0].call, STR("late"));
        end(&flows[0]);
    } else {
        http_reply_end(flows[index].call, NULL, 0);
    }
}

/* Not a byte is taken, whatever room the sockets have: so what waits is known to the part. */
static void a_part_that_finds_no_room_says_so_and_the_next_waits_for_the_drain(void)
{
    enum { FILLS = HTTP_REPLY_WAITING_MAX / FLOOD_PART };   /* with its head, so many are more than may wait */
    rig r;
    start(&r, &plain);
    for (int behind = 0; behind < 2; behind++) {   /* for its client, and for its turn */
        size_t flooded = (size_t)behind;
        atomic_store(&flow_count, 0);
        atomic_store(&done, 0);
        int fd = dial(&r);
        sys_fake_script((sys_fault[]){{SYS_send, .times = SYS_FAKE_EVER, .result = -EAGAIN}}, 1);
        say(fd, behind ? "GET /held HTTP/1.1\r\n" HOST "\r\nGET /flood HTTP/1.1\r\n" HOST "\r\n"
                       : "GET /flood HTTP/1.1\r\n" HOST "\r\n");
        wait_for(&flow_count, flooded + 1);
        for (int i = 0; i < 3; i++) on_loop(&r, nothing, 0);
        CHECK_U64(flows[flooded].waits, 1);
        CHECK_U64(flows[flooded].sent, FILLS);
        CHECK_U64(atomic_load(&done), 0);
        sys_fake_script(NULL, 0);
        if (behind) {
            on_loop(&r, end_flow, 0);
            check_chunks(fd, "first late");
        }
        reply got;
        CHECK(hear_head(fd, &got, &(size_t){0}));
        CHECK(hear_chunks(fd, heard, BIG) == BIG && memcmp(heard, big, BIG) == 0);
        wait_for(&done, flooded + 1);
        close(fd);
    }
    stop(&r);
}

static void take(rig *r, size_t bytes)
{
    (void)r;
    http_call_took(flows[0].call, bytes);
}

static void answer_flow(rig *r, size_t index)
{
    (void)r;
    http_reply(flows[index].call, &(http_response){.status = 200, .body = {STR("at last")}});
}

static void a_slow_handler_holds_back_a_streamed_request(void)
{
    rig r;
    reply got;
    start(&r, &plain);
    int fd = dial(&r);
    say(fd, "POST /parts/slow HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    say_bytes(fd, big, 1000000);
    for (size_t taken = 0; taken < 1000000;) {
        for (int i = 0; i < 500000 && atomic_load(&received) == taken; i++) usleep(100);
        for (int i = 0; i < 2; i++) on_loop(&r, nothing, 0);
        size_t n = atomic_load(&received) - taken;
        CHECK(n > 0 && n <= CALL_UNTAKEN_MAX + (64 << 10));
        if (test_failures) break;
        on_loop(&r, take, n);
        taken += n;
    }
    on_loop(&r, answer_flow, 0);
    CHECK(strstr(hear(fd, &got), "at last"));
    CHECK(flows[0].got.len == 1000000 && memcmp(flows[0].got.p, big, 1000000) == 0);
    close(fd);
    stop(&r);
}

static void a_client_that_goes_away_is_told_to_a_streaming_handler(void)
{
    rig r;
    start(&r, &plain);
    for (int way = 0; way < 4; way++) {
        int fd = dial(&r);
        h2c c;
        h2c_init(&c, 0);
        atomic_store(&flow_count, 0);
        atomic_store(&gone, 0);
        switch (way) {
        case 0: say(fd, "GET /held HTTP/1.1\r\n" HOST "\r\n"); break;
        case 1: say(fd, "POST /parts/mirror HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc"); break;
        case 2: h2c_get(&c, "/held"); break;
        default: c.hold = true; h2c_post(&c, "/parts/mirror", "abc");
        }
        if (way >= 2) (void)h2c_say(&c, fd);
        wait_for(&flow_count, 1);
        hang_up(fd);
        wait_for(&gone, 1);
        on_loop(&r, end_flow, 0);
        h2c_fini(&c);
    }
    /* In the middle of a body its end is one, too: by a refusal, and by the end of the stream. */
    for (int way = 0; way < 2; way++) {
        int fd = dial(&r);
        atomic_store(&flow_count, 0);
        atomic_store(&gone, 0);
        say(fd, "POST /parts/mirror HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        wait_for(&flow_count, 1);
        if (way)
            say(fd, "wrong\r\n");
        else
            shutdown(fd, SHUT_WR);
        wait_for(&gone, 1);
        on_loop(&r, end_flow, 0);
        close(fd);
    }
    wait_open(&r, 0);
    stop(&r);
}

static void on_gone_ends_the_other(void *ctx)
{
    flow *f = ctx;
    f->gone = true;
    atomic_fetch_add(&gone, 1);
    end(&flows[f == flows]);
}

static uint64_t sent_before;

/* On the loop, which has sent by now what the handlers said when they were called. */
static void cut_off(rig *r, size_t count)
{
    sent_before = sys_fake_calls(SYS_send);
    for (size_t i = 0; i < count; i++) http_call_on_gone(flows[i].call, on_gone_ends_the_other, &flows[i]);
    server_drain(r->server, 0, NULL, NULL);   /* its grace is over at once */
}

/* Two calls of one connection, each of which is answered when the other hears of its client's end. */
static void who_is_told_of_the_end_may_answer_other_calls(void)
{
    for (int version = 1; version <= 2; version++) {
        rig r;
        h2c c;
        start(&r, &plain);
        int fd = dial(&r);
        h2c_init(&c, 0);
        int32_t ids[2] = {0};
        if (version == 1) {
            say(fd, "GET /held HTTP/1.1\r\n" HOST "\r\nGET /held HTTP/1.1\r\n" HOST "\r\n");
            wait_for(&flow_count, 2);
        } else {
            for (int i = 0; i < 2; i++) ids[i] = h2c_get(&c, "/held");
            while (h2c_of(&c, ids[1])->body.len == 0 && h2c_turn(&c, fd)) {}
        }
        on_loop(&r, cut_off, 2);
        wait_open(&r, 0);
        CHECK(sys_fake_calls(SYS_send) <= sent_before + (version == 2));   /* a goodbye, and no answer */
        CHECK_U64(atomic_load(&gone), 1);   /* who has been answered is not told */
        CHECK_U64(atomic_load(&done), 1);
        if (version == 2) {
            h2c_end(&c, fd);
            for (int i = 0; i < 2; i++) CHECK(!h2c_of(&c, ids[i])->ended);
        }
        close(fd);
        h2c_fini(&c);
        stop(&r);
    }
}

static void a_streamed_reply_waits_for_its_turn(void)
{
    rig r;
    start(&r, &plain);
    int fd = dial(&r);
    say(fd, "GET /held HTTP/1.1\r\n" HOST "\r\nGET /held HTTP/1.1\r\n" HOST "\r\nGET /three HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&flow_count, 3);
    on_loop(&r, end_flow, 1);
    on_loop(&r, end_flow, 0);
    check_chunks(fd, "first late");
    check_chunks(fd, "first ");
    check_chunks(fd, "one two three");
    close(fd);
    stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_body_lies_where_the_handler_wants_it),
        TEST(http1_replies_in_chunks),
        TEST(http1_bodies_come_in_parts),
        TEST(http2_goes_in_parts_both_ways),
        TEST(a_body_is_read_to_the_place_that_its_handler_names),
        TEST(a_slow_client_holds_back_a_streamed_reply),
        TEST(a_part_that_finds_no_room_says_so_and_the_next_waits_for_the_drain),
        TEST(a_slow_handler_holds_back_a_streamed_request),
        TEST(a_client_that_goes_away_is_told_to_a_streaming_handler),
        TEST(who_is_told_of_the_end_may_answer_other_calls),
        TEST(a_streamed_reply_waits_for_its_turn),
    };
    return test_main(cases, COUNTOF(cases));
}
