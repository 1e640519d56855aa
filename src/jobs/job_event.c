#include "jobs/job_event.h"

#include "wire/cloud_event.h"

enum { ATTRIBUTES_ROOM = 2 * sizeof JOB_EVENT_SOURCE + CLOUD_EVENT_TIME_BYTES + 64 };

static void add(job_tell *t, str name, str value)
{
    INVARIANT(t->header_count < JOB_TELL_HEADERS_MAX);
    t->headers[t->header_count++] = (http_header){name, value};
}

/* Text that stays where it is: its room was made before. */
static str keep(buf *b, str s)
{
    size_t at = b->len;
    buf_put_str(b, s);
    return b->full ? STR("") : (str){(const char *)b->p + at, s.len};
}

err_code job_event_make(job_tell *t, const job_record *answer, const job_meta *m, err *e)
{
    char time[CLOUD_EVENT_TIME_BYTES];
    http_header fields[CLOUD_EVENT_FIELDS];
    str source = STR(JOB_EVENT_SOURCE), type = http_header_find(m->headers, m->header_count, "content-type");
    job_id_print(&answer->id, t->id_text);
    add(t, STR("Proa-Job"), str_of(t->id_text));
    if (cloud_event_mode_of(m->headers, m->header_count) != CLOUD_EVENT_NONE) {
        for (size_t i = 0; i < m->header_count; i++) add(t, m->headers[i].name, m->headers[i].value);
        t->body = answer->body;
        return ERR_OK;
    }
    cloud_event_time(time, m->ended_us);
    (void)buf_room(&t->text, ATTRIBUTES_ROOM + 4 * m->model.len);   /* its name, and that as a field has it */
    cloud_event ev = {.id = str_of(t->id_text), .type = STR(JOB_EVENT_TYPE), .data_type = type};
    ev.subject = ev.id;
    size_t at = t->text.len;
    buf_put_str(&t->text, source);
    buf_put_str(&t->text, m->model);
    ev.source = (str){(const char *)t->text.p + at, source.len + m->model.len};
    ev.time = keep(&t->text, str_of(time));
    at = t->text.len;
    buf_printf(&t->text, "%u", m->status);
    str status = {(const char *)t->text.p + at, t->text.len - at};
    err_code rc = buf_check(&t->text, "webhook: event", e);
    if (rc) return rc;
    t->body = answer->body;
    if (m->structured) {
        buf document;
        buf_init(&document, 4096 + answer->body.len * 2);
        cloud_event_put(&document, &ev, answer->body);
        rc = buf_check(&document, "webhook: event", e);
        buf_fini(&t->text);
        t->text = document;
        t->body = buf_str(&t->text);
        add(t, STR("Content-Type"), STR(CLOUD_EVENT_TYPE "; charset=UTF-8"));
        return rc;
    }
    ev.source = cloud_event_field_text(&t->text, ev.source);
    for (size_t i = 0, n = cloud_event_fields(&ev, fields); i < n; i++) add(t, fields[i].name, fields[i].value);
    add(t, STR("ce-jobstatus"), status);
    for (size_t i = 0; i < m->header_count; i++) add(t, m->headers[i].name, m->headers[i].value);
    return buf_check(&t->text, "webhook: event", e);
}
