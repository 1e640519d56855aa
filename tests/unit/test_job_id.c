/* An id is read back from its text, and nothing else is one. */
#include "jobs/job_id.h"
#include "test.h"

static void it_is_read_back_from_its_text(void)
{
    job_id id, back;
    char text[JOB_ID_DIGITS + 1];
    for (int i = 0; i < JOB_ID_BYTES; i++) id.bytes[i] = (uint8_t)(i * 17 + 9);
    job_id_print(&id, text);
    CHECK_STR(text, "091a2b3c4d5e6f8091a2b3c4d5e6f708");
    CHECK(job_id_parse(str_of(text), &back));
    CHECK(memcmp(&id, &back, sizeof id) == 0);
}

static void nothing_else_is_one(void)
{
    static const char *const wrong[] = {"", "0", "091a2b3c4d5e6f8091a2b3c4d5e6f70", "091a2b3c4d5e6f8091a2b3c4d5e6f7088",
                                        "091A2b3c4d5e6f8091a2b3c4d5e6f708", "091a2b3c4d5e6f8091a2b3c4d5e6f70g",
                                        "../a2b3c4d5e6f8091a2b3c4d5e6f708", "091a2b3c4d5e6f8091a2b3c4d5e6f7 8"};
    job_id id;
    for (size_t i = 0; i < COUNTOF(wrong); i++) CHECK(!job_id_parse(str_of(wrong[i]), &id));
}

int main(void)
{
    static const test_case cases[] = {TEST(it_is_read_back_from_its_text), TEST(nothing_else_is_one)};
    return test_main(cases, COUNTOF(cases));
}
