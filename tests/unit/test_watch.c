/* What happens in a watched folder is heard, once; what happens elsewhere is not; a refusal says where. */
#include "os/watch.h"

#include "fake/sys_fake.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/proa-watch-XXXXXX";

static const char *in_folder(const char *name)
{
    static char text[80];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static void save(const char *name)
{
    FILE *f = fopen(in_folder(name), "w");
    CHECK(f && fputc('x', f) == 'x' && fclose(f) == 0);
}

static void what_happens_in_the_folder_is_heard_once(void)
{
    int fd = WATCH_NONE;
    err e;
    CHECK(watch_open(&fd, &e) == ERR_OK && watch_add(fd, folder, &e) == ERR_OK);
    CHECK(watch_add(fd, folder, &e) == ERR_OK);
    CHECK(!watch_drain(fd));
    save("a");
    CHECK(watch_drain(fd) && !watch_drain(fd));
    CHECK(mkdir(in_folder("b"), 0700) == 0 && watch_drain(fd));
    save("b/c");
    CHECK(!watch_drain(fd));   /* not watched itself */
    CHECK(watch_add(fd, in_folder("b"), &e) == ERR_OK);
    CHECK(unlink(in_folder("b/c")) == 0 && watch_drain(fd));
    CHECK(rmdir(in_folder("b")) == 0 && watch_drain(fd));
    CHECK(unlink(in_folder("a")) == 0 && watch_drain(fd) && !watch_drain(fd));
    watch_close(fd);
    watch_close(WATCH_NONE);
}

static void refusals_say_where(void)
{
    int fd = WATCH_NONE;
    err e;
    CHECK(watch_open(&fd, &e) == ERR_OK);
    CHECK(watch_add(fd, "/nowhere", &e) == ERR_NOT_FOUND);
    CHECK(strstr(e.text, "/nowhere: cannot watch the folder"));
    CHECK(watch_add(fd, "/dev/null", &e) != ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_watch_open, .times = 1, .result = -EMFILE},
                                  {SYS_watch_add, .times = 1, .result = -ENOSPC}}, 2);
    int other = WATCH_NONE;
    CHECK(watch_open(&other, &e) != ERR_OK && other == WATCH_NONE);
    CHECK(strstr(e.text, "inotify: cannot watch folders"));
    CHECK(watch_add(fd, folder, &e) != ERR_OK && e.code != ERR_NOT_FOUND);
    sys_fake_script(NULL, 0);
    watch_close(fd);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_happens_in_the_folder_is_heard_once),
        TEST(refusals_say_where),
    };
    if (!mkdtemp(folder)) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    rmdir(folder);
    return failed;
}
