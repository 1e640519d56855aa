#include "serve/route.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} cursor;

/* Behind the '{' of a capture: takes it from the path, up to the end of the segment but for the literal that follows
 * the capture there, and goes behind both. */
static bool capture(const char **pattern, cursor *path, route_args *args)
{
    const char *name = *pattern, *close = strchr(name, '}'), *stop = close + 1;
    while (*stop && *stop != '/') stop++;
    str tail = {close + 1, (size_t)(stop - close) - 1};
    const char *slash = memchr(path->at, '/', (size_t)(path->end - path->at));
    str segment = {path->at, (size_t)((slash ? slash : path->end) - path->at)};
    if (!str_ends(segment, tail) || segment.len == tail.len) return false;
    str value = {segment.p, segment.len - tail.len};
    if (tail.len == 0 && memchr(value.p, ':', value.len)) return false;   /* "m:predict" is not a model's name */
    *(*name == 'm'   ? &args->model
      : *name == 'r' ? &args->region
      : *name == 'j' ? &args->job
      : *name == 'a' ? &args->alias
      : *name == 'l' ? &args->label
                     : &args->version) = value;
    *pattern = stop;
    path->at += segment.len;
    return true;
}

static bool match(const char *pattern, str path, route_args *ret)
{
    route_args args = {0};
    cursor c = {path.p, path.p + path.len};
    while (*pattern) {
        if (*pattern == '{') {
            pattern++;
            if (!capture(&pattern, &c, &args)) return false;
        } else if (c.at == c.end || *c.at++ != *pattern++) {
            return false;
        }
    }
    if (c.at != c.end) return false;
    *ret = args;
    return true;
}

int route_find(const route *rows, size_t count, str method, str path, route_args *ret, char ret_allow[64])
{
    size_t allowed = 0;
    ret_allow[0] = 0;
    if (path.len == 0 || path.p[0] != '/') return ROUTE_NONE;
    for (size_t i = 0; i < count; i++) {
        if (!match(rows[i].pattern, path, ret)) continue;
        if (str_is(method, rows[i].method)) return (int)i;
        int n = snprintf(ret_allow + allowed, 64 - allowed, "%s%s", allowed ? ", " : "", rows[i].method);
        if (n > 0 && allowed + (size_t)n < 64) allowed += (size_t)n;
    }
    return allowed ? ROUTE_BAD_METHOD : ROUTE_NONE;
}
