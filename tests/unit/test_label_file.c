/* A file of labels is one name for each line, and lies where its configuration lies. */
#include "models/label_file.h"
#include "test_folder.h"

#include <sys/stat.h>
#include <unistd.h>

static void write_file(const char *text, size_t len)
{
    FILE *f = fopen(test_folder_path("labels.txt"), "w");
    INVARIANT(f && fwrite(text, 1, len, f) == len && fclose(f) == 0);
}

/* "count: first|second|..." or the error. */
static const char *reads(const char *text, size_t len, const char *name)
{
    static char shown[400];
    arena a;
    const attr *names;
    err e;
    write_file(text, len);
    arena_init(&a, NULL, 0, 1 << 20);
    if (label_file_read(test_folder, str_of(name), &a, &names, &e)) {
        const char *path = strstr(e.text, test_folder);
        snprintf(shown, sizeof shown, "%s", path ? path + strlen(test_folder) : e.text);
    } else {
        int n = snprintf(shown, sizeof shown, "%u:", names->count);
        for (uint32_t i = 0; i < names->count; i++)
            n += snprintf(shown + n, sizeof shown - (size_t)n, " " STR_FMT "|", STR_ARG(names->strings[i]));
        CHECK(names->kind == ATTR_STRINGS);
    }
    arena_fini(&a);
    return shown;
}

static void each_line_is_a_label(void)
{
    CHECK_STR(reads("cat\ndog\n", 8, "labels.txt"), "2: cat| dog|");
    CHECK_STR(reads("cat\r\n\ndog", 9, "labels.txt"), "3: cat| | dog|");
    CHECK_STR(reads("", 0, "labels.txt"), "0:");
    CHECK_STR(reads("\n", 1, "labels.txt"), "0:");
}

static void what_is_no_file_of_labels_is_refused(void)
{
    CHECK_STR(reads("a\n\377\n", 4, "labels.txt"), "/labels.txt:2: labels: expected UTF-8");
    CHECK_STR(reads("", 0, "../labels.txt"), "label_filename: expected the name of a file, got '../labels.txt'");
    CHECK_STR(reads("", 0, ".."), "label_filename: expected the name of a file, got '..'");
    CHECK_STR(reads("", 0, "a/b"), "label_filename: expected the name of a file, got 'a/b'");
    CHECK(strncmp(reads("", 0, "none.txt"), "/none.txt", 9) == 0);
}

static void a_pipe_is_not_an_empty_file(void)
{
    arena a;
    const attr *names = NULL;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 20);
    INVARIANT(mkfifo(test_folder_path("pipe.txt"), 0600) == 0);
    CHECK(label_file_read(test_folder, STR("pipe.txt"), &a, &names, &e) == ERR_INVALID);
    CHECK(strstr(e.text, "/pipe.txt: expected a file, got a device or pipe"));
    INVARIANT(unlink(test_folder_path("pipe.txt")) == 0);
    arena_fini(&a);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    write_file("a\nb\n", 4);
    FAULT_SWEEP({
        arena a;
        const attr *names = NULL;
        err e;
        arena_init(&a, NULL, 0, 1 << 20);
        err_code rc = label_file_read(test_folder, STR("labels.txt"), &a, &names, &e);
        CHECK(rc == ERR_OK ? names && names->count == 2 : rc == ERR_NOMEM);
        arena_fini(&a);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_line_is_a_label),
        TEST(what_is_no_file_of_labels_is_refused),
        TEST(a_pipe_is_not_an_empty_file),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    INVARIANT(test_folder_open());
    int status = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return status;
}
