#include "serve/guard.h"

#include "base/mem.h"
#include "os/file.h"

/* ---- the keys in force ---- */

static err_code file_keys(api_keys **ret, const char *path, err *e)
{
    char *text = NULL;
    size_t len = 0;
    api_keys *k = NULL;
    file_id id;
    err_code rc = file_read(path, API_KEYS_FILE_BYTES_MAX, &text, &len, e);
    if (rc == ERR_OK) rc = file_identify(path, &id, e);
    if (rc == ERR_OK && (id.mode & 02))   /* whoever writes there lets himself in */
        rc = err_set(e, ERR_INVALID, "%s: mode: expected keys that not everybody may write, got '%03o'", path,
                     (unsigned)id.mode);
    if (rc == ERR_OK) rc = api_keys_parse(&k, path, (str){text, len}, e);
    mem_free(text);
    if (rc == ERR_OK) *ret = k;
    return rc;
}

err_code guard_open(guard *g, const char *path, err *e)
{
    api_keys *k = NULL;
    err_code rc = file_keys(&k, path, e);
    if (rc == ERR_OK) atomic_store(&g->keys, k);
    return rc;
}

void guard_close(guard *g) { api_keys_free(atomic_exchange(&g->keys, NULL)); }

/* Goes to every loop; the last one frees the keys that nobody can be using any more. */
typedef struct farewell farewell;

typedef struct {
    loop_msg msg;
    farewell *of;
} farewell_msg;

struct farewell {
    api_keys *old;
    _Atomic size_t left;
    farewell_msg *msgs;
};

static void passed(loop *on, loop_msg *m)
{
    (void)on;
    farewell *f = ((farewell_msg *)(void *)m)->of;
    if (atomic_fetch_sub(&f->left, 1) != 1) return;
    api_keys_free(f->old);
    mem_free(f->msgs);
    mem_free(f);
}

err_code guard_renew(guard *g, const char *path, loop *const *loops, size_t loop_count, err *e)
{
    api_keys *k = NULL;
    err_code rc = file_keys(&k, path, e);
    if (rc) return rc;
    farewell *f = mem_new0(farewell, 1);
    farewell_msg *msgs = mem_new0(farewell_msg, loop_count);
    if (!f || !msgs) {
        mem_free(f);
        mem_free(msgs);
        api_keys_free(k);
        return err_set(e, ERR_NOMEM, "%s: no memory to change the keys", path);
    }
    f->old = atomic_exchange(&g->keys, k);
    f->msgs = msgs;
    atomic_store(&f->left, loop_count);
    for (size_t i = 0; i < loop_count; i++) {
        msgs[i] = (farewell_msg){.msg.run = passed, .of = f};
        loop_post(loops[i], &msgs[i].msg);
    }
    return ERR_OK;
}

/* ---- who asks ---- */

bool guard_is_on(const guard *g) { return atomic_load_explicit(&g->keys, memory_order_acquire) != NULL; }

static str secret_of(const http_request *req)
{
    str given = http_header_get(req, HTTP_FIELD_AUTHORIZATION), scheme, rest;
    if (str_cut(given, ' ', &scheme, &rest) && str_is_nocase(scheme, "Bearer")) return str_trim(rest);
    return http_header_get(req, HTTP_FIELD_X_API_KEY);
}

static err_code unknown(err *e)
{
    return err_set(e, ERR_UNAUTHENTICATED, "API key: expected one that is known here, got another");
}

err_code guard_admit(const guard *g, const http_request *req, guard_pass *ret, err *e)
{
    str secret = secret_of(req);
    if (!atomic_load_explicit(&g->keys, memory_order_acquire)) {
        *ret = (guard_pass){.anyone = true};
        return ERR_OK;
    }
    if (secret.len == 0)
        return err_set(e, ERR_UNAUTHENTICATED,
                       "API key: expected Authorization: Bearer KEY, or X-API-Key: KEY, got none");
    if (secret.len > API_KEYS_TEXT_BYTES_MAX) return unknown(e);
    guard_pass pass = {.anyone = false};
    const api_key *who;
    api_key_digest(secret, pass.digest);
    err_code rc = guard_who(g, &pass, &who, e);
    if (rc == ERR_OK) *ret = pass;
    return rc;
}

err_code guard_who(const guard *g, const guard_pass *pass, const api_key **ret_who, err *e)
{
    const api_keys *k = atomic_load_explicit(&g->keys, memory_order_acquire);
    if (pass->anyone || !k) {
        *ret_who = NULL;
        return ERR_OK;
    }
    const api_key *who = api_keys_find(k, pass->digest);
    if (!who) return unknown(e);
    *ret_who = who;
    return ERR_OK;
}

err_code guard_check(const guard *g, const http_request *req, const api_key **ret_who, err *e)
{
    guard_pass pass UNINIT;
    *ret_who = NULL;
    if (!guard_is_on(g)) return ERR_OK;
    err_code rc = guard_admit(g, req, &pass, e);
    return rc ? rc : guard_who(g, &pass, ret_who, e);
}

/* ---- what they may ---- */

bool guard_sees(const api_key *who, str model) { return !who || api_key_may_use(who, model); }

err_code guard_model(const api_key *who, str model, err *e)
{
    if (guard_sees(who, model)) return ERR_OK;
    return err_set(e, ERR_FORBIDDEN, "The key of " STR_FMT " is not for model " STR_FMT ".", STR_ARG(who->name),
                   STR_ARG(model));
}

err_code guard_server(const api_key *who, err *e)
{
    if (!who || api_key_may_use_all(who)) return ERR_OK;
    return err_set(e, ERR_FORBIDDEN, "The key of " STR_FMT " is for some models: this needs one for all (*).",
                   STR_ARG(who->name));
}

void guard_refuse(http_call *call, const err *e)
{
    static const http_header asks = {{"WWW-Authenticate", 16}, {"Bearer realm=\"proa\"", 19}};
    http_reply_error_with(call, err_http_status(e->code), e->text, e->code == ERR_UNAUTHENTICATED ? &asks : NULL);
}
