/* Of each name that a path leads through, links followed, it is heard when it comes or goes; of no other. */
#include "os/path_watch.h"

#include "fake/sys_fake.h"
#include "test_folder.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static path_watch *watch(const char *path)
{
    err e;
    path_watch *w = NULL;
    CHECK(path_watch_new(&w, path, &e) == ERR_OK);
    return w;
}

static void folder(const char *name) { CHECK(mkdir(test_folder_path(name), 0700) == 0); }
static void leads(const char *name, const char *to) { CHECK(symlink(to, test_folder_path(name)) == 0); }

static void renamed(const char *from, const char *to)
{
    CHECK(rename(test_folder_path(from), test_folder_path(to)) == 0);
}

static void switched(const char *name, const char *to)
{
    leads(".new", to);
    renamed(".new", name);
}

static void clean(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s/* %s/.new", test_folder, test_folder);
    CHECK(system(command) == 0);
}

/* On a path of `name`, `change` is heard, once. */
#define HEARD(name, change)                               \
    do {                                                  \
        path_watch *w_ = watch(test_folder_path(name));   \
        CHECK(!path_watch_heard(w_));                     \
        change;                                           \
        CHECK(path_watch_heard(w_) && !path_watch_heard(w_)); \
        path_watch_free(w_);                              \
    } while (0)

static void a_link_that_is_switched_is_heard(void)
{
    folder("rev2"), folder("rev2/models"), folder("rev3"), folder("rev3/models");
    leads("cur", "rev2");
    HEARD("cur/models", switched("cur", "rev3"));
    HEARD("cur", switched("cur", test_folder_path("rev2")));
    HEARD("cur//./models/", switched("cur", "rev3/../rev2"));
    HEARD("rev2/../cur/models", switched("cur", "rev3"));
    clean();
}

static void every_link_of_a_chain_and_every_folder_behind_it_is_heard(void)
{
    folder("a"), folder("a/b"), folder("a/b/models"), folder("other");
    leads("one", "other/two"), leads("other/two", "../three"), leads("three", "a/b");
    HEARD("one/models", switched("one", "three"));
    HEARD("one/models", switched("three", test_folder_path("a/b")));
    switched("one", "other/two");
    HEARD("one/models", switched("other/two", "../a/b"));
    HEARD("one/models", renamed("a/b/models", "a/b/away"));
    HEARD("one/models", renamed("a/b/away", "a/b/models"));
    leads("absolute", test_folder_path("a/b"));
    HEARD("absolute/models", renamed("a/b/models", "a/b/away"));
    HEARD("absolute/models", renamed("a", "c"));
    clean();
}

static void what_is_missing_is_heard_when_it_comes(void)
{
    leads("cur", "rev2");
    HEARD("cur/models", folder("rev2"));
    HEARD("cur/models", folder("rev2/models"));
    HEARD("cur/models", CHECK(rmdir(test_folder_path("rev2/models")) == 0 && rmdir(test_folder_path("rev2")) == 0));
    CHECK(unlink(test_folder_path("cur")) == 0);
    HEARD("cur/models", leads("cur", "rev2"));
    clean();
}

static void what_others_do_beside_it_is_not_heard(void)
{
    folder("rev2"), folder("rev2/models");
    leads("cur", "rev2");
    path_watch *w = watch(test_folder_path("cur/models"));
    folder("rev3"), folder("rev3/cur"), folder("rev2/models/m"), folder("models");
    leads("cur2", "rev2"), renamed("cur2", "curb");
    CHECK(!path_watch_heard(w));
    CHECK_U64(path_watch_count(w), 5);   /* tmp, the test's own, cur, rev2, models */
    CHECK(path_watch_fd(w) >= 0);
    path_watch_free(w);
    CHECK(chdir(test_folder) == 0);
    w = watch("cur/models");
    CHECK_U64(path_watch_count(w), 3);
    switched("cur", "rev3");
    CHECK(path_watch_heard(w));
    path_watch_free(w);
    CHECK(chdir("/") == 0);
    clean();
}

static void a_path_without_end_has_one(void)
{
    char text[300] = "";
    leads("x", "y"), leads("y", "x");
    path_watch *w = watch(test_folder_path("x/models"));
    CHECK_U64(path_watch_count(w), 2 + PATH_WATCH_LINKS_MAX + 1);
    path_watch_free(w);
    clean();
    folder("d");
    for (int i = 0; i < 30; i++) memcpy(text + 5 * i, "d/../", 6);
    for (int i = 0; i < PATH_WATCH_LINKS_MAX - 1; i++) {
        char link[40], to[340];
        snprintf(link, sizeof link, "l%d", i);
        snprintf(to, sizeof to, "%sl%d", text, i + 1);
        leads(link, to);
    }
    w = watch(test_folder_path("l0"));
    CHECK_U64(path_watch_count(w), PATH_WATCH_NAMES_MAX);
    path_watch_free(w);
    clean();
}

static void refusals_and_faults(void)
{
    char too_long[5000];
    err e;
    path_watch *w = NULL;
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    CHECK(path_watch_new(&w, too_long, &e) == ERR_INVALID && !w);
    folder("rev2");
    leads("cur", "rev2");
    FAULT_SWEEP({
        w = NULL;
        if (path_watch_new(&w, test_folder_path("cur"), &e)) CHECK(e.code == ERR_NOMEM && !w);
        path_watch_free(w);
    });
    SYS_SWEEP(-EACCES, {
        w = NULL;
        if (path_watch_new(&w, test_folder_path("cur"), &e)) CHECK(!w);
        path_watch_free(w);
    });
    sys_fake_script((sys_fault[]){{SYS_watch_add, .times = 1, .result = -EACCES}}, 1);
    w = watch(test_folder_path("cur"));   /* without the folder that may not be read */
    sys_fake_script(NULL, 0);
    CHECK_U64(path_watch_count(w), 3);
    switched("cur", "rev3");
    CHECK(path_watch_heard(w));
    path_watch_free(w);
    path_watch_free(NULL);
    clean();
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_link_that_is_switched_is_heard),
        TEST(every_link_of_a_chain_and_every_folder_behind_it_is_heard),
        TEST(what_is_missing_is_heard_when_it_comes),
        TEST(what_others_do_beside_it_is_not_heard),
        TEST(a_path_without_end_has_one),
        TEST(refusals_and_faults),
    };
    if (!test_folder_open()) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return failed;
}
