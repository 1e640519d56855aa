#include "cli/refusal.h"

#include "wire/json.h"

err_code refusal_say(const client *http, const client_reply *reply, err *e)
{
    static const char *const members[] = {"error", "detail", "message"};
    yyjson_val *root = NULL;
    err none;
    arena a;
    str text = {reply->body.p, reply->body.len < 200 ? reply->body.len : 200};
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    json_opts o = {.memory = &a};
    if (json_parse(reply->body, &o, &root, &none) == ERR_OK && yyjson_is_obj(root)) {
        for (size_t i = COUNTOF(members); i-- > 0;) {
            yyjson_val *v = yyjson_obj_get(root, members[i]);
            if (yyjson_is_str(v)) text = (str){yyjson_get_str(v), yyjson_get_len(v)};
        }
    }
    err_set(e, ERR_INVALID, "%s: %d: " STR_FMT, client_address(http), reply->status,
            STR_ARG(text.len ? text : STR("no text")));
    arena_fini(&a);
    return e->code;
}
