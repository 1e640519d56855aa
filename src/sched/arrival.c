#include "sched/arrival.h"

/* An echo below this is what any steady stream looks like when it is watched for half a run. */
#define ECHO_MIN 0.75

void arrival_init(arrival *a) { *a = (arrival){0}; }

void arrival_note(arrival *a, uint32_t rows, uint64_t now_ns)
{
    if (a->last_ns && now_ns >= a->last_ns) {
        double gap = (double)(now_ns - a->last_ns);
        a->gap_ns = a->gap_ns > 0 ? a->gap_ns + (gap - a->gap_ns) / 32 : gap;
    }
    a->rows = a->rows > 0 ? a->rows + (rows - a->rows) / 32 : rows;
    a->last_ns = now_ns;
    if (a->back < a->answered && now_ns - a->answered_ns <= a->window_ns) {
        a->back++;
        a->back_ns = now_ns;
    }
}

/* The flock is judged: slowly in number, so that one lost answer says little; its time follows the slowest. */
static void judge(arrival *a)
{
    if (a->answered == 0) return;
    a->echo += ((double)a->back / a->answered - a->echo) / 8;
    if (a->back > 0) {
        double lag = (double)(a->back_ns - a->answered_ns);
        a->lag_ns += (lag - a->lag_ns) / (lag > a->lag_ns ? 2 : 16);
    }
}

void arrival_answered(arrival *a, uint32_t count, uint64_t window_ns, uint64_t now_ns)
{
    bool open = a->answered > 0 && now_ns - a->answered_ns <= a->window_ns && a->answered < UINT32_MAX / 2;
    if (open) {   /* two flocks become one */
        a->answered += count;
    } else {
        judge(a);
        a->answered = count;
        a->back = 0;
    }
    a->answered_ns = now_ns;
    a->window_ns = window_ns;
}

double arrival_rows_per_s(const arrival *a) { return a->gap_ns > 0 ? a->rows * 1e9 / a->gap_ns : 0; }

double arrival_expected(const arrival *a, uint64_t now_ns, uint64_t *ret_until_ns)
{
    if (a->answered == 0 || a->echo < ECHO_MIN) return 0;
    double late = 2 * a->lag_ns;
    uint64_t until = a->answered_ns + (late < (double)a->window_ns ? (uint64_t)late : a->window_ns);
    double missing = a->echo * a->answered - a->back;
    if (now_ns >= until || missing < 0.5) return 0;
    *ret_until_ns = until;
    return missing;
}
