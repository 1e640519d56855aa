/* The configuration's models are all there under their names, or opening fails with one line that names the file. */
#include "base/log.h"
#include "conf_rig.h"
#include "models/repository.h"
#include "os/file.h"
#include "os/thread.h"
#include "serve_rig.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static compute *pool;
static char path[64];

static conf *config(void)
{
    static conf c;
    conf_rig_fresh(&c);
    return &c;
}

static void models_are_found_by_name_and_version(void)
{
    conf *c = config();
    CLEANUP(repository) repository *r = NULL;
    served *s = NULL;
    err e;
    conf_rig_model(c, "b", path);
    conf_rig_model(c, "gr\303\274n", path);
    c->model_dir = str_of(path);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    CHECK_U64(repository_count(r), 3);
    CHECK(str_is(repository_at(r, 0)->name, "b") && str_is(repository_at(r, 2)->name, "model"));
    CHECK(repository_find(r, STR("b"), STR(""), &s, &e) == ERR_OK && s == repository_at(r, 0));
    CHECK(repository_find(r, STR("gr\303\274n"), STR("1"), &s, &e) == ERR_OK && str_is(s->version, "1"));
    CHECK(repository_find(r, STR("c"), STR(""), &s, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "Model with name c does not exist.");
    CHECK(repository_find(r, STR("b"), STR("2"), &s, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "Model with name b and version 2 does not exist.");
}

static void a_models_folder_has_the_name_that_was_given_or_model(void)
{
    char longest[129] = {0};
    CLEANUP(repository) repository *r = NULL;
    served *s = NULL;
    err e;
    conf *c = config();
    memset(longest, 'a', 128);
    c->model_dir = str_of(path);
    c->model_name = str_of(longest);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    CHECK_U64(repository_count(r), 1);
    CHECK(repository_find(r, str_of(longest), STR(""), &s, &e) == ERR_OK);
    CHECK(repository_find(r, STR("model"), STR(""), &s, &e) == ERR_NOT_FOUND);
}

static const char *refused(conf *c)
{
    static err e;
    repository *r = NULL;
    CHECK(conf_rig_open(&r, c, pool, 1, &e) != ERR_OK);
    CHECK(!r);
    return e.text;
}

static void names_that_a_url_cannot_hold_are_refused(void)
{
    static const char *const bad[] = {"a b", "a/b", "a:b", "a?", "a#", "a%", "a\"", "a\\", "a\n", "..", ".", "\377"};
    char want[300];
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        conf *c = config();
        conf_rig_model(c, bad[i], path);
        snprintf(want, sizeof want,
                 "model name: expected 1..128 characters without blanks and / : ? # %% \" \\, got '%s'", bad[i]);
        CHECK_STR(refused(c), want);
    }
    conf *c = config();
    char longest[130] = {0};
    memset(longest, 'a', 129);
    conf_rig_model(c, longest, path);
    CHECK(strstr(refused(c), "model name: expected 1..128"));
}

static void duplicates_and_bad_files_name_the_file(void)
{
    char want[300];
    conf *c = config();
    conf_rig_model(c, "model", path);
    c->model_dir = str_of(path);
    snprintf(want, sizeof want, "models: duplicate name 'model' for %s and %s", path, path);
    CHECK_STR(refused(c), want);
    c = config();
    conf_rig_model(c, "m", "/nowhere/model.onnx");
    CHECK(strncmp(refused(c), "/nowhere/model.onnx: ", 21) == 0);
    c = config();
    c->model_repository = STR("/nowhere");
    CHECK(strncmp(refused(c), "/nowhere: ", 10) == 0);
}

/* A broken folder may be asked for as often as one likes. */
static void a_load_that_fails_leaves_nothing(void)
{
    char folder[] = "/tmp/proa_repository_XXXXXX", broken[64], good[64], file[80], hidden[64];
    CLEANUP(repository) repository *r = NULL;
    repository_names *old = NULL;
    err e;
    conf *c = config();
    CHECK(mkdtemp(folder));
    c->model_repository = str_of(folder);
    snprintf(good, sizeof good, "%s/good", folder);
    snprintf(file, sizeof file, "%s/model.onnx", good);
    CHECK(mkdir(good, 0700) == 0 && symlink(path, file) == 0);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    snprintf(broken, sizeof broken, "%s/broken", folder);
    CHECK(mkdir(broken, 0700) == 0);
    CHECK(repository_add(r, STR("broken"), (str){0}, &old, &e) == ERR_OK);
    repository_names_free(old);
    long live = mem_live();
    for (int i = 0; i < 3000; i++) {
        repository_load l = {.path = repository_path(r, 1)};
        repository_load_init(&l);
        repository_load_of(r, 1, &l);
        CHECK(repository_load_plan(&l, &e) != ERR_OK);
        repository_load_fini(&l);
    }
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    CHECK_U64(repository_count(r), 2);
    CHECK(repository_at(r, 1) == NULL && repository_add(r, STR("nowhere"), (str){0}, &old, &e) == ERR_NOT_FOUND);
    snprintf(hidden, sizeof hidden, "%s/.hidden", folder);
    CHECK(mkdir(hidden, 0700) == 0);
    CHECK(repository_add(r, STR(".hidden"), (str){0}, &old, &e) == ERR_NOT_FOUND && rmdir(hidden) == 0);
    unlink(file);
    rmdir(good);
    rmdir(broken);
    rmdir(folder);
}

/* Whether the others are served without it is the options' word, also where nothing is loaded yet. */
static void a_model_that_cannot_be_loaded_stands_in_the_index(void)
{
    char folder[] = "/tmp/proa_repository_XXXXXX", bad[64], good[64], file[80], text[80];
    err e;
    conf *c = config();
    CHECK(mkdtemp(folder));
    c->model_repository = str_of(folder);
    snprintf(good, sizeof good, "%s/good", folder);
    snprintf(file, sizeof file, "%s/model.onnx", good);
    snprintf(bad, sizeof bad, "%s/bad", folder);
    snprintf(text, sizeof text, "%s/config.pbtxt", bad);
    CHECK(mkdir(good, 0700) == 0 && symlink(path, file) == 0 && mkdir(bad, 0700) == 0);
    FILE *f = fopen(text, "w");
    CHECK(f && fputs("max_batch_size: banana", f) >= 0 && fclose(f) == 0);
    CHECK(strstr(refused(c), "/bad/config.pbtxt:1:17: expected a whole number"));
    for (uint64_t budget = 0; budget < 2; budget++) {
        CLEANUP(repository) repository *r = NULL;
        repository_entry entry;
        served *s;
        size_t at = 0;
        c->exit_on_error = false;
        c->models_memory_max = budget << 30;
        CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
        if (!r) continue;
        CHECK(repository_count(r) == 2 && repository_serves(r));
        while (at < 2 && !str_is(repository_name_at(r, at), "bad")) at++;
        CHECK(at < 2 && repository_find(r, STR("bad"), STR(""), &s, &e) == ERR_NOT_FOUND);
        CHECK_STR(e.text, "Request for unknown model: 'bad' has no available versions");
        const version_row *row = NULL;
        CHECK(repository_entry_next(r, at, &row, &entry) && strcmp(entry.state, "UNAVAILABLE") == 0);
        CHECK(strstr(entry.reason, "/bad/config.pbtxt:1:17: expected a whole number"));
        CHECK(budget || repository_find(r, STR("good"), STR(""), &s, &e) == ERR_OK);
    }
    CHECK(unlink(text) == 0 && rmdir(bad) == 0 && unlink(file) == 0 && rmdir(good) == 0 && rmdir(folder) == 0);
}

/* It is somebody's folder; nobody asked for it, or it is not to keep the others from being served. */
static void a_folder_that_no_model_can_be_named_by_is_passed_over(void)
{
    static const char wrong[] = "model name: expected 1..128 characters without blanks";
    char folder[] = "/tmp/proa_repository_XXXXXX", odd[64], good[64], file[80];
    err e;
    conf *c = config();
    CHECK(mkdtemp(folder));
    c->model_repository = str_of(folder);
    snprintf(good, sizeof good, "%s/good", folder);
    snprintf(file, sizeof file, "%s/model.onnx", good);
    snprintf(odd, sizeof odd, "%s/New folder", folder);
    CHECK(mkdir(good, 0700) == 0 && symlink(path, file) == 0 && mkdir(odd, 0700) == 0);
    CHECK(strstr(refused(c), wrong));
    for (int i = 0; i < 2; i++) {
        CLEANUP(repository) repository *r = NULL;
        c->exit_on_error = i == 1;
        c->load_model = i ? STR("good") : STR("");
        CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
        CHECK(r && repository_count(r) == 1 && repository_serves(r));
    }
    c->load_model = STR("New folder");
    CHECK(strstr(refused(c), wrong));
    c->load_model = STR("");
    c->exit_on_error = false;
    conf_rig_model(c, "New model", path);   /* as somebody named it */
    CHECK(strstr(refused(c), wrong));
    CHECK(rmdir(odd) == 0 && unlink(file) == 0 && rmdir(good) == 0 && rmdir(folder) == 0);
}

static void a_path_has_room_and_nothing_behind_it(void)
{
    static char longest[FILE_PATH_MAX + 1];
    CLEANUP(repository) repository *r = NULL;
    repository_names *old = NULL;
    err e;
    conf *c = config();
    conf_rig_model(c, "m", path);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    memset(longest, 'p', sizeof longest);
    const str most = {longest, FILE_PATH_MAX - 1}, more = {longest, FILE_PATH_MAX};
    CHECK(repository_add(r, STR("more"), more, &old, &e) == ERR_INVALID);
    CHECK_STR(e.text, "path: expected 1..4095 bytes without a zero, got 4096 bytes");
    CHECK(repository_add(r, STR("most"), most, &old, &e) == ERR_OK);
    repository_names_free(old);
    CHECK_U64(repository_path(r, 1).len, FILE_PATH_MAX - 1);
}

/* However often it is loaded. */
static void its_files_are_counted_once(void)
{
    CLEANUP(repository) repository *r = NULL;
    err e;
    conf *c = config();
    conf_rig_model(c, "m", path);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    const uint64_t bytes = repository_file_bytes(r, 0);
    for (int i = 0; i < 2; i++) {
        repository_load l = {.path = repository_path(r, 0)};
        repository_load_init(&l);
        repository_load_of(r, 0, &l);
        CHECK(repository_load_plan(&l, &e) == ERR_OK && repository_loading(r, &l, &e) == ERR_OK);
        repository_loading_end(&l);
        repository_load_fini(&l);
    }
    CHECK(bytes > 0);
    CHECK_U64(repository_file_bytes(r, 0), bytes);
}

static void a_path_takes_the_place_of_another(void)
{
    CLEANUP(repository) repository *r = NULL;
    err e;
    conf *c = config();
    conf_rig_model(c, "m", path);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    const long live = mem_live();
    CHECK(repository_move(r, 0, STR("/elsewhere"), &e) == ERR_OK && repository_move(r, 0, STR("/a"), &e) == ERR_OK);
    CHECK(str_is(repository_path(r, 0), "/a") && mem_live() == live);
}

static void who_is_to_stay_in_memory_is_a_model(void)
{
    static const char *const lists[] = {"none", "m,none", "none,m"};
    for (size_t i = 0; i < COUNTOF(lists); i++) {
        conf *c = config();
        conf_rig_model(c, "m", path);
        c->pin_models = str_of(lists[i]);
        CHECK_STR(refused(c), "pin-models: expected the name of a model, got 'none'");
    }
}

static const char *changing;
static _Atomic bool enough;

/* A file grows all the time. */
static void change_on(void *ctx)
{
    (void)ctx;
    while (!atomic_load(&enough)) {
        FILE *f = fopen(changing, "a");
        INVARIANT(f && fputc('x', f) == 'x' && fclose(f) == 0);
    }
}

static err_code load(repository *r, err *e)
{
    repository_load l = {.path = repository_path(r, 0)};
    repository_load_init(&l);
    repository_load_of(r, 0, &l);
    err_code rc = repository_load_plan(&l, e);
    if (rc == ERR_OK) rc = repository_load_open(r, &l, e);
    repository_load_fini(&l);
    return rc;
}

static void a_load_reads_files_that_stay_as_they_are(void)
{
    char folder[] = "/tmp/proa_repository_XXXXXX", first[64], text[64];
    CLEANUP(repository) repository *r = NULL;
    thread t;
    err e;
    conf *c = config();
    CHECK(mkdtemp(folder));
    snprintf(first, sizeof first, "%s/model.onnx", folder);
    snprintf(text, sizeof text, "%s/text", folder);
    CHECK(symlink(path, first) == 0);
    conf_rig_model(c, "m", folder);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    repository_load l = {.path = repository_path(r, 0)};
    repository_load_init(&l);
    repository_load_of(r, 0, &l);
    CHECK(repository_load_plan(&l, &e) == ERR_OK);
    CHECK(unlink(first) == 0);
    snprintf(first, sizeof first, "%s/other.onnx", folder);
    CHECK(symlink(path, first) == 0);   /* what was planned is not there any more, what is there is read instead */
    CHECK(repository_load_open(r, &l, &e) == ERR_OK && l.got && str_is(l.got->all[0]->path, first));
    repository_load_fini(&l);
    changing = text;
    atomic_store(&enough, false);
    CHECK(thread_start(&t, "changes", change_on, NULL, &e) == ERR_OK);
    while (access(text, F_OK)) thread_yield();
    while (load(r, &e) == ERR_OK) thread_yield();   /* between two changes, which is rare */
    CHECK(e.code == ERR_UNAVAILABLE && strstr(e.text, ": expected files that stay as they are while they are read"));
    atomic_store(&enough, true);
    thread_join(&t);
    CHECK(load(r, &e) == ERR_OK);
    changing = NULL;
    CHECK(unlink(first) == 0 && unlink(text) == 0 && rmdir(folder) == 0);
}

static _Atomic uint32_t unseen_lines;

static uint64_t clock_us(void) { return 0; }

static void count_line(const char *line, size_t len)
{
    static const char text[] = "/a/b/c/d/e: changes in it are not taken up";
    if (memmem(line, len, text, strlen(text))) atomic_fetch_add(&unseen_lines, 1);
}

/* Nobody takes changes up where nothing is polled. */
static void what_is_not_followed_is_said_where_changes_are(void)
{
    char root[] = "/tmp/proa_repository_XXXXXX", text[256];
    CHECK(mkdtemp(root));
    snprintf(text, sizeof text, "mkdir -p %s/m/1 %s/m/a/b/c/d/e && ln -s %s %s/m/1/model.onnx", root, root, path, root);
    CHECK(system(text) == 0);
    for (uint32_t polls = 0; polls < 2; polls++) {
        CLEANUP(repository) repository *r = NULL;
        err e;
        conf *c = config();
        c->model_repository = str_of(root);
        c->model_control = polls ? CONF_CONTROL_POLL : CONF_CONTROL_NONE;
        CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK && repository_count(r) == 1);
        CHECK_U64(atomic_load(&unseen_lines), polls);
    }
    snprintf(text, sizeof text, "rm -rf %s", root);
    CHECK(system(text) == 0);
}

/* As a training's does. */
static void what_no_load_reads_may_change_meanwhile(void)
{
    static const char *const folders[] = {"1", "logs", "warmup"};
    char folder[] = "/tmp/proa_repository_XXXXXX", inner[COUNTOF(folders)][64], link[80], text[80];
    CLEANUP(repository) repository *r = NULL;
    thread t;
    err e;
    conf *c = config();
    CHECK(mkdtemp(folder));
    for (size_t i = 0; i < COUNTOF(folders); i++) {
        snprintf(inner[i], sizeof inner[i], "%s/%s", folder, folders[i]);
        CHECK(mkdir(inner[i], 0700) == 0);
    }
    snprintf(link, sizeof link, "%s/model.onnx", inner[0]);
    CHECK(symlink(path, link) == 0);
    conf_rig_model(c, "m", folder);
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    for (size_t i = 1; i < COUNTOF(folders); i++) {
        snprintf(text, sizeof text, "%s/text", inner[i]);
        changing = text;
        atomic_store(&enough, false);
        CHECK(thread_start(&t, "changes", change_on, NULL, &e) == ERR_OK);
        while (access(text, F_OK)) thread_yield();
        bool read = i == 2;
        for (int k = 0; k < 20 && !read; k++) CHECK(load(r, &e) == ERR_OK);
        while (read && load(r, &e) == ERR_OK) thread_yield();
        CHECK(!read || e.code == ERR_UNAVAILABLE);
        atomic_store(&enough, true);
        thread_join(&t);
        CHECK(unlink(text) == 0);
    }
    changing = NULL;
    CHECK(unlink(link) == 0);
    for (size_t i = 0; i < COUNTOF(folders); i++) CHECK(rmdir(inner[i]) == 0);
    CHECK(rmdir(folder) == 0);
}

static void who_is_not_chosen_waits_to_be_loaded_by_its_name(void)
{
    conf *c = config();
    CLEANUP(repository) repository *r = NULL;
    repository_entry row;
    const version_row *at = NULL;
    err e;
    conf_rig_model(c, "a", path);
    conf_rig_model(c, "b", path);
    c->load_model = STR("b");
    CHECK(conf_rig_open(&r, c, pool, 1, &e) == ERR_OK);
    CHECK_U64(repository_count(r), 2);
    CHECK(repository_index(r, STR("b")) == 0 && repository_at(r, 0) && !repository_brought(r, 0));
    CHECK(repository_at(r, 1) == NULL && str_is(repository_path(r, 1), path));
    CHECK(repository_entry_next(r, 1, &at, &row) && str_is(row.name, "a") && row.version[0] == 0);
    CHECK_STR(row.state, "UNAVAILABLE");
    repository_load l = {.path = repository_path(r, 1)};
    repository_load_init(&l);
    repository_load_of(r, 1, &l);
    CHECK(repository_load_plan(&l, &e) == ERR_OK && repository_load_open(r, &l, &e) == ERR_OK);
    repository_load_fini(&l);
    c = config();
    conf_rig_model(c, "a", path);
    c->load_model = STR("a,b");
    CHECK_STR(refused(c), "load-model: expected a model that is named or in the model repository, got 'b'");
}

static void opening_survives_every_failed_allocation(void)
{
    conf *c = config();
    err e;
    conf_rig_model(c, "a", path);
    conf_rig_model(c, "b", path);
    FAULT_SWEEP({
        repository *r = NULL;
        if (conf_rig_open(&r, c, pool, 1, &e) == ERR_OK)
            repository_free(r);
        else
            CHECK(e.code == ERR_NOMEM || e.code == ERR_LIMIT);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(models_are_found_by_name_and_version),
        TEST(a_models_folder_has_the_name_that_was_given_or_model),
        TEST(names_that_a_url_cannot_hold_are_refused),
        TEST(duplicates_and_bad_files_name_the_file),
        TEST(a_load_that_fails_leaves_nothing), TEST(a_model_that_cannot_be_loaded_stands_in_the_index),
        TEST(a_folder_that_no_model_can_be_named_by_is_passed_over),
        TEST(a_path_has_room_and_nothing_behind_it),
        TEST(its_files_are_counted_once),
        TEST(a_path_takes_the_place_of_another),
        TEST(who_is_to_stay_in_memory_is_a_model),
        TEST(a_load_reads_files_that_stay_as_they_are),
        TEST(what_is_not_followed_is_said_where_changes_are),
        TEST(what_no_load_reads_may_change_meanwhile),
        TEST(who_is_not_chosen_waits_to_be_loaded_by_its_name),
        TEST(opening_survives_every_failed_allocation),
    };
    onnx_build b;
    err e;
    if (compute_new(&pool, 1, &e)) return 1;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    /* Before there are threads that read it. */
    log_setup(&(log_opts){.level = LOG_WARN, .sink = count_line, .clock_us = clock_us});
    int failed = test_main(cases, COUNTOF(cases));
    serve_rig_unsave(path);
    onnx_build_end(&b);
    compute_free(pool);
    conf_rig_end();
    return failed;
}
