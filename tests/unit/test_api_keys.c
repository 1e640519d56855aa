/* A file gives each key its owner and its models, or the line that is wrong; a key is found by what it is and by
 * nothing like it; patterns match as a plain recursive reading of them does. */
#include "serve/api_keys.h"
#include "test.h"

#define A "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"   /* of "abc" */
#define B "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"   /* of "" */

static const char *refusal(const char *text)
{
    static err e;
    api_keys *k = NULL;
    if (api_keys_parse(&k, "keys", str_of(text), &e)) return e.text;
    api_keys_free(k);
    return "fine";
}

static const api_key *find(const api_keys *k, const char *secret)
{
    uint8_t digest[SHA256_BYTES];
    api_key_digest(str_of(secret), digest);
    return api_keys_find(k, digest);
}

static void a_file_names_owners_and_models(void)
{
    api_keys *k = NULL;
    err e;
    char text[] = "# keys\r\n\n  \t\nci " A "\t*\r\nteam-a  " B " digits iris-* # theirs\n#" A "\n";
    CHECK(api_keys_parse(&k, "keys", str_of(text), &e) == ERR_OK);
    memset(text, 'x', sizeof text - 1);   /* nothing is borrowed */
    CHECK_U64(api_keys_count(k), 2);
    const api_key *ci = find(k, "abc"), *team = find(k, "");
    INVARIANT(ci && team);
    CHECK(str_is(ci->name, "ci") && ci->model_count == 1 && api_key_may_use_all(ci) && api_key_may_use(ci, STR("x")));
    CHECK(str_is(team->name, "team-a") && team->model_count == 2 && !api_key_may_use_all(team));
    CHECK(api_key_may_use(team, STR("digits")) && api_key_may_use(team, STR("iris-2")));
    CHECK(!api_key_may_use(team, STR("digits2")) && !api_key_may_use(team, STR("Iris-2")));
    CHECK(!api_key_may_use(team, STR("")));
    CHECK(!find(k, "ab") && !find(k, "abcd") && !find(k, A));
    api_keys_free(k);
}

static void wrong_lines_are_named(void)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "keys: expected at least one key, got none"},
        {"# none\n", "keys: expected at least one key, got none"},
        {"ci " A, "keys:1: models: expected names or patterns, * for all, got none"},
        {"\nci " A " # *\n", "keys:2: models: expected names or patterns, * for all, got none"},
        {"ci", "keys:1: digest: expected sha256: and 64 hexadecimal digits (proa key makes them)"},
        {"ci proa_secret *", "keys:1: digest: expected sha256: and 64 hexadecimal digits (proa key makes them)"},
        {"ci " A "0 *", "keys:1: digest: expected sha256: and 64 hexadecimal digits (proa key makes them)"},
        {"ci sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD *",
         "keys:1: digest: expected sha256: and 64 hexadecimal digits (proa key makes them)"},
        {"a\"b " A " *",
         "keys:1: name: expected 1..64 visible ASCII characters without \" and # in front, got 'a\"b'"},
        {"\xc3\xa4 " A " *",
         "keys:1: name: expected 1..64 visible ASCII characters without \" and # in front, got '\xc3\xa4'"},
        {"a " A " *\nb " B " \x80\n", "keys:2: model: expected a name or a pattern of 1..128 bytes, got '\x80'"},
        {"a " A " *\nb " A " x\n", "keys: 'b' has the key of 'a'"},
        {"a " A " *\na " B " *\n", "fine"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(refusal(rows[i].text), rows[i].want);
    static char many[8 * API_KEYS_MODELS_MAX];
    size_t n = (size_t)snprintf(many, sizeof many, "a " A);
    for (int i = 0; i < API_KEYS_MODELS_MAX; i++, n += 2) memcpy(many + n, " m", 3);
    CHECK_STR(refusal(many), "fine");
    memcpy(many + n, " m", 3);
    CHECK_STR(refusal(many), "keys:1: models: expected at most 1024, got 1025");
}

/* Short words over a small alphabet: every pair, against the obvious definition. */
static bool fits(const char *p, const char *s)
{
    if (!*p) return !*s;
    if (*p == '*') return fits(p + 1, s) || (*s && fits(p, s + 1));
    return *s && (*p == '?' || *p == *s) && fits(p + 1, s + 1);
}

static void word(char *to, const char *letters, unsigned base, unsigned n)
{
    for (; n; n /= base) *to++ = letters[--n % base];
    *to = 0;
}

static void patterns_mean_what_they_say(void)
{
    char pattern[12], name[12], line[200];
    api_keys *k = NULL;
    err e;
    for (unsigned p = 1; p < 340; p++) {   /* up to four letters */
        word(pattern, "ab*?", 4, p);
        snprintf(line, sizeof line, "a " A " %s", pattern);
        CHECK(api_keys_parse(&k, "keys", str_of(line), &e) == ERR_OK);
        for (unsigned n = 0; n < 127; n++) {   /* up to six */
            word(name, "ab", 2, n);
            CHECK(api_key_may_use(find(k, "abc"), str_of(name)) == fits(pattern, name));
        }
        api_keys_free(k);
    }
}

static void many_keys_are_all_found(void)
{
    enum { MANY = 3000 };
    buf text;
    err e;
    api_keys *k = NULL;
    char secret[20], owner[20];
    buf_init(&text, 1 << 20);
    for (int i = 0; i < MANY; i++) {
        snprintf(secret, sizeof secret, "s%d", i);
        snprintf(owner, sizeof owner, "o%d", i);
        api_key_line(&text, str_of(owner), str_of(secret), &(str){"m?", 2}, 1);
        buf_put_byte(&text, '\n');
    }
    CHECK(api_keys_parse(&k, "keys", buf_str(&text), &e) == ERR_OK);
    for (int i = 0; i < MANY; i++) {
        snprintf(secret, sizeof secret, "s%d", i);
        snprintf(owner, sizeof owner, "o%d", i);
        const api_key *who = find(k, secret);
        CHECK(who && str_is(who->name, owner) && api_key_may_use(who, STR("m1")) && !api_key_may_use(who, STR("m")));
        secret[0] = 'x';
        CHECK(!find(k, secret));
    }
    api_keys_free(k);
    buf_fini(&text);
}

static void a_new_key_is_its_random_bytes(void)
{
    uint8_t random[API_KEYS_RANDOM_BYTES];
    char text[API_KEYS_TEXT_BYTES + 1] = "";
    for (size_t i = 0; i < sizeof random; i++) random[i] = (uint8_t)(i * 37 + 250);
    api_key_text(random, text);
    CHECK_STR(text, "proa_-h9EaY6z2P0iR2yRttsAJUpvlLneAyhNcpe84QYrUHU");   /* by Python's base64.urlsafe_b64encode() */
    memset(random, 255, sizeof random);
    api_key_text(random, text);
    CHECK_STR(text, "proa___________________________________________8");
}

static void running_out_of_memory_leaves_nothing(void)
{
    err e;
    api_keys *k;
    FAULT_SWEEP({
        k = NULL;
        err_code rc = api_keys_parse(&k, "keys", STR("a " A " x y\nb " B " *\n"), &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        api_keys_free(k);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_file_names_owners_and_models), TEST(wrong_lines_are_named),
        TEST(patterns_mean_what_they_say),    TEST(many_keys_are_all_found),
        TEST(a_new_key_is_its_random_bytes),  TEST(running_out_of_memory_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
