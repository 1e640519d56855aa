/* api_keys.h - API keys: the file that lists them, who a key belongs to, and which models it may use.
 *
 *   # name   digest of the key                models, as names or with * and ?
 *   ci       sha256:9f86d081884c7d65...f08    *
 *   team-a   sha256:60303ae22b998861...f3b    digits iris-*
 *
 * A key is 256 random bits that `proa key` makes and shows once; at rest there is its SHA-256 alone.  A slow, salted
 * hash protects secrets that people choose, because those can be guessed: 2^256 cannot, whatever a guess costs, and no
 * table of them can be made beforehand.  So the hash may take 0.5 us, and no connection need remember who it is.
 * A key is found by its digest's first bits, which tell a guesser nothing about it, and compared in constant time.
 *
 * Made once and then only read, by any thread.  Every text that is wrong is refused with its line. */
#ifndef SERVE_API_KEYS_H
#define SERVE_API_KEYS_H
#include "base/buf.h"
#include "wire/sha256.h"

enum {
    API_KEYS_MAX = 65536,                   /* keys of one file */
    API_KEYS_FILE_BYTES_MAX = 16 << 20,
    API_KEYS_MODELS_MAX = 1024,             /* names and patterns of one key */
    API_KEYS_NAME_BYTES_MAX = 64,
    API_KEYS_MODEL_BYTES_MAX = 128,         /* of a model's name, as the repository has it, or a pattern */
    API_KEYS_RANDOM_BYTES = 32,
    API_KEYS_TEXT_BYTES = 5 + 43,           /* "proa_", and 256 bits in base64url */
    API_KEYS_TEXT_BYTES_MAX = 512           /* nobody sends a longer one */
};

typedef struct api_key {
    str name;
    uint8_t digest[SHA256_BYTES];
    const str *models;                  /* names or patterns */
    size_t model_count;
} api_key;

typedef struct api_keys api_keys;

/* `file` opens the texts of errors: "keys.txt:3: ...".  The text may go away. */
err_code api_keys_parse(api_keys **ret, const char *file, str text, err *e) MUST_USE;
void api_keys_free(api_keys *k);
DEFINE_CLEANUP(api_keys)
size_t api_keys_count(const api_keys *k);

void api_key_digest(str secret, uint8_t ret[SHA256_BYTES]);
const api_key *api_keys_find(const api_keys *k, const uint8_t digest[SHA256_BYTES]);   /* NULL = nobody's */
bool api_key_may_use(const api_key *k, str model);
bool api_key_may_use_all(const api_key *k);     /* has the pattern "*" */

/* A new key of so many random bytes, and its line in the file. */
void api_key_text(const uint8_t random[API_KEYS_RANDOM_BYTES], char ret[API_KEYS_TEXT_BYTES]);
void api_key_line(buf *out, str name, str secret, const str *models, size_t model_count);
/* What may stand in the file; ERR_INVALID says why not. */
err_code api_key_name_check(str name, err *e) MUST_USE;
err_code api_key_model_check(str model, err *e) MUST_USE;

#endif
