/* Any bytes as a file of API keys: read or refused in one line; every key that was read has an owner and models, is
 * found, and may use what its plain names say. */
#include "serve/api_keys.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    api_keys *k = NULL;
    err e;
    uint8_t digest[SHA256_BYTES];
    if (size > 65536) return 0;
    str text = {(const char *)data, size};
    err_code rc = api_keys_parse(&k, "keys", text, &e);
    INVARIANT(rc == ERR_OK || ((rc == ERR_INVALID || rc == ERR_LIMIT) && strlen(e.text) > 0));
    if (rc) return 0;
    INVARIANT(api_keys_count(k) > 0);
    for (size_t i = 0; i + 64 <= size; i++) {   /* every digest that stands there */
        if (memcmp(data + i, "sha256:", 7) != 0 || i + 7 + 2 * SHA256_BYTES > size) continue;
        for (size_t b = 0; b < SHA256_BYTES; b++) {
            char pair[2] = {(char)data[i + 7 + 2 * b], (char)data[i + 8 + 2 * b]};
            int high = pair[0] > '9' ? pair[0] - 'a' + 10 : pair[0] - '0';
            int low = pair[1] > '9' ? pair[1] - 'a' + 10 : pair[1] - '0';
            digest[b] = (uint8_t)(high * 16 + low);
        }
        const api_key *who = api_keys_find(k, digest);
        if (!who) continue;   /* in a comment */
        INVARIANT(who->name.len && who->model_count && memcmp(who->digest, digest, sizeof digest) == 0);
        for (size_t m = 0; m < who->model_count; m++) INVARIANT(api_key_may_use(who, who->models[m]));
    }
    api_keys_free(k);
    return 0;
}
