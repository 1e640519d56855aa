/* A head that every parser reads in one way is read in one pass, and what is read is what llhttp reads; of all others
 * nothing is taken and nothing is left behind. */
#include "test.h"
#include "wire/http1_head.h"

#include <stdlib.h>

static const http1_limits limits = {
    .line_bytes_max = 200, .header_bytes_max = 400, .header_count_max = 6, .body_bytes_max = 1000};

#define GET "GET /v2 HTTP/1.1\r\n"
#define POST "POST /v2/models/m/infer?a=b HTTP/1.1\r\n"
#define HOST "Host: a.b:80\r\n"
#define END "\r\n"

static bool reads(http_message *m, const char *z, http1_head *ret)
{
    http_message_init(m);
    return http1_head_read(m, str_of(z), &limits, ret);
}

static void the_usual_heads_are_read(void)
{
    http_message m;
    http1_head h;
    static const char z[] = POST HOST "User-Agent: curl/7.88.1\r\nAccept:*/*\r\ncontent-length: 12 \r\n"
                                      "Connection: Keep-Alive\r\nX-Empty:\r\n\r\nhello";
    CHECK(reads(&m, z, &h));
    CHECK_U64(h.bytes, sizeof(POST HOST) - 1 + 25 + 12 + 21 + 24 + 10 + 2);
    CHECK_U64(h.body_bytes, 12);
    CHECK(str_is(m.method, "POST") && str_is(m.path, "/v2/models/m/infer") && str_is(m.query, "a=b"));
    CHECK_U64(m.header_count, 6);
    CHECK(str_is(m.fields[0].name, "Host") && str_is(m.fields[0].value, "a.b:80"));
    CHECK(str_is(m.fields[2].name, "Accept") && str_is(m.fields[2].value, "*/*"));
    CHECK(str_is(m.fields[5].name, "X-Empty") && m.fields[5].value.len == 0);
    CHECK(str_is(http_field_get(&m.known, HTTP_FIELD_CONTENT_LENGTH, m.fields, m.header_count), "12"));
    http_message_fini(&m);
    CHECK(reads(&m, GET HOST END, &h) && h.body_bytes == 0 && h.bytes == sizeof(GET HOST END) - 1);
    CHECK(str_is(m.method, "GET") && str_is(m.path, "/v2") && m.query.len == 0);
    http_message_fini(&m);
}

/* The message owns what it shows: the bytes that were read go away. */
static void what_is_shown_lies_in_the_message(void)
{
    static const char z[] = POST HOST "A: b\r\n" END;
    http_message m;
    http1_head h;
    char *copy = malloc(sizeof z);
    memcpy(copy, z, sizeof z);
    CHECK(reads(&m, copy, &h));
    memset(copy, 'x', sizeof z);
    CHECK(str_is(m.path, "/v2/models/m/infer") && str_is(m.query, "a=b"));
    CHECK(str_is(m.fields[0].name, "Host") && str_is(m.fields[1].value, "b"));
    for (size_t i = 0; i < m.header_count; i++) {
        const http_header *f = &m.fields[i];
        CHECK((const uint8_t *)f->name.p >= m.head && (const uint8_t *)f->value.p < m.head + m.head_len);
    }
    free(copy);
    http_message_fini(&m);
}

static void all_others_are_left_alone(void)
{
    static const char *const others[] = {
        "",
        "GET",
        "PUT /v2 HTTP/1.1\r\n" HOST END,
        "get /v2 HTTP/1.1\r\n" HOST END,
        "\r\n" GET HOST END,
        "GET http://a/ HTTP/1.1\r\n" HOST END,
        "GET * HTTP/1.1\r\n" HOST END,
        "GET  /v2 HTTP/1.1\r\n" HOST END,
        "GET /v2 HTTP/1.0\r\n" HOST END,
        "GET /v2 HTTP/1.1 \r\n" HOST END,
        "GET /v2 HTTP/1.1\n" HOST END,
        "GET /a\tb HTTP/1.1\r\n" HOST END,
        "GET /a#b HTTP/1.1\r\n" HOST END,
        "GET /a%0 HTTP/1.1\r\n" HOST END,
        "GET /\303\251 HTTP/1.1\r\n" HOST END,
        GET END,
        GET HOST HOST END,
        GET "Host: a b\r\n" END,
        GET HOST "A : b\r\n" END,
        GET HOST " A: b\r\n" END,
        GET HOST "A: b\r\n folded\r\n" END,
        GET HOST ": b\r\n" END,
        GET HOST "A b\r\n" END,
        GET HOST "A(: b\r\n" END,
        GET HOST "A: b\n" END,
        GET HOST "A: b\r\r\n" END,
        GET HOST "A: \tb\r\n" END,
        GET HOST "A: \303\251\r\n" END,
        GET HOST "A: b\r\n" "\n",
        GET HOST "Content-Length: 1\r\nContent-Length: 1\r\n" END,
        GET HOST "Content-Length: +1\r\n" END,
        GET HOST "Content-Length: 1,1\r\n" END,
        GET HOST "Content-Length:\r\n" END,
        GET HOST "Content-Length: 0000000000000001\r\n" END,
        GET HOST "Content-Length: 1001\r\n" END,
        GET HOST "Transfer-Encoding: chunked\r\n" END,
        GET HOST "Transfer-encoding: identity\r\n" END,
        GET HOST "Connection: close\r\n" END,
        GET HOST "Connection: keep-alive, x\r\n" END,
        GET HOST "Proxy-Connection: keep-alive\r\n" END,
        GET HOST "Upgrade: h2c\r\n" END,
        GET HOST "Expect: 100-continue\r\n" END,
        GET HOST "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" END,
        GET HOST "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n" END,
    };
    for (size_t i = 0; i < COUNTOF(others); i++) {
        http_message m;
        http1_head h;
        bool got = reads(&m, others[i], &h);
        if (got) printf("# row %zu\n", i);
        CHECK(!got);
        CHECK(m.header_count == 0 && m.head_len == 0 && m.path.len == 0 && m.known.has == 0);
        http_message_fini(&m);
    }
}

/* Until its last byte is there; what is behind it does not matter. */
static void a_head_is_read_whole_or_not_at_all(void)
{
    static const char z[] = POST HOST "Content-Length: 3\r\nA: b\r\n" END "abc";
    size_t whole = sizeof z - 1 - 3;
    for (size_t n = 0; n < sizeof z; n++) {
        http_message m;
        http1_head h;
        char *exact = malloc(n ? n : 1);   /* a sanitizer sees a byte beyond */
        memcpy(exact, z, n);
        http_message_init(&m);
        CHECK(http1_head_read(&m, (str){exact, n}, &limits, &h) == (n >= whole));
        CHECK(n < whole || h.bytes == whole);
        free(exact);
        http_message_fini(&m);
    }
}

/* Where a limit is near, the other reader says whether it strikes. */
static void what_comes_near_a_limit_is_left_alone(void)
{
    static const char names[] = "GET /", version[] = " HTTP/1.1\r\n" HOST END;
    for (size_t n = 1; n < 500; n++) {
        char z[1024];
        http_message m;
        http1_head h;
        memcpy(z, names, sizeof names - 1);
        memset(z + sizeof names - 1, 'a', n);
        memcpy(z + sizeof names - 1 + n, version, sizeof version);
        bool got = reads(&m, z, &h);
        CHECK(got == (sizeof names - 1 + n < limits.line_bytes_max - 16));
        http_message_fini(&m);
        int head = snprintf(z, sizeof z, GET HOST "A: ");
        memset(z + head, 'a', n);
        memcpy(z + (size_t)head + n, "\r\n\r\n", 5);
        got = reads(&m, z, &h);
        CHECK(got == ((size_t)head + n + 4 - (sizeof(GET) - 1) + 16 <= limits.header_bytes_max));
        http_message_fini(&m);
    }
}

static void no_memory_leaves_it_to_the_other_reader(void)
{
    FAULT_SWEEP({
        http_message m;
        http1_head h;
        bool got = reads(&m, POST HOST END, &h);
        CHECK(got || m.header_count == 0);
        http_message_fini(&m);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_usual_heads_are_read),
        TEST(what_is_shown_lies_in_the_message),
        TEST(all_others_are_left_alone),
        TEST(a_head_is_read_whole_or_not_at_all),
        TEST(what_comes_near_a_limit_is_left_alone),
        TEST(no_memory_leaves_it_to_the_other_reader),
    };
    return test_main(cases, COUNTOF(cases));
}
