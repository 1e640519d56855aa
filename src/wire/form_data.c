#include "wire/form_data.h"

#include <string.h>

static const char *find(str in, str what)
{
    return in.len ? memmem(in.p, in.len, what.p, what.len) : NULL;
}

static str behind(str s, const char *at)
{
    return (str){at, (size_t)(s.p + s.len - at)};
}

/* "Content-Disposition: form-data; name="f"; filename="cat.jpg"" is among a part's headers. */
static bool is_file(str headers)
{
    str line, rest = headers;
    while (headers.len) {
        if (!str_cut(headers, '\n', &line, &rest)) line = headers, rest = (str){line.p + line.len, 0};
        headers = rest;
        if (line.len > 19 && str_is_nocase((str){line.p, 19}, "content-disposition") &&
            (find(line, STR(" filename=")) || find(line, STR(";filename=")) || find(line, STR(" filename*="))))
            return true;
    }
    return false;
}

typedef struct {
    str mark, rest;      /* "\r\n--boundary"; what follows the last one found */
} parts;

/* The boundary stands for itself with the line end before it. */
static err_code open_body(str body, char mark[FORM_DATA_BOUNDARY_MAX + 4], parts *ret, err *e)
{
    str line, rest;
    bool ok = str_cut(body, '\n', &line, &rest) && line.len > 3 && line.p[line.len - 1] == '\r' &&
              line.len - 3 <= FORM_DATA_BOUNDARY_MAX && memcmp(line.p, "--", 2) == 0;
    if (!ok) return err_set(e, ERR_INVALID, "multipart/form-data: expected a body that begins with its boundary");
    mark[0] = '\r';
    mark[1] = '\n';
    memcpy(mark + 2, line.p, line.len - 1);
    *ret = (parts){{mark, line.len + 1}, rest};
    return ERR_OK;
}

/* The next part; *ret_more is false behind the last one. */
static err_code next_part(parts *p, str *ret_headers, str *ret_body, bool *ret_more, err *e)
{
    static const char cut_off[] = "multipart/form-data: expected a body that ends with its boundary, got one cut off";
    const char *end = find(p->rest, p->mark), *blank = find(p->rest, STR("\r\n\r\n"));
    if (!end) return err_set(e, ERR_INVALID, "%s", cut_off);
    if (!blank || blank > end)
        return err_set(e, ERR_INVALID, "multipart/form-data: expected headers and an empty line in each part");
    *ret_headers = (str){p->rest.p, (size_t)(blank - p->rest.p)};
    *ret_body = (str){blank + 4, end > blank + 4 ? (size_t)(end - blank - 4) : 0};
    p->rest = behind(p->rest, end + p->mark.len);
    if (p->rest.len < 2) return err_set(e, ERR_INVALID, "%s", cut_off);
    *ret_more = memcmp(p->rest.p, "--", 2) != 0;
    p->rest = behind(p->rest, p->rest.p + 2);   /* "--" or the end of the line */
    return ERR_OK;
}

err_code form_data_file(str body, str *ret, err *e)
{
    char mark[FORM_DATA_BOUNDARY_MAX + 4];
    parts p;
    str headers, part, file = {0}, first = {0};
    size_t count = 0, files = 0;
    bool more = true;
    err_code rc = open_body(body, mark, &p, e);
    while (!rc && more) {
        if (++count > FORM_DATA_PARTS_MAX)
            return err_set(e, ERR_TOO_LARGE, "multipart/form-data: expected at most %d parts", FORM_DATA_PARTS_MAX);
        rc = next_part(&p, &headers, &part, &more, e);
        if (rc) return rc;
        if (count == 1) first = part;
        if (is_file(headers) && files++ == 0) file = part;
    }
    if (rc) return rc;
    if (files == 0 && count == 1) file = first, files = 1;
    if (files != 1) return err_set(e, ERR_INVALID, "multipart/form-data: expected one file, got %zu", files);
    *ret = file;
    return ERR_OK;
}
