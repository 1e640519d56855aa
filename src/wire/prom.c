#include "wire/prom.h"

#include <math.h>
#include <string.h>

void prom_init(prom *p, str text) { *p = (prom){.rest = text}; }

static bool in_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (!first && c >= '0' && c <= '9');
}

static size_t name_len(str s)
{
    size_t n = 0;
    while (n < s.len && in_name(s.p[n], n == 0)) n++;
    return n;
}

static str behind(str s, size_t n) { return (str){s.p + n, s.len - n}; }

/* The label at the front of s: name="value", and what separates it from the next.  value: as it is written. */
static bool label_take(str *s, str *ret_name, str *ret_value)
{
    str t = str_trim(*s);
    size_t n = name_len(t);
    *ret_name = (str){t.p, n};
    if (n == 0 || t.len - n < 3 || t.p[n] != '=' || t.p[n + 1] != '"') return false;
    t = behind(t, n + 2);
    for (n = 0; n < t.len && t.p[n] != '"'; n++) {
        if (t.p[n] == '\\') n++;
    }
    if (n >= t.len) return false;
    *ret_value = (str){t.p, n};
    t = str_trim(behind(t, n + 1));
    if (t.len && t.p[0] != ',') return false;
    *s = t.len ? behind(t, 1) : t;
    return true;
}

/* Where the brace that closes the labels is: behind quotes, which may hold braces. */
static bool labels_end(str s, size_t *ret)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        if (quoted && s.p[i] == '\\') i++;
        else if (s.p[i] == '"') quoted = !quoted;
        else if (!quoted && s.p[i] == '}') {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool number_read(str s, double *ret)
{
    if (str_is(s, "NaN")) *ret = NAN;
    else if (str_is(s, "+Inf") || str_is(s, "Inf")) *ret = INFINITY;
    else if (str_is(s, "-Inf")) *ret = -INFINITY;
    else return str_f64(s, ret);
    return true;
}

static bool sample_read(str line, prom_sample *ret)
{
    prom_sample s = {.labels = STR("")};
    size_t n = name_len(line);
    s.name = (str){line.p, n};
    str rest = behind(line, n);
    if (n == 0) return false;
    if (rest.len && rest.p[0] == '{') {
        rest = behind(rest, 1);
        if (!labels_end(rest, &n)) return false;
        s.labels = (str){rest.p, n};
        rest = behind(rest, n + 1);
        str labels = str_trim(s.labels), name, value;
        while (labels.len) {
            if (!label_take(&labels, &name, &value)) return false;
        }
    } else if (rest.len == 0 || (rest.p[0] != ' ' && rest.p[0] != '\t')) {
        return false;
    }
    rest = str_trim(rest);
    for (n = 0; n < rest.len && rest.p[n] != ' ' && rest.p[n] != '\t'; n++) {}   /* a timestamp may follow */
    if (!number_read((str){rest.p, n}, &s.value)) return false;
    *ret = s;
    return true;
}

err_code prom_next(prom *p, prom_sample *ret, bool *ret_found, err *e)
{
    while (p->rest.len) {
        str line = p->rest;
        if (!str_cut(p->rest, '\n', &line, &p->rest)) p->rest = STR("");
        p->line++;
        line = str_trim(line);
        if (line.len && line.p[line.len - 1] == '\r') line.len--;
        if (line.len == 0 || line.p[0] == '#') continue;
        if (!sample_read(line, ret))
            return err_set(e, ERR_INVALID, "metrics: line %zu: expected a sample, got '" STR_FMT "'", p->line,
                           STR_ARG(line));
        *ret_found = true;
        return ERR_OK;
    }
    *ret_found = false;
    return ERR_OK;
}

bool prom_label(str labels, const char *name, char *to, size_t room)
{
    str rest = str_trim(labels), got, value;
    INVARIANT(room > 0);
    while (rest.len && label_take(&rest, &got, &value)) {
        if (!str_is(got, name)) continue;
        size_t n = 0;
        for (size_t i = 0; i < value.len && n < room - 1; i++) {
            char c = value.p[i];
            if (c == '\\' && i + 1 < value.len) {
                c = value.p[++i];
                if (c == 'n') c = '\n';
            }
            to[n++] = c;
        }
        to[n] = 0;
        return true;
    }
    return false;
}
