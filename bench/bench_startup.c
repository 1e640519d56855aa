/* From exec to exit: `proa --version` beside a program that only prints a word, in turns, in one run.
 *
 * The cold start of a replica begins here; every library that the program maps and every table that it fills before
 * main() shows.  Exit status 1 when the median difference is over LIMIT_US. */
#include "base/base.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUNDS = 301, LIMIT_US = 1500 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double run_us(char *const argv[])
{
    static char *const env[] = {NULL};
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int status = -1;
    double since = now_us();
    if (posix_spawn(&pid, argv[0], &quiet, NULL, argv, env) != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "%s: expected it to run and exit with 0, got status %d\n", argv[0], status);
        exit(2);
    }
    double took = now_us() - since;
    posix_spawn_file_actions_destroy(&quiet);
    return took;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    static double proa_us[ROUNDS], trivial_us[ROUNDS], more_us[ROUNDS];
    char trivial[512], proa[512];
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    int folder = slash ? (int)(slash - argv[0]) : 0;
    snprintf(trivial, sizeof trivial, "%.*s/trivial", folder, argv[0]);
    snprintf(proa, sizeof proa, "%.*s/../proa", folder, argv[0]);
    char option[] = "--version", *run_trivial[] = {trivial, NULL}, *run_proa[] = {proa, option, NULL};
    for (size_t i = 0; i < ROUNDS; i++) {
        trivial_us[i] = run_us(run_trivial);
        proa_us[i] = run_us(run_proa);
        more_us[i] = proa_us[i] - trivial_us[i];
    }
    double p = median(proa_us, ROUNDS), t = median(trivial_us, ROUNDS), more = median(more_us, ROUNDS);
    printf("startup: proa --version %.0f us, a trivial program %.0f us, %.0f us more (limit %d), ratio %.2f\n",
           p, t, more, LIMIT_US, p / t);
    return more > LIMIT_US;
}
