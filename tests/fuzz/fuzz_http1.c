/* Property: any bytes, in any cut, give the same requests and the same end; each view lies inside the
 * request's memory; nothing leaks.  Input: one byte k, k bytes that are the lengths of the pieces (used in
 * turn, 0 = one byte read in place where that applies), then the stream. */
#include "test.h"
#include "wire/http1.h"

static const http1_limits limits = {
    .line_bytes_max = 200, .header_bytes_max = 400, .header_count_max = 20, .body_bytes_max = 12000};

typedef struct {
    uint64_t sum;   /* over all that the reader said */
    size_t events;
} account;

static void add(account *a, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) a->sum = (a->sum ^ p[i]) * 1099511628211u;
    a->sum = (a->sum ^ len) * 1099511628211u;
    a->events++;
}

static void add_request(account *a, const http_message *q)
{
    INVARIANT(q->path.len > 0 && q->path.p[0] == '/' && q->method.len > 0);
    INVARIANT(q->header_count <= limits.header_count_max && q->body.len <= limits.body_bytes_max);
    INVARIANT(!q->body.len || (uintptr_t)q->body.p % 64 == 0);
    add(a, q->method.p, q->method.len);
    add(a, q->path.p, q->path.len);
    add(a, q->query.p, q->query.len);
    for (size_t i = 0; i < q->header_count; i++) {
        add(a, q->headers[i].name.p, q->headers[i].name.len);
        add(a, q->headers[i].value.p, q->headers[i].value.len);
    }
    add(a, q->body.p, q->body.len);
    add(a, &q->keep_alive, 1);
    add(a, &q->http10, 1);
}

static account read_all(const uint8_t *data, size_t len, const uint8_t *cuts, size_t cut_count)
{
    account a = {.sum = 14695981039346656037u};
    http1 r;
    http_message q;
    http1_init(&r, &limits, false);
    http_message_init(&q);
    http1_next(&r, &q);
    bool over = false;
    for (size_t at = 0, turn = 0, used = 0; at < len && !over; at += used) {
        size_t n = cut_count ? cuts[turn++ % cut_count] : len - at, room = 0;
        bool in_place = n == 0;
        if (n == 0) n = 1;
        if (n > len - at) n = len - at;
        const uint8_t *from = data + at;
        uint8_t *place = in_place ? http1_body_room(&r, &room) : NULL;
        if (place) {
            n = len - at < room ? len - at : room;
            memcpy(place, from, n);
            from = place;
        }
        http_refusal why = {.status = 0};
        http1_event got = http1_feed(&r, from, n, &used, &why);
        INVARIANT(used <= n && (got != HTTP1_MORE || used == n));
        if (got == HTTP1_REQUEST) {
            add_request(&a, &q);
            over = !q.keep_alive;
            http_message_clear(&q);
            http1_next(&r, &q);
        } else if (got != HTTP1_MORE) {
            over = true;
            add(&a, &got, sizeof got);
            if (got == HTTP1_REFUSED) INVARIANT(why.status >= 400 && why.text[0]);
            if (got == HTTP1_REFUSED) add(&a, why.text, strlen(why.text));
        }
    }
    bool end[3] = {over, !over && http1_idle(&r), !over && http1_in_body(&r)};
    add(&a, end, sizeof end);
    http_message_fini(&q);
    return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cuts = size ? data[0] : 0;
    if (size < 1 + cuts) return 0;
    long live = mem_live();
    account whole = read_all(data + 1 + cuts, size - 1 - cuts, NULL, 0);
    account cut = read_all(data + 1 + cuts, size - 1 - cuts, data + 1, cuts);
    static const uint8_t ones[] = {1};
    account bytes = read_all(data + 1 + cuts, size - 1 - cuts, ones, 1);
    INVARIANT(whole.sum == cut.sum && whole.events == cut.events);
    INVARIANT(whole.sum == bytes.sum && whole.events == bytes.events);
    INVARIANT(mem_live() == live);
    return 0;
}
