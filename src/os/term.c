#include "os/term.h"

#include "os/console.h"
#include "os/sys.h"

#include <unistd.h>

/* Another screen, no cursor; and back. */
#define SCREEN_ON "\x1b[?1049h\x1b[?25l"
#define SCREEN_OFF "\x1b[?25h\x1b[?1049l"

static bool is_terminal(int fd)
{
    struct termios t;
    return sys_term_get(fd, &t) == 0;
}

bool term_is_input(void) { return is_terminal(STDIN_FILENO); }
bool term_is_output(void) { return is_terminal(STDOUT_FILENO); }

bool term_size(size_t *ret_columns, size_t *ret_rows)
{
    uint32_t columns = 0, rows = 0;
    if (sys_term_size(STDOUT_FILENO, &columns, &rows) < 0 || columns == 0 || rows == 0) return false;
    *ret_columns = columns;
    *ret_rows = rows;
    return true;
}

err_code term_start(term *t, err *e)
{
    int64_t rc = sys_term_get(STDIN_FILENO, &t->was);
    if (rc < 0) return sys_err(e, rc, "terminal", "cannot read its state");
    struct termios now = t->was;
    now.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    now.c_cc[VSUSP] = _POSIX_VDISABLE;   /* a stopped program could not give the screen back */
    rc = SYS_RETRY(sys_term_set(STDIN_FILENO, &now));
    if (rc < 0) return sys_err(e, rc, "terminal", "cannot set its state");
    t->started = true;
    err_code shown = console_out(SCREEN_ON, sizeof SCREEN_ON - 1, e);
    if (shown) term_stop(t);
    return shown;
}

void term_stop(term *t)
{
    err none;
    if (!t->started) return;
    t->started = false;
    (void)!console_out(SCREEN_OFF, sizeof SCREEN_OFF - 1, &none);
    (void)SYS_RETRY(sys_term_set(STDIN_FILENO, &t->was));   /* fails only when the terminal is gone */
}

char term_key(void)
{
    char key = 0;
    return SYS_RETRY(sys_read(STDIN_FILENO, &key, 1)) == 1 ? key : 0;
}
