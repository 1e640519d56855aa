/* flags.h - the flags of one command, from one table: parsing, help, and "did you mean".
 *
 * `--name value`, `--name=value`, and `--name` alone for FLAG_SWITCH; what is not a flag is an operand.  `--` ends the
 * flags.  A flag given twice takes the last value, except FLAG_TEXTS, which gathers.  Values are views into argv. */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H
#include "base/err.h"
#include "base/str.h"

enum { FLAG_TEXTS_MAX = 64 };

typedef enum { FLAG_SWITCH, FLAG_TEXT, FLAG_NUMBER, FLAG_TEXTS } flag_kind;

typedef struct {
    const char *items[FLAG_TEXTS_MAX];
    size_t count;
} flag_texts;

typedef struct {
    const char *name;            /* without the dashes */
    flag_kind kind;
    void *to;                    /* bool, const char *, uint64_t, flag_texts */
    const char *value, *help;    /* "N", "how many runs" */
    uint64_t min, max;           /* of FLAG_NUMBER */
    bool needed;                 /* of FLAG_TEXT: see flags_check() */
} flag;

typedef struct {
    const char **at;             /* room for `max`; the caller's */
    size_t max, count;           /* flags_parse() sets the count */
} flag_operands;

/* All texts begin with the flag or operand that is wrong. */
err_code flags_parse(const flag *flags, size_t count, int argc, char **argv, flag_operands *operands,
                     err *e) MUST_USE;
/* After flags_parse(), unless --help was given: ERR_INVALID names a flag that is needed and was not there. */
err_code flags_check(const flag *flags, size_t count, err *e) MUST_USE;
/* One line per flag, at most room bytes with the NUL. */
void flags_help(const flag *flags, size_t count, char *text, size_t room);

#endif
