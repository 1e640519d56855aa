#include "jobs/job_meta.h"

enum { FORM = 1, STRUCTURED = 1 };

static void number_put(buf *out, uint64_t v, size_t bytes)
{
    uint8_t le[8];
    for (size_t i = 0; i < bytes; i++) le[i] = (uint8_t)(v >> 8 * i);
    buf_put(out, le, bytes);
}

static void text_put(buf *out, str s)
{
    number_put(out, s.len, 4);
    buf_put_str(out, s);
}

void job_meta_put(buf *out, const job_meta *m)
{
    INVARIANT(m->header_count <= JOB_HEADERS_MAX);
    buf_put_byte(out, FORM);
    buf_put_byte(out, m->structured ? STRUCTURED : 0);
    number_put(out, m->status, 4);
    number_put(out, m->accepted_us, 8);
    number_put(out, m->started_us, 8);
    number_put(out, m->ended_us, 8);
    text_put(out, m->model);
    text_put(out, m->target);
    text_put(out, m->hook);
    buf_put_byte(out, (uint8_t)m->header_count);
    for (size_t i = 0; i < m->header_count; i++) {
        text_put(out, m->headers[i].name);
        text_put(out, m->headers[i].value);
    }
}

static bool number(str *from, size_t bytes, uint64_t *ret)
{
    uint64_t v = 0;
    if (from->len < bytes) return false;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)(uint8_t)from->p[i] << 8 * i;
    *from = (str){from->p + bytes, from->len - bytes};
    *ret = v;
    return true;
}

static bool text(str *from, str *ret)
{
    uint64_t len;
    if (!number(from, 4, &len) || len > from->len) return false;
    *ret = (str){from->p, (size_t)len};
    *from = (str){from->p + len, from->len - (size_t)len};
    return true;
}

bool job_meta_read(str bytes, job_meta *ret)
{
    job_meta m = {.status = 0};
    uint64_t form, flags, status, count;
    if (!number(&bytes, 1, &form) || form != FORM || !number(&bytes, 1, &flags) ||
        flags & ~(uint64_t)STRUCTURED)
        return false;
    if (!number(&bytes, 4, &status) || !number(&bytes, 8, &m.accepted_us)) return false;
    if (!number(&bytes, 8, &m.started_us) || !number(&bytes, 8, &m.ended_us)) return false;
    if (!text(&bytes, &m.model) || !text(&bytes, &m.target) || !text(&bytes, &m.hook)) return false;
    if (!number(&bytes, 1, &count) || count > JOB_HEADERS_MAX) return false;
    for (; m.header_count < count; m.header_count++) {
        http_header *h = &m.headers[m.header_count];
        if (!text(&bytes, &h->name) || !text(&bytes, &h->value)) return false;
    }
    if (bytes.len) return false;
    m.status = (uint32_t)status;
    m.structured = flags & STRUCTURED;
    *ret = m;
    return true;
}
