/* What a user names leads to one model file, or to one line that says what was looked for. */
#include "models/source.h"
#include "test.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/proa-source-XXXXXX";

static const char *path(const char *name)
{
    static char text[4][200];
    static int at;
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "%s%s%s", root, name[0] ? "/" : "", name);
    return text[at];
}

static void folder(const char *name) { CHECK(mkdir(path(name), 0755) == 0); }

static void file(const char *name)
{
    FILE *f = fopen(path(name), "w");
    CHECK(f != NULL);
    if (f) fclose(f);
}

static model_config wanted = {.name = {"m", 1}, .versions = VERSIONS_ALL};

/* "version file" or the error, without the root. */
static const char *find(const char *name)
{
    static char text[500];
    arena a;
    source s;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 20);
    err_code rc = source_find(&s, &a, path(name), &wanted, STR(""), &e);
    if (rc)
        snprintf(text, sizeof text, "%d %s", (int)rc,
                 strncmp(e.text, root, strlen(root)) ? e.text : e.text + strlen(root));
    else
        snprintf(text, sizeof text, "%.*s %s", (int)s.all[0].name.len, s.all[0].name.p,
                 s.all[0].file.p + strlen(root));
    arena_fini(&a);
    return text;
}

static void tree(void)
{
    CHECK(mkdtemp(root));
    folder("one");
    file("one/anything.onnx");
    file("one/labels.txt");
    file("one/.hidden.onnx");
    folder("named");
    file("named/a.onnx");
    file("named/model.onnx");
    file("named/z.onnx");
    folder("two");
    file("two/a.onnx");
    file("two/b.onnx");
    folder("empty");
    folder("versions");
    folder("versions/2");
    file("versions/2/model.onnx");
    folder("versions/10");
    file("versions/10/x.onnx");
    folder("versions/11");
    folder("by_number");
    folder("by_number/10");
    file("by_number/10/model.onnx");
    folder("by_number/100");
    file("by_number/100/model.onnx");
    folder("versions/latest");
    file("versions/latest/model.onnx");
    folder("versions/99999999999999999999999");
    folder("..data");
    CHECK(symlink("one/anything.onnx", path("link.onnx")) == 0);
}

static void each_form_finds_its_file_and_version(void)
{
    CHECK_STR(find("one/anything.onnx"), "1 /one/anything.onnx");
    CHECK_STR(find("link.onnx"), "1 /link.onnx");
    CHECK_STR(find("one"), "1 /one/anything.onnx");
    CHECK_STR(find("one/"), "1 /one/anything.onnx");
    CHECK_STR(find("named"), "1 /named/model.onnx");
    CHECK_STR(find("by_number"), "100 /by_number/100/model.onnx");
    CHECK_STR(find("versions"), "10 /versions/10/x.onnx");
    CHECK_STR(find("versions/2"), "1 /versions/2/model.onnx");
    CHECK_STR(find("one/labels.txt"), "1 /one/labels.txt"); /* a file is what its user says it is */
}

static void the_configuration_decides_on_file_and_versions(void)
{
    static int64_t two[] = {2, 7}, none[] = {3};
    const model_config before = wanted;
    wanted.versions = VERSIONS_SPECIFIC;
    wanted.specific = (i64_list){two, 2};
    CHECK_STR(find("versions"), "2 /versions/2/model.onnx");
    wanted.specific = (i64_list){none, 1};
    CHECK(strstr(find("versions"),
                 "/versions: at least one version must be available under the version policy of model 'm'"));
    wanted.versions = VERSIONS_LATEST;
    wanted.latest = 1;
    CHECK_STR(find("versions"), "10 /versions/10/x.onnx");
    wanted.file = STR("model.onnx");
    CHECK_STR(find("versions"), "2 /versions/2/model.onnx");
    wanted.file = STR("q.onnx");
    CHECK(strstr(find("versions"), "/versions: expected VERSION/q.onnx, as default_model_filename says, got none"));
    wanted = before;
    arena a;
    source s;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && s.count == 2);
    CHECK(str_is(s.all[0].name, "10") && str_is(s.all[1].name, "2"));
    arena_fini(&a);
}

/* Triton's rule, also where that leaves nothing. */
static void a_version_does_not_begin_with_0(void)
{
    static const char *const names[] = {"zeros", "zeros/0", "zeros/03", "zeros/0010", "zeros/00"};
    char want[300];
    uint64_t n = 0;
    for (size_t i = 0; i < COUNTOF(names); i++) folder(names[i]);
    for (size_t i = 1; i < COUNTOF(names); i++) {
        char name[40];
        snprintf(name, sizeof name, "%s/model.onnx", names[i]);
        file(name);
    }
    snprintf(want, sizeof want,
             "%d /zeros: expected an .onnx file, a folder with one, or VERSION/model.onnx, got none but versions whose "
             "names begin with 0, which do not count", ERR_NOT_FOUND);
    CHECK_STR(find("zeros"), want);
    CHECK_STR(find("zeros/03"), "1 /zeros/03/model.onnx");   /* named itself it is a folder with a model */
    folder("zeros/2");
    file("zeros/2/model.onnx");
    CHECK_STR(find("zeros"), "2 /zeros/2/model.onnx");
    wanted.ensemble = true;
    CHECK_STR(find("zeros"), "2 /zeros/2");
    wanted.ensemble = false;
    CHECK(source_is_version(STR("10"), &n) && n == 10);
    CHECK(!source_is_version(STR(""), &n) && !source_is_version(STR("0"), &n) && !source_is_version(STR("1a"), &n));
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", path("zeros"));
    CHECK(system(command) == 0);
}

/* A copy that somebody lays beside the versions replaces none of them. */
static void a_file_beside_versions_does_not_count(void)
{
    char want[400];
    arena a;
    source s;
    err e;
    const model_config before = wanted;
    arena_init(&a, NULL, 0, 1 << 20);
    file("versions/backup.onnx");
    CHECK_STR(find("versions"), "10 /versions/10/x.onnx");
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && s.count == 2);
    CHECK(str_is(s.loose, "backup.onnx"));
    CHECK(source_find(&s, &a, path("one"), &wanted, STR(""), &e) == ERR_OK && !s.loose.p);
    wanted.file = STR("model.onnx");   /* and one of another name is no model at all */
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && !s.loose.p);
    wanted = before;
    CHECK(unlink(path("versions/backup.onnx")) == 0);
    folder("hollow");
    folder("hollow/1");
    file("hollow/model.onnx");
    snprintf(want, sizeof want,
             "%d /hollow: expected an .onnx file, a folder with one, or VERSION/model.onnx, got none but a file beside "
             "its versions, which does not count", ERR_NOT_FOUND);
    CHECK_STR(find("hollow"), want);
    CHECK(unlink(path("hollow/model.onnx")) == 0 && rmdir(path("hollow/1")) == 0 && rmdir(path("hollow")) == 0);
    arena_fini(&a);
}

static void a_version_that_is_not_to_be_served_is_not_looked_into(void)
{
    static int64_t ten[] = {10}, eleven[] = {11};
    const model_config before = wanted;
    file("versions/2/other.onnx");
    file("versions/2/third.onnx");
    CHECK(unlink(path("versions/2/model.onnx")) == 0);
    CHECK_STR(find("versions"), "1 /versions/2: expected one .onnx file or model.onnx, got 2 files");
    wanted.versions = VERSIONS_LATEST;
    wanted.latest = 1;
    CHECK_STR(find("versions"), "10 /versions/10/x.onnx");   /* 11 holds no model, so it is not the latest */
    wanted.latest = 2;
    CHECK_STR(find("versions"), "1 /versions/2: expected one .onnx file or model.onnx, got 2 files");
    wanted.versions = VERSIONS_SPECIFIC;
    wanted.specific = (i64_list){ten, 1};
    CHECK_STR(find("versions"), "10 /versions/10/x.onnx");
    wanted.specific = (i64_list){eleven, 1};
    CHECK(strstr(find("versions"), "at least one version must be available under the version policy of model 'm'"));
    wanted = before;
    CHECK(unlink(path("versions/2/other.onnx")) == 0 && unlink(path("versions/2/third.onnx")) == 0);
    file("versions/2/model.onnx");
}

static void remove_all(const char *name)
{
    char text[200];
    snprintf(text, sizeof text, "rm -r %s", path(name));
    CHECK(system(text) == 0);
}

typedef enum { SAME, BESIDE, READ } difference;

/* Of what a load reads, or only of what lies beside. */
static difference change_since(const source *before)
{
    arena a;
    source now;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(source_find(&now, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK);
    bool same = source_eq(before, &now);
    for (size_t i = 0; same && i < now.count; i++)
        same = memcmp(&before->all[i].stamp, &now.all[i].stamp, sizeof(source_stamp)) == 0;
    difference d = same ? SAME : source_eq(before, &now) ? BESIDE : READ;
    arena_fini(&a);
    return d;
}

static bool differs(const source *before) { return change_since(before) != SAME; }

static void every_change_of_a_file_changes_the_stamp(void)
{
    arena a;
    source s, only;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && !differs(&s));
    CHECK(memcmp(&s.all[0].stamp, &s.all[1].stamp, sizeof s.all[0].stamp) != 0);
    folder("versions/2/weights");
    file("versions/2/weights/w.bin");
    CHECK(differs(&s));
    CHECK(unlink(path("versions/2/weights/w.bin")) == 0 && rmdir(path("versions/2/weights")) == 0);
    CHECK(!differs(&s));
    file("versions/labels.txt");
    CHECK(differs(&s));
    CHECK(unlink(path("versions/labels.txt")) == 0);
    file("versions/.hidden");
    CHECK(!differs(&s));
    CHECK(unlink(path("versions/.hidden")) == 0);
    FILE *f = fopen(path("versions/10/x.onnx"), "w");
    CHECK(f && fputc('x', f) == 'x' && fclose(f) == 0);
    CHECK(differs(&s));
    file("versions/10/x.onnx");
    CHECK(source_find(&only, &a, path("one"), &wanted, STR("1"), &e) == ERR_OK && !source_eq(&s, &only));
    arena_fini(&a);
}

static void folders_within_a_model_are_part_of_it(void)
{
    char name[200] = "versions/deep";
    arena a;
    source s;
    err e;
    folder("versions/state");
    arena_init(&a, NULL, 0, 4 << 20);
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && !s.unseen.p);
    file("versions/state/zeros");
    CHECK(differs(&s));
    CHECK(symlink("..", path("versions/state/up")) == 0);   /* a circle ends */
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && !s.unseen.p);
    CHECK(unlink(path("versions/state/up")) == 0 && !differs(&s));
    for (int i = 0; i <= SOURCE_DEPTH_MAX; i++, strcat(name, "/d")) folder(name);
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && s.unseen.p);
    CHECK(str_ends(s.unseen, STR("/versions/deep/d/d/d/d")));
    remove_all("versions/deep");
    for (int i = 0; i < SOURCE_FOLDERS_MAX; i++) {
        snprintf(name, sizeof name, "versions/2/f%d", i);
        folder(name);
    }
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && s.unseen.p);
    CHECK(str_ends(s.unseen, STR("/versions/2/f99")));   /* the last by name */
    remove_all("versions/2/f*");
    remove_all("versions/state");
    arena_fini(&a);
}

/* A log that grows is no reason to read a model again and again: nothing of it is read. */
static void what_no_load_reads_is_told_from_what_one_reads(void)
{
    static const struct {
        const char *folder;
        difference want;
    } rows[] = {{"versions/logs", BESIDE},        {"versions/warmup", READ},        {"versions/initial_state", READ},
                {"versions/2/logs", READ},        {"versions/a", BESIDE},           {"versions/warmup2", BESIDE}};
    char name[100];
    arena a;
    source s;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(symlink("warmup", path("versions/link")) == 0);   /* takes nothing from what it leads to */
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        folder(rows[i].folder);
        CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK);
        snprintf(name, sizeof name, "%s/x", rows[i].folder);
        file(name);
        CHECK_U64(change_since(&s), rows[i].want);
        remove_all(rows[i].folder);
    }
    CHECK(unlink(path("versions/link")) == 0);
    arena_fini(&a);
}

/* In four folders of long names, one in the other; and the load itself has hardly any room. */
static void so_many_files_that_their_names_have_no_room_are_passed_over(void)
{
    enum { FILES = SOURCE_NAMES_BYTES_MAX / 1200, OTHERS = 60 };
    char name[256];
    arena a;
    source s;
    err e;
    memset(name, 'n', 250);
    int in = open(path("versions"), O_PATH);
    for (int i = 0; i < SOURCE_DEPTH_MAX; i++) {
        snprintf(name + 250, sizeof name - 250, "%d", i);
        CHECK(mkdirat(in, name, 0700) == 0);
        int inner = openat(in, name, O_PATH);
        close(in);
        in = inner;
    }
    for (int i = 0; i < FILES; i++) {
        snprintf(name + 250, sizeof name - 250, "%d", i);
        CHECK(mknodat(in, name, S_IFREG | 0600, 0) == 0);
    }
    close(in);
    arena_init(&a, NULL, 0, 1 << 20);
    for (int i = 0; i < OTHERS; i++) {   /* more than what is left has room for */
        snprintf(name, sizeof name, "versions/z%d", i);
        file(name);
    }
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR(""), &e) == ERR_OK && s.count == 2);
    CHECK(s.unseen.p && s.unseen.len > 1000 && str_ends(s.unseen, STR("nn3")) && !differs(&s));
    CHECK(truncate(path("versions/z9"), 1) == 0 && differs(&s));   /* those beside it count as ever */
    remove_all("versions/n*");
    remove_all("versions/z*");
    arena_fini(&a);
}

static void count_folder(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
}

static void who_watches_a_model_is_told_each_folder(void)
{
    int n = 0;
    arena a;
    err e;
    const source_visit visit = {.enter = count_folder, .ctx = &n};
    arena_init(&a, NULL, 0, 1 << 20);
    folder("versions/2/weights");
    CHECK(source_folders(&a, path("versions"), &visit, &e) == ERR_OK);
    CHECK(n == 7);   /* itself, 2, 2/weights, 10, 11, latest, 999... */
    CHECK(rmdir(path("versions/2/weights")) == 0);
    CHECK(source_folders(&a, path("nowhere"), &visit, &e) == ERR_NOT_FOUND);
    arena_fini(&a);
}

static void a_version_may_be_served_besides(void)
{
    arena a;
    source s;
    err e;
    const model_config before = wanted;
    arena_init(&a, NULL, 0, 1 << 20);
    wanted.versions = VERSIONS_LATEST;
    wanted.latest = 1;
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR("2"), &e) == ERR_OK && s.count == 2);
    CHECK(str_is(s.all[1].name, "2"));
    CHECK(source_find(&s, &a, path("versions"), &wanted, STR("3"), &e) == ERR_NOT_FOUND);
    CHECK(strstr(e.text, "/versions: expected version 3, which was activated, got none"));
    CHECK(source_find(&s, &a, path("one"), &wanted, STR("2"), &e) == ERR_NOT_FOUND);
    wanted = before;
    arena_fini(&a);
}

static void what_is_not_there_is_said(void)
{
    char want[300];
    CHECK_STR(find("two"), "1 /two: expected one .onnx file or model.onnx, got 2 files");
    snprintf(want, sizeof want, "%d /empty: expected an .onnx file, a folder with one, or VERSION/model.onnx, got none",
             ERR_NOT_FOUND);
    CHECK_STR(find("empty"), want);
    CHECK(strstr(find("missing"), "/missing: "));
}

static void a_repository_is_its_folders(void)
{
    arena a;
    str *names = NULL;
    size_t n = 0;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(source_models(&names, &n, &a, path(""), &e) == ERR_OK);
    CHECK_U64(n, 6);
    CHECK(str_is(names[1], "empty") && str_is(names[5], "versions"));
    CHECK(source_models(&names, &n, &a, path("empty"), &e) == ERR_NOT_FOUND);
    CHECK(strstr(e.text, "/empty: expected folders NAME/VERSION/model.onnx, got none"));
    arena_fini(&a);
}

static void no_memory_is_an_error_wherever_it_happens(void)
{
    FAULT_SWEEP({
        const char *got = find("versions");
        CHECK(strncmp(got, "10 ", 3) == 0 || strstr(got, "memory"));
    });
    arena a;
    source s;
    err e;
    bool found = false;
    for (size_t limit = 0; !found && limit < 1 << 16; limit += 8) {
        arena_init(&a, NULL, 0, limit);
        err_code rc = source_find(&s, &a, path("versions"), &wanted, STR(""), &e);
        found = rc == ERR_OK && s.count == 2;
        CHECK(found || rc == ERR_NOMEM);
        arena_fini(&a);
    }
    CHECK(found);
}

/* Each push in turn is the first that the borrowed memory has no room for, and the heap has none. */
static void no_memory_is_told_from_what_is_not_there(void)
{
    static _Alignas(64) uint8_t memory[4096];
    arena a;
    source s;
    err e;
    for (size_t room = 8; room <= sizeof memory; room += 8) {
        arena_init(&a, memory, room, 1 << 20);
        mem_fault_after(0);
        err_code rc = source_find(&s, &a, path("versions"), &wanted, STR(""), &e);
        CHECK(rc == ERR_NOMEM || (rc == ERR_OK && s.count == 2 && !s.unseen.p));
        mem_fault_after(-1);
        arena_fini(&a);
    }
}

static void clean(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    CHECK(system(command) == 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(tree),
        TEST(each_form_finds_its_file_and_version),
        TEST(the_configuration_decides_on_file_and_versions),
        TEST(a_version_does_not_begin_with_0),
        TEST(a_file_beside_versions_does_not_count),
        TEST(a_version_that_is_not_to_be_served_is_not_looked_into),
        TEST(every_change_of_a_file_changes_the_stamp),
        TEST(folders_within_a_model_are_part_of_it),
        TEST(what_no_load_reads_is_told_from_what_one_reads),
        TEST(so_many_files_that_their_names_have_no_room_are_passed_over),
        TEST(who_watches_a_model_is_told_each_folder),
        TEST(a_version_may_be_served_besides),
        TEST(what_is_not_there_is_said),
        TEST(a_repository_is_its_folders),
        TEST(no_memory_is_an_error_wherever_it_happens),
        TEST(no_memory_is_told_from_what_is_not_there),
        TEST(clean),
    };
    return test_main(cases, COUNTOF(cases));
}
