/* power.h - a folder whose machine loses power: what was not synced is there, or half there, or not.
 *
 * power_on() watches the syncs of sys_fake: of a file that was synced the bytes are kept, of a folder its names.
 * power_cut_in(n): behind the n-th sync from now all calls that change the disk fail.  power_loss() then makes
 * the folder what a disk may hold: each file has what was synced, and of each piece of 512 bytes that was written later
 * either the new or the old; a name that is not durable may be missing, one that was removed may be back.  Real files,
 * one level deep; included once by each test that wants it, whose main thread is the only one to write. */
#ifndef TESTS_POWER_H
#define TESTS_POWER_H
#include "fake/sys_fake.h"
#include "test_folder.h"

enum { POWER_FILES = 64, POWER_NAME = 40, POWER_PIECE = 512, POWER_CALLS = 6 };

typedef struct {
    char name[POWER_NAME];
    char *bytes;            /* as they were synced */
    size_t len;
    bool named;             /* durable */
} power_file;

static power_file power_files[POWER_FILES];
static size_t power_count;
static long power_left;     /* calls until it is cut; < 0 = never */
static bool power_dead;

static inline char *power_read(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    char *bytes = NULL;
    *ret_len = 0;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(*ret_len + 1);
    *ret_len = fread(bytes, 1, *ret_len, f);
    fclose(f);
    return bytes;
}

static inline const char *power_path(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%.*s", test_folder, POWER_NAME, name);
    return path;
}

static inline power_file *power_of(const char *name)
{
    for (size_t i = 0; i < power_count; i++)
        if (strcmp(power_files[i].name, name) == 0) return &power_files[i];
    INVARIANT(power_count < POWER_FILES);
    power_file *f = &power_files[power_count++];
    *f = (power_file){.bytes = NULL};
    INVARIANT(strlen(name) < sizeof f->name);
    memcpy(f->name, name, strlen(name) + 1);
    return f;
}

static inline void power_names(void)
{
    for (size_t i = 0; i < power_count; i++) power_files[i].named = false;
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;)
        if (one->d_name[0] != '.') power_of(one->d_name)->named = true;
    if (d) closedir(d);
}

static inline void power_arm(void);

/* One call that changes the disk is about to happen. */
static inline bool power_step(void)
{
    if (power_left > 0) power_left--;
    else if (power_left == 0 && !power_dead) {
        power_dead = true;
        power_arm();
    }
    return !power_dead;
}

static inline void power_synced(void)
{
    char link[64], path[300];
    if (power_dead) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", sys_fake_synced());
    ssize_t n = readlink(link, path, sizeof path - 1);
    INVARIANT(n > 0);
    path[n] = '\0';
    if (strcmp(path, test_folder) == 0) {
        power_names();
    } else {
        power_file *f = power_of(strrchr(path, '/') + 1);
        free(f->bytes);
        f->bytes = power_read(path, &f->len);
    }
    (void)power_step();
}

/* Syncs succeed without the kernel's; once it is dead all fail. */
static inline void power_arm(void)
{
    static const sys_call calls[POWER_CALLS] = {SYS_open, SYS_write_at, SYS_truncate, SYS_unlink, SYS_sync,
                                                SYS_sync_data};
    sys_fault rows[POWER_CALLS];
    for (size_t i = 0; i < POWER_CALLS; i++)
        rows[i] = (sys_fault){.call = calls[i], .times = SYS_FAKE_EVER, .result = -EIO};
    const sys_fault alive[] = {
        {.call = SYS_sync, .times = SYS_FAKE_EVER, .result = 0, .then = power_synced},
        {.call = SYS_sync_data, .times = SYS_FAKE_EVER, .result = 0, .then = power_synced},
    };
    if (power_dead) sys_fake_script(rows, POWER_CALLS);
    else sys_fake_script(alive, COUNTOF(alive));
}

static inline void power_on(void)
{
    power_left = -1;
    power_dead = false;
    power_names();
    for (size_t i = 0; i < power_count; i++) {
        free(power_files[i].bytes);
        power_files[i].bytes = power_read(power_path(power_files[i].name), &power_files[i].len);
    }
    power_arm();
}

/* So many syncs from now on the power is gone, behind the last of them. */
static inline void power_cut_in(long syncs) { power_left = syncs; }

/* What the disk holds of a file: `now` is what the kernel knew, NULL = it was removed. */
static inline void power_settle(const power_file *f, const char *now, size_t now_len, uint64_t *seed)
{
    size_t most = now_len > f->len ? now_len : f->len, least = now_len > f->len ? f->len : now_len;
    size_t len = least + (most > least ? test_rand(seed) % (most - least + 1) : 0);
    char *bytes = calloc(1, most + 1);
    if (f->len) memcpy(bytes, f->bytes, f->len);
    for (size_t at = 0; now && at < now_len; at += POWER_PIECE) {
        size_t n = now_len - at < POWER_PIECE ? now_len - at : POWER_PIECE;
        if (test_rand(seed) >> 40 & 1) memcpy(bytes + at, now + at, n);
    }
    FILE *out = fopen(power_path(f->name), "wb");
    INVARIANT(out && fwrite(bytes, 1, len, out) == len);
    fclose(out);
    free(bytes);
}

static inline void power_loss(uint64_t *seed)
{
    sys_fake_script(NULL, 0);
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;)
        if (one->d_name[0] != '.') (void)power_of(one->d_name);
    if (d) closedir(d);
    for (size_t i = 0; i < power_count; i++) {
        power_file *f = &power_files[i];
        size_t now_len;
        char *now = power_read(power_path(f->name), &now_len);
        bool there = now && (f->named || (test_rand(seed) >> 40 & 1));
        bool back = !now && f->named && (test_rand(seed) >> 40 & 1);
        if (there || back) power_settle(f, now ? now : f->bytes, now ? now_len : f->len, seed);
        else (void)unlink(power_path(f->name));
        free(now);
        free(f->bytes);
    }
    power_count = 0;
}

#endif
