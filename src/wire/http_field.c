#include "wire/http_field.h"

_Static_assert(HTTP_FIELD_OTHER <= 32, "each has a bit in the index");

static const str names[HTTP_FIELD_OTHER] = {
#define X(member, name) {name, sizeof(name) - 1},
    HTTP_FIELDS(X)
#undef X
};

/* The first name of a length; the others of that length follow it.  Where there is none, the first of all, which is of
 * another length. */
enum { LENGTH_MAX = 31 };
static const uint8_t first_of[LENGTH_MAX + 1] = {
    [4] = HTTP_FIELD_HOST,
    [6] = HTTP_FIELD_ACCEPT,
    [7] = HTTP_FIELD_UPGRADE,
    [9] = HTTP_FIELD_X_API_KEY,
    [10] = HTTP_FIELD_CONNECTION,
    [11] = HTTP_FIELD_TRACEPARENT,
    [12] = HTTP_FIELD_CONTENT_TYPE,
    [13] = HTTP_FIELD_AUTHORIZATION,
    [14] = HTTP_FIELD_CE_SPECVERSION,
    [15] = HTTP_FIELD_ACCEPT_ENCODING,
    [16] = HTTP_FIELD_CONTENT_ENCODING,
    [17] = HTTP_FIELD_TRANSFER_ENCODING,
    [20] = HTTP_FIELD_GRPC_ACCEPT_ENCODING,
    [29] = HTTP_FIELD_ACCESS_CONTROL_REQUEST_METHOD,
    [30] = HTTP_FIELD_ACCESS_CONTROL_REQUEST_HEADERS,
    [31] = HTTP_FIELD_INFERENCE_HEADER_CONTENT_LENGTH,
};

http_field http_field_of(str name)
{
    if (name.len == 0 || name.len > LENGTH_MAX) return HTTP_FIELD_OTHER;
    for (unsigned f = first_of[name.len]; f < HTTP_FIELD_OTHER && names[f].len == name.len; f++)
        if ((name.p[0] | 0x20) == names[f].p[0] && str_eq_nocase(name, names[f])) return (http_field)f;
    return HTTP_FIELD_OTHER;
}

str http_field_name(http_field f)
{
    INVARIANT(f < HTTP_FIELD_OTHER);
    return names[f];
}

void http_field_index_add(http_field_index *x, http_field f, size_t place)
{
    if (f == HTTP_FIELD_OTHER) return;
    uint32_t bit = UINT32_C(1) << f;
    INVARIANT(place <= UINT32_MAX);
    if (x->has & bit) x->repeats |= bit;
    else x->first[f] = (uint32_t)place;
    x->has |= bit;
}

http_header_span http_field_span(const http_field_index *x, http_field f, const http_header *headers, size_t count)
{
    uint32_t bit = UINT32_C(1) << f;
    if (!x) return (http_header_span){headers, count};
    if (!(x->has & bit)) return (http_header_span){headers, 0};
    INVARIANT(x->first[f] < count);
    return (http_header_span){headers + x->first[f], x->repeats & bit ? count - x->first[f] : 1};
}

str http_field_get(const http_field_index *x, http_field f, const http_header *headers, size_t count)
{
    http_header_span s = http_field_span(x, f, headers, count);
    if (s.count == 0) return STR("");
    return x ? s.at->value : http_header_find(headers, count, names[f].p);
}
