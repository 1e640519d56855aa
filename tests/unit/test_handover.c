/* Every message is read as it was printed, and whatever else comes is none. */
#include "serve/handover.h"
#include "test.h"

static void messages_are_read_as_they_are_printed(void)
{
    static const uint32_t counts[] = {0, 1, 64, HANDOVER_SOCKETS_MAX};
    for (uint32_t kind = 0; kind < HANDOVER_KINDS; kind++) {
        for (size_t i = 0; i < COUNTOF(counts); i++) {
            char text[SOCK_PASS_BYTES_MAX];
            handover_msg m = {(handover_kind)kind, counts[i]}, got;
            handover_print(&m, text);
            CHECK(handover_parse(str_of(text), &got) && got.kind == m.kind && got.count == m.count);
            for (size_t n = 0; n + 6 < strlen(text); n++) CHECK(!handover_parse((str){text, n}, &got));
        }
    }
    char text[SOCK_PASS_BYTES_MAX];
    handover_print(&(handover_msg){HANDOVER_OWN, 3}, text);
    CHECK_STR(text, "proa 1 own 3");
}

static void anything_else_is_no_message(void)
{
    static const char *const rows[] = {
        "", "proa", "proa 1", "proa 1 take", "proa 1 take ", "proa 1  0", "proa 2 take 0", "proa 1 taken 0",
        "proa 1 take x", "proa 1 take -1", " proa 1 take 0", "proa 1 take 0 ", "proa 1 end 16385",
        "proa 1 end 4294967296"};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        handover_msg m;
        CHECK(!handover_parse(str_of(rows[i]), &m));
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(messages_are_read_as_they_are_printed),
        TEST(anything_else_is_no_message),
    };
    return test_main(cases, COUNTOF(cases));
}
