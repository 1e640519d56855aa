/* What must hold for late libraries: the first name that exists is opened, once, and its functions work; what is
 * missing is named and may be looked for again. */
#include "fake/sys_fake.h"
#include "os/lib.h"

static double (*cosine)(double);
static void *nothing;
static int opened_count;
static void opened(void) { opened_count += cosine && cosine(0) == 1; }

static void a_library_is_opened_once_and_its_functions_work(void)
{
    err e;
    static const lib_symbol symbols[] = {{"cos", (void **)(uintptr_t)&cosine}};
    static lib math = {.title = "mathematics", .names = {"libnone.so.9", "libm.so.6"}, .symbols = symbols, .count = 1,
                       .opened = opened};
    CHECK(lib_need(&math, &e) == ERR_OK);
    CHECK(cosine && cosine(0) == 1);
    uint64_t calls = sys_fake_calls(SYS_lib_open);
    CHECK(lib_need(&math, &e) == ERR_OK);
    CHECK_U64(sys_fake_calls(SYS_lib_open), calls);
    CHECK(opened_count == 1);
}

static void what_is_missing_is_named_and_looked_for_again(void)
{
    err e;
    static const lib_symbol symbols[] = {{"no_such_function", &nothing}};
    static lib old = {.title = "mathematics", .names = {"libm.so.6"}, .symbols = symbols, .count = 1};
    static lib none = {.title = "CUDA driver", .names = {"libnone.so.1", "libnone.so"}};
    for (int i = 0; i < 2; i++) {
        uint64_t calls = sys_fake_calls(SYS_lib_open);
        CHECK(lib_need(&none, &e) == ERR_UNSUPPORTED);
        CHECK_STR(e.text, "CUDA driver: library 'libnone.so.1' cannot be opened");
        CHECK_U64(sys_fake_calls(SYS_lib_open), calls + 2);
        CHECK(lib_need(&old, &e) == ERR_UNSUPPORTED);
        CHECK_STR(e.text, "mathematics: the library has no function 'no_such_function'");
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_library_is_opened_once_and_its_functions_work),
        TEST(what_is_missing_is_named_and_looked_for_again),
    };
    return test_main(cases, COUNTOF(cases));
}
