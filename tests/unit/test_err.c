/* An error's text is cut, never overrun; context goes in front; one table maps a code to each protocol; a broken
 * invariant is no error but the end. */
#include "base/err.h"
#include "test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void context_goes_in_front(void)
{
    err e = {0};
    CHECK_U64(err_set(&e, ERR_NOT_FOUND, "model '%s': not here", "m"), ERR_NOT_FOUND);
    CHECK_U64(err_wrap(&e, "loading %d", 7), ERR_NOT_FOUND);
    CHECK_STR(e.text, "loading 7: model 'm': not here");
}

/* When to come again, and which limit it was, stay with what was said first. */
static void context_keeps_what_metrics_and_clients_want_to_know(void)
{
    err e;
    (void)err_set(&e, ERR_LIMIT, "full");
    CHECK(e.retry_ms == 0 && !e.limit);
    e.retry_ms = 5;
    e.limit = "queue-max";
    (void)err_wrap(&e, "model");
    CHECK(e.retry_ms == 5 && strcmp(e.limit, "queue-max") == 0);
    (void)err_set(&e, ERR_TIMEOUT, "late");
    CHECK(e.retry_ms == 0 && !e.limit);
}

static void long_texts_are_cut_at_the_end(void)
{
    char big[1000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = 0;
    err e = {0};
    err_set(&e, ERR_INVALID, "%s", big);
    CHECK_U64(strlen(e.text), sizeof e.text - 1);
    err_wrap(&e, "outer");
    CHECK(strncmp(e.text, "outer: bbbb", 11) == 0 && strlen(e.text) == sizeof e.text - 1);
    for (int n = 380; n < 410; n++) {   /* a context that itself fills the text */
        err_set(&e, ERR_INVALID, "inner");
        err_wrap(&e, "%.*s", n, big);
        CHECK(strlen(e.text) < sizeof e.text && strncmp(e.text, big, 380) == 0);
    }
}

static void one_table_serves_all_protocols(void)
{
    CHECK(err_http_status(ERR_OK) == 200 && err_http_status(ERR_TOO_LARGE) == 413 && err_http_status(ERR_LIMIT) == 429);
    CHECK(err_grpc_status(ERR_OK) == 0 && err_grpc_status(ERR_NOT_FOUND) == 5);
    CHECK(err_grpc_status(ERR_UNAVAILABLE) == 14);
    CHECK_STR(err_k8s_reason(ERR_NOT_FOUND), "NotFound");
    for (int c = ERR_OK; c <= ERR_UNAVAILABLE; c++) {
        CHECK(err_http_status((err_code)c) >= 200 && err_http_status((err_code)c) < 600);
        CHECK(err_k8s_reason((err_code)c) != NULL);
    }
}

static void broken_invariants_say_where_and_end_the_process(void)
{
    int ends[2], status = 0;
    char said[200] = "";
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        volatile int two = 2;
        INVARIANT(two == 3);
        _exit(0);
    }
    close(ends[1]);
    for (size_t n = 0; n < sizeof said - 1;) {
        ssize_t got = read(ends[0], said + n, sizeof said - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(said, "test_err.c:") && strstr(said, ": invariant failed: two == 3\n"));
}

int main(void)
{
    static const test_case cases[] = {TEST(context_goes_in_front),
                                      TEST(context_keeps_what_metrics_and_clients_want_to_know),
                                      TEST(long_texts_are_cut_at_the_end),
                                      TEST(one_table_serves_all_protocols),
                                      TEST(broken_invariants_say_where_and_end_the_process)};
    return test_main(cases, COUNTOF(cases));
}
