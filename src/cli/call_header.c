#include "cli/call_header.h"

#include <stdio.h>
#include <string.h>

/* RFC 9110, 5.6.2: a token. */
static bool is_name(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
    }
    return s.len > 0;
}

static bool is_value(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if ((c < ' ' && c != '\t') || c == 127) return false;
    }
    return true;
}

err_code call_header_read(const char *text, http_header *ret, err *e)
{
    static const char *const ours[] = {"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection",
                                       "Keep-Alive", "Upgrade", "TE", "Trailer", "User-Agent",
                                       "Inference-Header-Content-Length"};
    http_header h;
    if (!str_cut(str_of(text), ':', &h.name, &h.value) || str_trim(h.name).len == 0)
        return err_set(e, ERR_INVALID, "--header: expected 'NAME: VALUE', got '%s'", text);
    h.value = str_trim(h.value);
    if (!is_name(h.name) || !is_value(h.value))
        return err_set(e, ERR_INVALID, "--header: expected visible characters on one line, got '%s'", text);
    for (size_t i = 0; i < COUNTOF(ours); i++)
        if (str_is_nocase(h.name, ours[i]))
            return err_set(e, ERR_INVALID, "--header: expected none that proa sets itself, got '%s'", text);
    *ret = h;
    return ERR_OK;
}

err_code call_header_bearer(const char *key, char room[CALL_HEADER_BEARER_MAX], http_header *ret, err *e)
{
    int n = snprintf(room, CALL_HEADER_BEARER_MAX, "Bearer %s", key);
    if (n < 0 || n >= CALL_HEADER_BEARER_MAX)
        return err_set(e, ERR_INVALID, "--api-key: expected at most %d bytes, got %zu", CALL_HEADER_BEARER_MAX - 8,
                       strlen(key));
    if (!is_value(str_of(key)))
        return err_set(e, ERR_INVALID, "--api-key: expected visible characters on one line, got others");
    *ret = (http_header){STR("Authorization"), {room, (size_t)n}};
    return ERR_OK;
}
