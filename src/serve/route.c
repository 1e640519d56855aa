#include "serve/route.h"

#include <stdio.h>
#include <string.h>

/* One segment of the pattern against one of the path: "infer", "{model}", "{model}:predict". */
static bool segment_match(str pattern, str segment, route_args *args)
{
    if (pattern.len == 0 || pattern.p[0] != '{') return str_eq(pattern, segment);
    str name, tail;
    if (!str_cut(pattern, '}', &name, &tail)) return false;
    if (!str_ends(segment, tail) || segment.len == tail.len) return false;
    str value = {segment.p, segment.len - tail.len};
    if (tail.len == 0 && memchr(value.p, ':', value.len)) return false; /* "m:predict" is not a model's name */
    if (str_is(name, "{model"))
        args->model = value;
    else if (str_is(name, "{region"))
        args->region = value;
    else
        args->version = value;
    return true;
}

static bool match(const char *pattern, str path, route_args *ret)
{
    route_args args = {0};
    str left = str_of(pattern + 1), rest = {path.p + 1, path.len - 1};
    for (;;) {
        str a = left, b = rest, a_next = {0}, b_next = {0};
        bool a_more = str_cut(left, '/', &a, &a_next), b_more = str_cut(rest, '/', &b, &b_next);
        if (a_more != b_more || !segment_match(a, b, &args)) return false;
        if (!a_more) break;
        left = a_next;
        rest = b_next;
    }
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
