#include "cli/top_view.h"

#include "wire/json_text.h"
#include "wire/prom.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static top_model *model_of(top_scrape *s, str labels)
{
    char name[TOP_NAME_MAX], version[24] = "";
    if (!prom_label(labels, "model_name", name, sizeof name)) return NULL;
    (void)prom_label(labels, "model_version", version, sizeof version);
    for (size_t i = s->model_count; i-- > 0;) {   /* series of one model stand together: mostly the last */
        top_model *m = &s->models[i];
        if (strcmp(m->name, name) == 0 && strcmp(m->version, version) == 0) return m;
    }
    if (s->model_count == TOP_MODELS_MAX) return NULL;
    top_model *m = &s->models[s->model_count++];
    *m = (top_model){.success = 0};
    memcpy(m->name, name, sizeof name);
    memcpy(m->version, version, sizeof version);
    return m;
}

static void bucket_add(top_histogram *h, str labels, double count)
{
    char text[32];
    double at = INFINITY;
    if (!prom_label(labels, "le", text, sizeof text) || h->used == TOP_BUCKETS_MAX) return;
    if (strcmp(text, "+Inf") != 0 && !str_f64(str_of(text), &at)) return;
    h->at[h->used] = at;
    h->count[h->used++] = count;
}

static void take_jobs(top_scrape *s, const prom_sample *p)
{
    const struct { const char *state; double *to; } rows[] = {
        {"queued", &s->jobs_queued}, {"running", &s->jobs_running}, {"kept", &s->jobs_kept}};
    char state[16];
    if (str_is(p->name, "proa_jobs_oldest_seconds")) s->jobs_oldest_s = p->value;
    if (!str_is(p->name, "proa_jobs") || !prom_label(p->labels, "state", state, sizeof state)) return;
    for (size_t i = 0; i < COUNTOF(rows); i++)
        if (strcmp(state, rows[i].state) == 0) *rows[i].to = p->value;
}

static void take_server(top_scrape *s, const prom_sample *p)
{
    const struct { const char *name; double *to; } rows[] = {
        {"proa_http_connections_open", &s->connections},
        {"proa_http_requests_total", &s->requests},
        {"proa_http_bad_requests_total", &s->refused},
        {"proa_http_connections_refused_total", &s->refused},
        {"proa_http_received_bytes_total", &s->bytes_in},
        {"proa_http_sent_bytes_total", &s->bytes_out},
        {"process_resident_memory_bytes", &s->memory},
        {"process_open_fds", &s->fds},
        {"process_cpu_seconds_total", &s->cpu_s},
        {"process_start_time_seconds", &s->start_s},
        {"proa_models_memory_max_bytes", &s->budget_bytes},
        {"proa_models_memory_bytes", &s->models_bytes},
        {"proa_models_in_memory", &s->models_in},
        {"proa_model_misses_total", &s->misses},
        {"proa_model_misses_waiting", &s->misses_waiting},
        {"proa_model_evictions_total", &s->evictions},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        if (str_is(p->name, rows[i].name)) *rows[i].to += p->value;   /* over all labels */
    }
}

static void take_model(top_scrape *s, const prom_sample *p)
{
    bool bucket = str_is(p->name, "proa_inference_seconds_bucket");
    if (!bucket && !str_starts(p->name, STR("proa_inference_")) && !str_starts(p->name, STR("proa_queue_")) &&
        !str_starts(p->name, STR("proa_batch_")) && !str_starts(p->name, STR("proa_sequences_")))
        return;
    top_model *m = model_of(s, p->labels);
    if (!m) return;
    const struct { const char *name; double *to; } rows[] = {
        {"proa_inference_success_total", &m->success},
        {"proa_inference_invalid_total", &m->failed},
        {"proa_inference_failure_total", &m->failed},
        {"proa_inference_cancelled_total", &m->failed},
        {"proa_inference_expired_total", &m->failed},
        {"proa_queue_rejected_total", &m->failed},
        {"proa_queue_waiting", &m->waiting},
        {"proa_sequences_waiting", &m->waiting},
        {"proa_inference_running", &m->running},
        {"proa_batch_rows_sum", &m->rows},
        {"proa_batch_rows_count", &m->runs},
        {"proa_batch_padding_rows_total", &m->padding},
        {"proa_batch_entries_total", &m->entries},
        {"proa_batch_padding_entries_total", &m->waste},
        {"proa_sequences_active", &m->sequences},
        {"proa_sequences_backlog", &m->backlog},
    };
    if (bucket) bucket_add(&m->latency, p->labels, p->value);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        if (str_is(p->name, rows[i].name)) *rows[i].to += p->value;
    }
}

err_code top_scrape_read(top_scrape *ret, str text, uint64_t at_us, err *e)
{
    prom p;
    prom_sample sample;
    bool found = true, any = false;
    memset(ret, 0, offsetof(top_scrape, models));
    ret->at_us = at_us;
    prom_init(&p, text);
    while (found) {
        err_code rc = prom_next(&p, &sample, &found, e);
        if (rc) return rc;
        if (!found) break;
        any = any || str_starts(sample.name, STR("proa_"));
        take_server(ret, &sample);
        take_jobs(ret, &sample);
        take_model(ret, &sample);
    }
    return any ? ERR_OK : err_set(e, ERR_INVALID, "metrics: expected those of proa serve, got none");
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

static const top_model *same_model(const top_scrape *s, const top_model *m)
{
    for (size_t i = 0; s && i < s->model_count; i++) {
        if (strcmp(s->models[i].name, m->name) == 0 && strcmp(s->models[i].version, m->version) == 0)
            return &s->models[i];
    }
    return NULL;
}

/* Comparable: one process, some time apart. */
static const top_scrape *before_of(const top_view *v)
{
    const top_scrape *b = v->before, *n = v->now;
    if (!b || n->at_us <= b->at_us || b->start_s != n->start_s || n->requests < b->requests) return NULL;
    return b;
}

static double rate(double now, double before, double seconds) { return now > before ? (now - before) / seconds : 0; }

/* NAN where nothing came in between. */
static double quantile(const top_histogram *now, const top_histogram *before, double q)
{
    double total = 0, counts[TOP_BUCKETS_MAX];
    bool same = before && before->used == now->used;
    for (size_t i = 0; i < now->used; i++) counts[i] = now->count[i] - (same ? before->count[i] : 0);
    if (now->used) total = counts[now->used - 1];
    if (!(total > 0) || (before && !same)) return NAN;
    for (size_t i = 0; i < now->used; i++) {
        double below = i ? counts[i - 1] : 0, from = i ? now->at[i - 1] : 0;
        if (counts[i] < q * total) continue;
        if (!isfinite(now->at[i])) return from;   /* at least: the last bucket has no upper bound */
        double in = counts[i] - below;
        return in > 0 ? from + (now->at[i] - from) * (q * total - below) / in : now->at[i];
    }
    return NAN;
}

typedef struct {
    const top_model *m;
    double rate, failed, batch, waste, p50_s, p99_s;   /* batch: rows of a run; waste: share of padding among them */
} line;

static double batch_of(const top_model *now, const top_model *old)
{
    double runs = now->runs - (old ? old->runs : 0), rows = now->rows - (old ? old->rows : 0);
    return runs > 0 ? rows / runs : NAN;
}

/* Of what was run; where lengths differ, of rows times length. */
static double waste_of(const top_model *now, const top_model *old)
{
    double rows = now->rows - (old ? old->rows : 0), padding = now->padding - (old ? old->padding : 0);
    double entries = now->entries - (old ? old->entries : 0), waste = now->waste - (old ? old->waste : 0);
    if (entries > 0 && waste >= 0) return waste / entries;
    return rows > 0 && padding >= 0 ? padding / (rows + padding) : NAN;
}

/* Busiest first, then by name; ret has room for all models. */
static size_t lines_make(const top_view *v, line *ret)
{
    const top_scrape *b = before_of(v);
    double seconds = b ? (double)(v->now->at_us - b->at_us) / 1e6 : 1;
    for (size_t i = 0; i < v->now->model_count; i++) {
        const top_model *m = &v->now->models[i], *old = same_model(b, m);
        line l = {.m = m, .rate = NAN, .failed = NAN, .batch = NAN, .waste = NAN, .p50_s = NAN, .p99_s = NAN};
        if (b) {
            l.rate = rate(m->success, old ? old->success : 0, seconds);
            l.failed = rate(m->failed, old ? old->failed : 0, seconds);
            l.batch = batch_of(m, old);
            l.waste = waste_of(m, old);
            l.p50_s = quantile(&m->latency, old ? &old->latency : NULL, 0.5);
            l.p99_s = quantile(&m->latency, old ? &old->latency : NULL, 0.99);
        }
        size_t at = i;
        double key = b ? l.rate + l.failed : 0;
        for (; at > 0; at--) {
            double other = b ? ret[at - 1].rate + ret[at - 1].failed : 0;
            if (other > key || (!(other < key) && strcmp(ret[at - 1].m->name, m->name) <= 0)) break;
            ret[at] = ret[at - 1];
        }
        ret[at] = l;
    }
    return v->now->model_count;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

enum { CELL = 24 };

static const char *count_text(char to[CELL], double n)
{
    if (isnan(n)) snprintf(to, CELL, "-");
    else if (n < 9.95 && n != floor(n)) snprintf(to, CELL, "%.1f", n);
    else if (n < 1e5) snprintf(to, CELL, "%.0f", n);
    else if (n < 1e8) snprintf(to, CELL, "%.1fk", n / 1e3);
    else snprintf(to, CELL, "%.1fM", n / 1e6);
    return to;
}

static const char *share_text(char to[CELL], double share)
{
    if (isnan(share)) snprintf(to, CELL, "-");
    else snprintf(to, CELL, "%.0f %%", share * 100);
    return to;
}

static const char *time_text(char to[CELL], double s)
{
    if (isnan(s)) snprintf(to, CELL, "-");
    else if (s < 1e-3) snprintf(to, CELL, "%.0f us", s * 1e6);
    else if (s < 0.1) snprintf(to, CELL, "%.2f ms", s * 1e3);
    else if (s < 1) snprintf(to, CELL, "%.0f ms", s * 1e3);
    else snprintf(to, CELL, "%.2f s", s);
    return to;
}

static const char *bytes_text(char to[CELL], double n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t i = 0;
    for (; n >= 9999.5 && i + 1 < COUNTOF(units); i++) n /= 1000;
    if (isnan(n)) snprintf(to, CELL, "-");
    else snprintf(to, CELL, "%.0f %s", n, units[i]);
    return to;
}

static const char *span_text(char to[CELL], double s)
{
    uint64_t n = s > 0 && s < 1e15 ? (uint64_t)s : 0;
    if (n < 60) snprintf(to, CELL, "%us", (unsigned)n);
    else if (n < 3600) snprintf(to, CELL, "%um %us", (unsigned)(n / 60), (unsigned)(n % 60));
    else if (n < 86400) snprintf(to, CELL, "%uh %um", (unsigned)(n / 3600), (unsigned)(n / 60 % 60));
    else snprintf(to, CELL, "%" PRIu64 "d %uh", n / 86400, (unsigned)(n / 3600 % 24));
    return to;
}

typedef struct {
    buf *out;
    size_t columns, rows_left;
} screen;

/* UTF-8: a character is a column, near enough. */
static bool starts_column(char c) { return ((uint8_t)c & 0xC0) != 0x80; }

static size_t columns_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += starts_column(*text);
    return n;
}

/* One line, cut to the screen; control characters in names would move the cursor. */
static void put_line(screen *s, const char *on, const char *text)
{
    if (s->rows_left == 0) return;
    s->rows_left--;
    if (*on) buf_put_z(s->out, on);
    size_t columns = 0;
    for (const char *p = text; *p; p++) {
        bool starts = starts_column(*p);
        if (starts && s->columns && columns == s->columns) break;
        columns += starts;
        buf_put_byte(s->out, (uint8_t)*p < ' ' || *p == 127 ? '?' : (uint8_t)*p);
    }
    if (*on) buf_put_z(s->out, "\x1b[0m");
    buf_put_byte(s->out, '\n');
}

static void head_print(screen *s, const top_view *v, const char *bold)
{
    char text[600], clock[24], span[CELL];
    uint64_t t = (v->down ? v->down_wall_us : v->wall_us) / 1000000 % 86400;
    snprintf(clock, sizeof clock, "%02u:%02u:%02u UTC", (unsigned)(t / 3600), (unsigned)(t / 60 % 60),
             (unsigned)(t % 60));
    if (v->down) {
        snprintf(text, sizeof text, "proa top  %s  %s since %s (%s)", v->address, v->answers ? "no metrics" : "down",
                 clock, span_text(span, (double)(v->wall_us - v->down_wall_us) / 1e6));
        put_line(s, bold, text);
        put_line(s, "", v->down);
        return;
    }
    double up = (double)v->wall_us / 1e6 - v->now->start_s;
    snprintf(text, sizeof text, "proa top  %s  %s  up %s", v->address, clock, span_text(span, up));
    put_line(s, bold, text);
}

/* Where there is one. */
static void budget_print(screen *s, const top_view *v, double seconds)
{
    const top_scrape *b = before_of(v), *n = v->now;
    char text[400], c[6][CELL];
    if (n->budget_bytes <= 0) return;
    snprintf(text, sizeof text, "models in memory %s  taking %s of %s  misses/s %s  evictions/s %s  waiting %s",
             count_text(c[0], n->models_in), bytes_text(c[1], n->models_bytes), bytes_text(c[2], n->budget_bytes),
             count_text(c[3], b ? rate(n->misses, b->misses, seconds) : NAN),
             count_text(c[4], b ? rate(n->evictions, b->evictions, seconds) : NAN),
             count_text(c[5], n->misses_waiting));
    put_line(s, "", text);
}

static void server_print(screen *s, const top_view *v)
{
    const top_scrape *b = before_of(v), *n = v->now;
    double seconds = b ? (double)(n->at_us - b->at_us) / 1e6 : 1;
    char text[600], c[7][CELL];
    snprintf(text, sizeof text,
             "connections %s  requests/s %s  refused/s %s  in/s %s  out/s %s  memory %s  descriptors %s",
             count_text(c[0], n->connections), count_text(c[1], b ? rate(n->requests, b->requests, seconds) : NAN),
             count_text(c[2], b ? rate(n->refused, b->refused, seconds) : NAN),
             bytes_text(c[3], b ? rate(n->bytes_in, b->bytes_in, seconds) : NAN),
             bytes_text(c[4], b ? rate(n->bytes_out, b->bytes_out, seconds) : NAN), bytes_text(c[5], n->memory),
             count_text(c[6], n->fds));
    put_line(s, "", text);
    budget_print(s, v, seconds);
    if (n->jobs_queued + n->jobs_running + n->jobs_kept <= 0) return;   /* mostly there are none */
    snprintf(text, sizeof text, "jobs queued %s  running %s  oldest %s  kept %s", count_text(c[0], n->jobs_queued),
             count_text(c[1], n->jobs_running), span_text(c[2], n->jobs_oldest_s), count_text(c[3], n->jobs_kept));
    put_line(s, "", text);
}

static bool any_sequences(const top_scrape *s)
{
    for (size_t i = 0; i < s->model_count; i++)
        if (s->models[i].sequences + s->models[i].backlog > 0) return true;
    return false;
}

static void model_print(screen *s, const line *l, size_t width, bool sequences)
{
    char name[TOP_NAME_MAX + 26], text[400], c[10][CELL];
    snprintf(name, sizeof name, "%s%s%s", l->m->name, *l->m->version ? "/" : "", l->m->version);
    const int bytes = (int)(width + strlen(name) - columns_of(name));   /* printf() pads by these */
    int n = snprintf(text, sizeof text, "%-*s %10s %10s %8s %8s %6s %8s %10s %10s", bytes, name,
                     count_text(c[0], l->rate), count_text(c[1], l->failed), count_text(c[2], l->m->waiting),
                     count_text(c[3], l->m->running), count_text(c[4], l->batch), share_text(c[5], l->waste),
                     time_text(c[6], l->p50_s), time_text(c[7], l->p99_s));
    if (sequences && n > 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, " %10s %8s", count_text(c[8], l->m->sequences),
                 count_text(c[9], l->m->backlog));
    put_line(s, "", text);
}

void top_view_print(buf *out, const top_view *v)
{
    screen s = {.out = out, .columns = v->columns, .rows_left = v->rows ? v->rows : SIZE_MAX};
    head_print(&s, v, v->colours ? "\x1b[1m" : "");
    if (!v->now || v->down) return;
    line lines[TOP_MODELS_MAX];
    size_t count = lines_make(v, lines), width = 5;
    bool sequences = any_sequences(v->now);
    char text[400];
    for (size_t i = 0; i < count; i++) {
        size_t n = columns_of(lines[i].m->name) + columns_of(lines[i].m->version) + 1;
        if (n > width) width = n;
    }
    server_print(&s, v);
    put_line(&s, "", "");
    snprintf(text, sizeof text, "%-*s %10s %10s %8s %8s %6s %8s %10s %10s%s", (int)width, "model", "answers/s",
             "failed/s", "waiting", "running", "batch", "padding", "p50", "p99",
             sequences ? "  sequences  backlog" : "");
    put_line(&s, v->colours ? "\x1b[7m" : "", text);
    for (size_t i = 0; i < count; i++) model_print(&s, &lines[i], width, sequences);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void member(buf *out, const char *name, double value)
{
    if (isfinite(value)) buf_printf(out, ",\"%s\":%.9g", name, value);
    else buf_printf(out, ",\"%s\":null", name);
}

static void models_json(buf *out, const top_view *v)
{
    line lines[TOP_MODELS_MAX];
    size_t count = lines_make(v, lines);
    buf_put_z(out, ",\"models\":[");
    for (size_t i = 0; i < count; i++) {
        const line *l = &lines[i];
        buf_put_z(out, i ? ",{\"name\":" : "{\"name\":");
        json_text_put(out, str_of(l->m->name));
        buf_put_z(out, ",\"version\":");
        json_text_put(out, str_of(l->m->version));
        member(out, "answers_per_second", l->rate);
        member(out, "failed_per_second", l->failed);
        member(out, "waiting", l->m->waiting);
        member(out, "running", l->m->running);
        member(out, "rows_per_run", l->batch);
        member(out, "padding_share", l->waste);
        member(out, "p50_seconds", l->p50_s);
        member(out, "p99_seconds", l->p99_s);
        member(out, "sequences", l->m->sequences);
        member(out, "sequences_backlog", l->m->backlog);
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, ']');
}

void top_view_json(buf *out, const top_view *v)
{
    buf_put_z(out, "{\"address\":");
    json_text_put(out, str_of(v->address));
    if (v->down || !v->now) {
        buf_printf(out, ",\"up\":%s,\"error\":", v->answers ? "true" : "false");
        json_text_put(out, str_of(v->down));
    } else {
        const top_scrape *b = before_of(v), *n = v->now;
        double seconds = b ? (double)(n->at_us - b->at_us) / 1e6 : 1;
        buf_put_z(out, ",\"up\":true");
        member(out, "connections", n->connections);
        member(out, "requests_per_second", b ? rate(n->requests, b->requests, seconds) : NAN);
        member(out, "refused_per_second", b ? rate(n->refused, b->refused, seconds) : NAN);
        member(out, "received_bytes_per_second", b ? rate(n->bytes_in, b->bytes_in, seconds) : NAN);
        member(out, "sent_bytes_per_second", b ? rate(n->bytes_out, b->bytes_out, seconds) : NAN);
        member(out, "memory_bytes", n->memory);
        member(out, "descriptors", n->fds);
        member(out, "jobs_queued", n->jobs_queued);
        member(out, "jobs_running", n->jobs_running);
        member(out, "jobs_kept", n->jobs_kept);
        member(out, "jobs_oldest_seconds", n->jobs_oldest_s);
        member(out, "models_memory_max_bytes", n->budget_bytes);
        member(out, "models_memory_bytes", n->models_bytes);
        member(out, "models_in_memory", n->models_in);
        member(out, "model_misses_waiting", n->misses_waiting);
        models_json(out, v);
    }
    buf_put_z(out, "}\n");
}
