/* Links with one fuzz target and feeds it every file of tests/fuzz/corpus/NAME, where the program is called
 * replay_NAME: the seeds, and what the fuzzer once found, run with every `make check` and under the sanitizers.
 * Each input is also cut short, because a parser's commonest error is the byte after the end. */
#include "test.h"

#include <dirent.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS_MAX = 64 };

static const char *name;

static bool replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    size_t n = size > 0 ? (size_t)size : 0;
    uint8_t *all = malloc(n + 1);
    bool read = all && fread(all, 1, n, f) == n;
    fclose(f);
    for (size_t i = 0; read && i <= CUTS_MAX && i <= n; i++) {
        /* In a block of its own size, so that the sanitizer sees a read past it. */
        size_t cut = n <= CUTS_MAX ? i : n * i / CUTS_MAX;
        uint8_t *exact = malloc(cut ? cut : 1);
        if (!exact) break;
        memcpy(exact, all, cut);
        LLVMFuzzerTestOneInput(exact, cut);
        free(exact);
    }
    free(all);
    return read;
}

static void corpus_is_handled(void)
{
    char folder[256], path[1024];
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    DIR *dir = opendir(folder);
    int inputs = 0;
    CHECK(dir != NULL);   /* every target has seeds */
    for (struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
        if (d->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        CHECK(replay(path));
        inputs++;
    }
    if (dir) closedir(dir);
    CHECK(inputs > 0);
}

int main(int argc, char **argv)
{
    const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;
    name = base && strncmp(base, "/replay_", 8) == 0 ? base + 8 : "";
    static const test_case cases[] = {TEST(corpus_is_handled)};
    return test_main(cases, COUNTOF(cases));
}
