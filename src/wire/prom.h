/* prom.h - reads Prometheus' text format (0.0.4, and OpenMetrics' where they agree), without I/O.
 *
 * A reader walks the lines and gives one sample at a time, as views into the text: comments are passed over, a
 * malformed line is an error that names it.  Labels stay as they were written; prom_label() finds one and undoes its
 * escapes.  Nothing is allocated. */
#ifndef WIRE_PROM_H
#define WIRE_PROM_H
#include "base/err.h"
#include "base/str.h"

typedef struct {
    str name;
    str labels;                     /* between the braces; empty = none */
    double value;                   /* may be infinite or no number */
} prom_sample;

typedef struct {
    /* private */
    str rest;
    size_t line;
} prom;

void prom_init(prom *p, str text);
/* *ret_found is false at the end. */
err_code prom_next(prom *p, prom_sample *ret, bool *ret_found, err *e) MUST_USE;
/* The value of a label, in `to`: NUL-terminated, cut to room - 1 bytes; false = there is none. */
bool prom_label(str labels, const char *name, char *to, size_t room);

#endif
