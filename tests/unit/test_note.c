/* What was set is read, whole, whichever thread sets and reads. */
#include "async/note.h"
#include "os/thread.h"
#include "test.h"

static note shared;

static void the_last_text_is_read(void)
{
    char got[NOTE_MAX], longer[2 * NOTE_MAX];
    note n;
    note_init(&n);
    note_get(&n, got);
    CHECK_STR(got, "");
    note_set(&n, "why");
    note_get(&n, got);
    CHECK_STR(got, "why");
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = 0;
    note_set(&n, longer);
    note_get(&n, got);
    CHECK_U64(strlen(got), NOTE_MAX - 1);
    note_set(&n, "");
    note_get(&n, got);
    CHECK_STR(got, "");
    note_fini(&n);
}

static void set(void *ctx)
{
    for (int i = 0; i < 2000; i++) note_set(&shared, ctx);
}

static void a_text_is_one_of_those_that_were_set(void)
{
    static char a[] = "aaaaaaaa", b[] = "bbbb";
    thread t[2];
    char got[NOTE_MAX];
    err e;
    note_init(&shared);
    note_set(&shared, a);
    CHECK(thread_start(&t[0], "a", set, a, &e) == ERR_OK && thread_start(&t[1], "b", set, b, &e) == ERR_OK);
    for (int i = 0; i < 2000; i++) {
        note_get(&shared, got);
        CHECK(strcmp(got, a) == 0 || strcmp(got, b) == 0);
    }
    thread_join(&t[0]);
    thread_join(&t[1]);
    note_fini(&shared);
}

int main(void)
{
    static const test_case cases[] = {TEST(the_last_text_is_read), TEST(a_text_is_one_of_those_that_were_set)};
    return test_main(cases, COUNTOF(cases));
}
