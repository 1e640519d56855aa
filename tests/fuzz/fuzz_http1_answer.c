/* Property: any bytes, in any cut, give the same answer or the same refusal; each view lies inside the answer's
 * memory; nothing leaks.  Input: one byte whose lowest bit says that HEAD was asked, one byte that is the length of
 * each piece, then the stream. */
#include "test.h"
#include "wire/http1_answer.h"

static const http1_answer_limits limits = {.header_bytes_max = 400, .header_count_max = 20, .body_bytes_max = 5000};

static uint64_t add(uint64_t sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) sum = (sum ^ p[i]) * 1099511628211u;
    return (sum ^ len) * 1099511628211u;
}

static bool inside(const uint8_t *p, size_t room, str s)
{
    const uint8_t *at = (const uint8_t *)s.p;
    return s.len == 0 || (at >= p && s.len <= room && (size_t)(at - p) <= room - s.len);
}

static uint64_t read_all(const uint8_t *data, size_t len, size_t piece, bool to_head)
{
    uint64_t sum = 14695981039346656037u;
    http1_answer a;
    http_message m;
    http_refusal why = {.status = 0};
    http1_answer_event got = HTTP1_ANSWER_MORE;
    size_t all = 0;
    http_message_init(&m);
    http1_answer_init(&a, &limits, &m, to_head);
    while (all < len && got == HTTP1_ANSWER_MORE) {
        size_t n = len - all < piece ? len - all : piece, used = 0;
        got = http1_answer_feed(&a, data + all, n, &used, &why);
        INVARIANT(used <= n && (got != HTTP1_ANSWER_MORE || used == n));
        all += used;
    }
    if (got == HTTP1_ANSWER_MORE) got = http1_answer_end(&a, &why);
    INVARIANT((got == HTTP1_ANSWER_REFUSED) == (why.status != 0) && got != HTTP1_ANSWER_MORE);
    sum = add(sum, why.text, strlen(why.text));
    if (got == HTTP1_ANSWER_WHOLE) {
        INVARIANT(http1_answer_status(&a) >= 200 && m.header_count <= limits.header_count_max);
        INVARIANT(m.body.len <= limits.body_bytes_max && inside(m.bytes, m.room, m.body));
        for (size_t i = 0; i < m.header_count; i++) {
            INVARIANT(inside(m.head, m.head_len, m.headers[i].name) && inside(m.head, m.head_len, m.headers[i].value));
            sum = add(sum, m.headers[i].name.p, m.headers[i].name.len);
            sum = add(sum, m.headers[i].value.p, m.headers[i].value.len);
        }
        sum = add(add(add(sum, m.body.p, m.body.len), &all, sizeof all), &m.keep_alive, 1);
    }
    http_message_fini(&m);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) return 0;
    bool to_head = data[0] & 1;
    long live = mem_live();
    uint64_t whole = read_all(data + 2, size - 2, SIZE_MAX, to_head);
    INVARIANT(whole == read_all(data + 2, size - 2, data[1] ? data[1] : 256, to_head));
    INVARIANT(whole == read_all(data + 2, size - 2, 1, to_head));
    INVARIANT(mem_live() == live);
    return 0;
}
