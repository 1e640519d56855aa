/* Each model is one line, whatever its reason holds; a reader that is gone is told no more, one that stands still loses
 * lines and hears the next. */
#include "os/line_out.h"
#include "serve/ready_line.h"
#include "test.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static int ends[2];
static ready_line to;

static void open_pipe(void)
{
    CHECK(pipe(ends) == 0);
    to = (ready_line){.fd = ends[1]};
}

static const char *heard(void)
{
    static char got[3 * LINE_OUT_BYTES_MAX];
    ssize_t n = read(ends[0], got, sizeof got - 1);
    got[n > 0 ? n : 0] = 0;
    return got;
}

static void a_model_is_a_line(void)
{
    err e;
    open_pipe();
    ready_line_tell(&to, STR("m"), STR("12"), NULL);
    CHECK_STR(heard(), "ready m 12\n");
    (void)!err_set(&e, ERR_INVALID, "a: expected\tno\nline, got 'b'");
    ready_line_tell(&to, STR("n"), STR(""), &e);
    CHECK_STR(heard(), "failed n: a: expected?no?line, got 'b'\n");
    ready_line_tell(&(ready_line){.fd = -1}, STR("m"), STR("1"), NULL);
    close(ends[0]);
    close(ends[1]);
}

/* A name this long comes from nowhere, but the bound holds. */
static void a_line_is_bounded(void)
{
    static char name[LINE_OUT_BYTES_MAX + 100];
    open_pipe();
    memset(name, 'n', sizeof name);
    ready_line_tell(&to, (str){name, sizeof name}, STR("1"), NULL);
    const char *got = heard();
    CHECK(strlen(got) < LINE_OUT_BYTES_MAX && str_starts(str_of(got), STR("ready nnn")));
    CHECK(str_ends(str_of(got), STR("n 1\n")) && strchr(got, '\n') == got + strlen(got) - 1);
    close(ends[0]);
    close(ends[1]);
}

static void who_stands_still_loses_lines_alone(void)
{
    open_pipe();
    for (int i = 0; i < 20000; i++) ready_line_tell(&to, STR("some-model"), STR("1"), NULL);
    CHECK(!atomic_load(&to.deaf));
    while (strlen(heard()) == 3 * LINE_OUT_BYTES_MAX - 1) {}
    ready_line_tell(&to, STR("last"), STR("1"), NULL);
    CHECK_STR(heard(), "ready last 1\n");
    close(ends[0]);
    close(ends[1]);
}

static void who_is_gone_is_told_no_more(void)
{
    open_pipe();
    close(ends[0]);
    ready_line_tell(&to, STR("m"), STR("1"), NULL);
    CHECK(atomic_load(&to.deaf));
    close(ends[1]);
    int kept = ends[1];
    open_pipe();
    CHECK(dup2(ends[1], kept) == kept);   /* the number is somebody else's by now */
    ready_line old = {.fd = kept, .deaf = true};
    ready_line_tell(&old, STR("m"), STR("1"), NULL);
    ready_line_tell(&to, STR("q"), STR("1"), NULL);
    CHECK_STR(heard(), "ready q 1\n");
    close(ends[0]);
    close(ends[1]);
    close(kept);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_model_is_a_line),
        TEST(a_line_is_bounded),
        TEST(who_stands_still_loses_lines_alone),
        TEST(who_is_gone_is_told_no_more),
    };
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, COUNTOF(cases));
}
