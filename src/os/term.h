/* term.h - the terminal of a command that draws a screen: its size, its keys, and its state, which is given back.
 *
 * term_start() takes echo, line buffering and the suspending key off standard input and shows a screen of its own;
 * term_stop() puts everything back as it was, and may be called at any time, twice too.  Ctrl-C still makes a signal,
 * so a command that draws takes its signals from a descriptor (os/proc.h) and stops the terminal before it leaves. */
#ifndef OS_TERM_H
#define OS_TERM_H
#include "base/err.h"

#include <termios.h>

typedef struct {
    /* private */
    struct termios was;
    bool started;
} term;

bool term_is_input(void);           /* standard input is a terminal */
bool term_is_output(void);          /* standard output is */
bool term_size(size_t *ret_columns, size_t *ret_rows);   /* of standard output; false = nobody knows */
err_code term_start(term *t, err *e) MUST_USE;   /* both are terminals */
void term_stop(term *t);
char term_key(void);                /* the next byte of standard input; waits for one; 0 = there are no more */

#endif
