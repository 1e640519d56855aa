/* The digest is the standard's for every length around the blocks' edges. */
#include "wire/sha256.h"
#include "test.h"

static const char *hex(str bytes)
{
    static char text[2 * SHA256_BYTES + 1];
    uint8_t digest[SHA256_BYTES];
    sha256(bytes, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

/* FIPS 180-4's examples. */
static void the_standards_examples(void)
{
    static char million[1000000];
    CHECK_STR(hex(STR("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_STR(hex(STR("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_STR(hex(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', sizeof million);
    CHECK_STR(hex((str){million, sizeof million}), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Where padding moves to a block of its own: by Python's hashlib. */
static void lengths_around_the_edges(void)
{
    static const struct {
        size_t len;
        const char *want;
    } rows[] = {
        {1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
        {48, "23b3634e2751a892cddd80e42c0027949226cffdb231c42cba9361fce2a3021e"},
        {54, "45f316e10b2c99abf374b22bda893cf3300d77263f1e272349ed414680522952"},
        {55, "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072"},
        {56, "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e"},
        {57, "ae14a2563ccf969d99aca69ce6bb74981f734bbf9f655f73b8f06db68cab5217"},
        {63, "75220b47218278e656f2013bb8f0c455a25eaf01e86c64924e9d48d89776d6f2"},
        {64, "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c"},
        {65, "9537c5fdf120482f7d58d25e9ed583f52c02b4e304ea814db1633ad565aed7e9"},
        {119, "000b48d4edf0fa7bee3c6236ecd2785baa5db4eeb8bb54341b029e0d9fa5fb0c"},
        {120, "13f05a0b594787f5ecd315edc96141bd3243203d1b7d4f0836f37308b276ba98"},
        {127, "70156a14adbabf98cff3a71c7084b417abf057a8efd27329ca36b7202c87d81f"},
        {128, "24da1b81d0b16df6428eee73c69fcb2a93c76bc6df706f0c6670fe6bfe800464"},
        {200, "aa20c23e3201834050679e1d88941b9a6fed0557c9a705cb2c315e2e63fd486d"},
    };
    static char text[200];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(hex((str){text, rows[i].len}), rows[i].want);
}

int main(void)
{
    static const test_case cases[] = {TEST(the_standards_examples), TEST(lengths_around_the_edges)};
    return test_main(cases, COUNTOF(cases));
}
