#include "serve/api_keys.h"

#include "base/mem.h"

#include <string.h>

enum { API_KEYS_MEMORY_MAX = 256 << 20 };
#define NOBODY UINT32_MAX   /* clang 14 takes no enumerator beyond int */

struct api_keys {
    arena memory;
    api_key *all;
    size_t count, room;
    uint32_t *slots;                    /* [slot_count]: indices into all, by digest; NOBODY = empty */
    size_t slot_count;                  /* a power of two, at least twice the count */
};

/* ---- what may stand in the file ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

err_code api_key_name_check(str name, err *e)
{
    bool ok = name.len > 0 && name.len <= API_KEYS_NAME_BYTES_MAX && name.p[0] != '#';
    for (size_t i = 0; i < name.len && ok; i++) ok = name.p[i] > ' ' && name.p[i] < 127 && name.p[i] != '"';
    if (ok) return ERR_OK;
    return err_set(e, ERR_INVALID,
                   "name: expected 1..%d visible ASCII characters without \" and # in front, got '" STR_FMT "'",
                   API_KEYS_NAME_BYTES_MAX, STR_ARG(name));
}

err_code api_key_model_check(str model, err *e)
{
    bool ok = model.len > 0 && model.len <= API_KEYS_MODEL_BYTES_MAX && str_utf8_ok(model) && model.p[0] != '#';
    for (size_t i = 0; i < model.len && ok; i++) ok = (uint8_t)model.p[i] > ' ' && model.p[i] != 127;
    if (ok) return ERR_OK;
    return err_set(e, ERR_INVALID, "model: expected a name or a pattern of 1..%d bytes, got '" STR_FMT "'",
                   API_KEYS_MODEL_BYTES_MAX, STR_ARG(model));
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static err_code digest_read(str text, uint8_t ret[SHA256_BYTES], err *e)
{
    str prefix = STR("sha256:");
    bool ok = str_starts(text, prefix) && text.len == prefix.len + (size_t)2 * SHA256_BYTES;
    for (size_t i = 0; i < SHA256_BYTES && ok; i++) {
        int high = hex(text.p[prefix.len + 2 * i]), low = hex(text.p[prefix.len + 2 * i + 1]);
        ok = high >= 0 && low >= 0;
        if (ok) ret[i] = (uint8_t)(high * 16 + low);
    }
    /* What stands there may be a key itself: it is not repeated. */
    return ok ? ERR_OK
              : err_set(e, ERR_INVALID, "digest: expected sha256: and %d hexadecimal digits (proa key makes them)",
                        2 * SHA256_BYTES);
}

/* ---- the file ---- */

/* The next word of a line; a '#' at a word's beginning ends it. */
static bool word_next(str *line, str *ret)
{
    size_t at = 0, end;
    while (at < line->len && is_blank(line->p[at])) at++;
    if (at == line->len || line->p[at] == '#') return false;
    for (end = at; end < line->len && !is_blank(line->p[end]);) end++;
    *ret = (str){line->p + at, end - at};
    *line = (str){line->p + end, line->len - end};
    return true;
}

static err_code models_read(api_keys *k, api_key *to, str line, err *e)
{
    str word, counted = line;
    size_t count = 0;
    while (word_next(&counted, &word)) count++;
    if (count == 0) return err_set(e, ERR_INVALID, "models: expected names or patterns, * for all, got none");
    if (count > API_KEYS_MODELS_MAX)
        return err_set(e, ERR_LIMIT, "models: expected at most %d, got %zu", API_KEYS_MODELS_MAX, count);
    str *models = arena_new(&k->memory, str, count);
    if (!models) return err_set(e, ERR_NOMEM, "no memory for the keys");
    for (size_t i = 0; i < count && word_next(&line, &word); i++) {
        err_code rc = api_key_model_check(word, e);
        if (rc) return rc;
        models[i] = str_copy(&k->memory, word);
        if (!models[i].p) return err_set(e, ERR_NOMEM, "no memory for the keys");
    }
    to->models = models;
    to->model_count = count;
    return ERR_OK;
}

static err_code room_grow(api_keys *k, err *e)
{
    if (k->count == API_KEYS_MAX) return err_set(e, ERR_LIMIT, "keys: expected at most %d, got more", API_KEYS_MAX);
    if (k->count < k->room) return ERR_OK;
    size_t room = k->room ? 2 * k->room : 16;
    api_key *all = mem_grow(k->all, k->count * sizeof *all, room, sizeof *all);
    if (!all) return err_set(e, ERR_NOMEM, "no memory for the keys");
    k->all = all;
    k->room = room;
    return ERR_OK;
}

/* A line that holds a key: the caller has seen that it is not empty. */
static err_code line_read(api_keys *k, str line, err *e)
{
    str name = {0}, digest = {0};
    err_code rc = room_grow(k, e);
    if (rc) return rc;
    api_key *to = &k->all[k->count];
    *to = (api_key){.model_count = 0};
    if (!word_next(&line, &name) || (rc = api_key_name_check(name, e)) != ERR_OK) return rc;
    (void)word_next(&line, &digest);
    if ((rc = digest_read(digest, to->digest, e)) != ERR_OK) return rc;
    to->name = str_copy(&k->memory, name);
    if (!to->name.p) return err_set(e, ERR_NOMEM, "no memory for the keys");
    if ((rc = models_read(k, to, line, e)) != ERR_OK) return rc;
    k->count++;
    return ERR_OK;
}

static size_t slot_of(const api_keys *k, const uint8_t digest[SHA256_BYTES])
{
    uint64_t first;
    memcpy(&first, digest, sizeof first);
    return (size_t)first & (k->slot_count - 1);
}

/* In a time that does not depend on where they differ. */
static bool digest_eq(const uint8_t *a, const uint8_t *b)
{
    unsigned differ = 0;
    for (size_t i = 0; i < SHA256_BYTES; i++) differ |= a[i] ^ b[i];
    return differ == 0;
}

/* Each key gets its slot.  Two keys may have one name, as they do while the one replaces the other. */
static err_code index_make(api_keys *k, err *e)
{
    k->slot_count = 16;
    while (k->slot_count < 2 * k->count) k->slot_count *= 2;
    k->slots = mem_alloc_raw(k->slot_count * sizeof *k->slots);
    if (!k->slots) return err_set(e, ERR_NOMEM, "no memory for the keys");
    for (size_t i = 0; i < k->slot_count; i++) k->slots[i] = NOBODY;
    for (size_t i = 0; i < k->count; i++) {
        const api_key *other = api_keys_find(k, k->all[i].digest);
        if (other)
            return err_set(e, ERR_INVALID, "'" STR_FMT "' has the key of '" STR_FMT "'", STR_ARG(k->all[i].name),
                           STR_ARG(other->name));
        size_t at = slot_of(k, k->all[i].digest);
        while (k->slots[at] != NOBODY) at = (at + 1) & (k->slot_count - 1);
        k->slots[at] = (uint32_t)i;
    }
    return ERR_OK;
}

static err_code lines_read(api_keys *k, const char *file, str text, err *e)
{
    unsigned number = 1;
    for (str line, rest = text; rest.p; number++) {
        str word, look;
        if (!str_cut(rest, '\n', &line, &rest)) {
            line = rest;
            rest = (str){0};
        }
        look = line;
        if (word_next(&look, &word) && line_read(k, line, e)) return err_wrap(e, "%s:%u", file, number);
    }
    return ERR_OK;
}

err_code api_keys_parse(api_keys **ret, const char *file, str text, err *e)
{
    CLEANUP(api_keys) api_keys *k = mem_new0(api_keys, 1);
    if (!k) return err_set(e, ERR_NOMEM, "%s: no memory for the keys", file);
    arena_init(&k->memory, NULL, 0, API_KEYS_MEMORY_MAX);
    err_code rc = lines_read(k, file, text, e);
    if (rc) return rc;
    if (k->count == 0) return err_set(e, ERR_INVALID, "%s: expected at least one key, got none", file);
    if (index_make(k, e)) return err_wrap(e, "%s", file);
    *ret = TAKE(k);
    return ERR_OK;
}

void api_keys_free(api_keys *k)
{
    if (!k) return;
    arena_fini(&k->memory);
    mem_free(k->all);
    mem_free(k->slots);
    mem_free(k);
}

size_t api_keys_count(const api_keys *k) { return k->count; }

/* ---- a key ---- */

void api_key_digest(str secret, uint8_t ret[SHA256_BYTES]) { sha256(secret, ret); }

const api_key *api_keys_find(const api_keys *k, const uint8_t digest[SHA256_BYTES])
{
    for (size_t at = slot_of(k, digest); k->slots[at] != NOBODY; at = (at + 1) & (k->slot_count - 1)) {
        const api_key *found = &k->all[k->slots[at]];
        if (digest_eq(found->digest, digest)) return found;
    }
    return NULL;
}

/* The last '*' takes one byte more each time that what is behind it does not fit: no recursion, at most the product of
 * both lengths. */
static bool matches(str pattern, str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, from = 0;
    while (n < name.len) {
        if (p < pattern.len && pattern.p[p] == '*') {
            star = p++;
            from = n;
        } else if (p < pattern.len && (pattern.p[p] == '?' || pattern.p[p] == name.p[n])) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.p[p] == '*') p++;
    return p == pattern.len;
}

bool api_key_may_use(const api_key *k, str model)
{
    if (model.len > API_KEYS_MODEL_BYTES_MAX) return api_key_may_use_all(k);   /* no model has it: not worth the time */
    for (size_t i = 0; i < k->model_count; i++)
        if (matches(k->models[i], model)) return true;
    return false;
}

bool api_key_may_use_all(const api_key *k)
{
    for (size_t i = 0; i < k->model_count; i++)
        if (str_is(k->models[i], "*")) return true;
    return false;
}

void api_key_text(const uint8_t random[API_KEYS_RANDOM_BYTES], char ret[API_KEYS_TEXT_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t at = 5;
    uint32_t bits = 0;
    unsigned have = 0;
    memcpy(ret, "proa_", 5);
    for (size_t i = 0; i < API_KEYS_RANDOM_BYTES; i++) {
        bits = bits << 8 | random[i];
        for (have += 8; have >= 6; have -= 6) ret[at++] = digits[bits >> (have - 6) & 63];
    }
    ret[at++] = digits[bits << (6 - have) & 63];
    INVARIANT(at == API_KEYS_TEXT_BYTES);
}

void api_key_line(buf *out, str name, str secret, const str *models, size_t model_count)
{
    uint8_t digest[SHA256_BYTES];
    api_key_digest(secret, digest);
    buf_put_str(out, name);
    buf_put_z(out, " sha256:");
    for (size_t i = 0; i < SHA256_BYTES; i++) buf_printf(out, "%02x", digest[i]);
    for (size_t i = 0; i < model_count; i++) {
        buf_put_byte(out, ' ');
        buf_put_str(out, models[i]);
    }
}
