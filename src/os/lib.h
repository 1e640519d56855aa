/* lib.h - libraries that are opened when they are first needed.
 *
 * A program pays at each start for every library that it is linked with (8 ms for libcurl and its friends), so
 * the big ones are opened here instead.  Their owner keeps one table of what it calls and one static lib:
 *
 *     static struct { CUresult (*init)(unsigned); ... } cuda;
 *     static const lib_symbol symbols[] = {{"cuInit", (void **)&cuda.init}, ...};
 *     static lib cuda_lib = {.title = "CUDA driver", .names = {"libcuda.so.1"}, .symbols = symbols, .count = ...};
 *
 * lib_need() opens it once, from whichever thread comes first, and fills the table; a library that is missing
 * or too old is an error that names it, and is looked for again at the next call.  Nothing is ever closed. */
#ifndef OS_LIB_H
#define OS_LIB_H
#include "base/err.h"
#include "os/lock.h"

enum { LIB_NAMES_MAX = 4 };

typedef struct {
    const char *name;
    void **ret;
} lib_symbol;

typedef struct {
    const char *title;                  /* for people: "CUDA driver" */
    const char *names[LIB_NAMES_MAX];   /* file names, newest first; the rest NULL */
    const lib_symbol *symbols;
    size_t count;
    void (*opened)(void);               /* NULL, or called once, with the table filled, before lib_need() returns */
    /* private */
    _Atomic bool open;
} lib;

err_code lib_need(lib *l, err *e) MUST_USE;

#endif
