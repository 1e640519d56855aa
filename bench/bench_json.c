/* Tensor JSON beside what a server would use without it, interleaved in one run: our scanner against strtof() on the
 * same text, cutting a body against yyjson parsing all of it.  Exit status 1 when a ratio is under its floor. */
#include "wire/json.h"
#include "wire/json_array.h"
#include "wire/json_cut.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 150528, ROUNDS = 41 };   /* one image of 3 x 224 x 224 */

typedef struct {
    char *body;
    size_t len, at, array_len;      /* the body, and the array in it */
    float *to;
    buf skeleton;
    json_cut cut;
} job;

static void print_body(job *j, bool full)
{
    rng r;
    rng_init(&r, 1);
    j->at = j->len = (size_t)sprintf(j->body, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"data\":");
    for (size_t i = 0; i < COUNT; i++) {
        j->body[j->len++] = i ? ',' : '[';
        j->len += (size_t)sprintf(j->body + j->len, full ? "%.17g" : "%.7f", (double)(float)rng_unit(&r));
    }
    j->array_len = j->len + 1 - j->at;
    j->len += (size_t)sprintf(j->body + j->len, "]}]}");
}

static void by_scanner(job *j)
{
    err e;
    json_shape shape;
    json_array_opts o = {.elem = JSON_F32, .to = j->to, .count_max = COUNT};
    INVARIANT(json_array_parse((str){j->body + j->at, j->array_len}, &o, &shape, &e) == ERR_OK && shape.count == COUNT);
}

static void by_strtof(job *j)
{
    char *p = j->body + j->at;
    for (size_t i = 0; i < COUNT; i++) j->to[i] = strtof(p + 1, &p);
}

static void by_cut(job *j)
{
    static const json_cut_path path = {{"inputs", "[]", "data"}};
    err e;
    buf_clear(&j->skeleton);
    INVARIANT(json_cut_find(&j->cut, (str){j->body, j->len}, &path, 1, &j->skeleton, &e) == ERR_OK);
    INVARIANT(j->cut.count == 1);
}

static void by_yyjson(job *j)
{
    yyjson_doc *doc = yyjson_read(j->body, j->len, YYJSON_READ_NOFLAG);
    INVARIANT(doc);
    yyjson_doc_free(doc);
}

static double seconds(void (*run)(job *j), job *j)
{
    struct timespec since, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &since);
    run(j);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)(now.tv_sec - since.tv_sec) + (double)(now.tv_nsec - since.tv_nsec) * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool compare(const char *name, job *j, void (*ours)(job *j), void (*theirs)(job *j), double least)
{
    double ratios[ROUNDS], times[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        times[i] = seconds(ours, j);
        ratios[i] = seconds(theirs, j) / times[i];
    }
    qsort(ratios, ROUNDS, sizeof ratios[0], ascending);
    qsort(times, ROUNDS, sizeof times[0], ascending);
    double ratio = ratios[ROUNDS / 2], rate = (double)j->array_len / times[ROUNDS / 2] / 1e6;
    printf("%-28s %6.0f MB/s  %6.1fx  (floor %.1fx)\n", name, rate, ratio, least);
    return ratio >= least;
}

int main(void)
{
    job *j = mem_alloc0(1, sizeof *j);
    bool fast = true;
    INVARIANT(j);
    j->body = mem_alloc_raw((size_t)COUNT * 32);
    j->to = mem_alloc_raw(COUNT * sizeof(float));
    buf_init(&j->skeleton, 1 << 20);
    INVARIANT(j->body && j->to);
    print_body(j, false);
    fast &= compare("0.1234567: scan : strtof", j, by_scanner, by_strtof, 3);
    fast &= compare("0.1234567: cut : yyjson", j, by_cut, by_yyjson, 5);
    print_body(j, true);
    fast &= compare("%.17g: scan : strtof", j, by_scanner, by_strtof, 2);
    mem_free(j->body);
    mem_free(j->to);
    buf_fini(&j->skeleton);
    mem_free(j);
    return !fast;
}
