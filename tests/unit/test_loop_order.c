/* A message wakes the loop whenever it comes: this mailbox lets another sender in before and after each of its steps,
 * so that every order in which the loop and a sender may meet is tried, not only those that two threads happen on. */
#include "async/loop.h"
#include "os/clock.h"
#include "test.h"

#include <stdatomic.h>

typedef struct {
    loop_msg msg;
    bool heard;
} letter;

enum { MOMENTS = 10, LOST_US = 10000000 };   /* put, look, take, take, look: before and after each */

static loop *at;
static letter first, second;
static int moments_left = -1;   /* until the second letter is posted; < 0 = it was, or is not to be */
static bool lost;

static void moment(void)
{
    if (moments_left < 0 || moments_left-- > 0) return;
    loop_post(at, &second.msg);
}

/* ---- in place of async/mailbox.c; all on one thread ---- */

void mailbox_init(mailbox *b) { atomic_init(&b->last, NULL); }

void mailbox_put(mailbox *b, mail *m)
{
    moment();
    m->next = atomic_load(&b->last);
    atomic_store(&b->last, m);
    moment();
}

mail *mailbox_take(mailbox *b)
{
    moment();
    mail *first_mail = NULL;
    for (mail *m = atomic_exchange(&b->last, NULL), *before; m; m = before) {
        before = m->next;
        m->next = first_mail;
        first_mail = m;
    }
    moment();
    return first_mail;
}

bool mailbox_empty(const mailbox *b)
{
    moment();
    bool empty = atomic_load(&b->last) == NULL;
    moment();
    return empty;
}

/* ---- the test ---- */

static void hear(loop *on, loop_msg *m)
{
    ((letter *)(void *)m)->heard = true;
    if (first.heard && second.heard) loop_stop(on);
}

static void give_up(loop_timer *t)
{
    (void)t;
    lost = true;
    loop_stop(at);
}

static void a_message_wakes_the_loop_whenever_it_comes(void)
{
    for (int k = 0; k < MOMENTS; k++) {
        err e;
        loop_timer watch = {.fire = give_up};
        CHECK(loop_new(&at, 1, &e) == ERR_OK);
        CHECK(loop_timer_set(at, &watch, clock_now_us() + LOST_US, &e) == ERR_OK);
        first = second = (letter){.msg.run = hear};
        lost = false;
        moments_left = k;
        loop_post(at, &first.msg);
        CHECK(loop_run(at, &e) == ERR_OK);
        CHECK(!lost && first.heard && second.heard);
        CHECK(moments_left < 0);
        moments_left = -1;
        loop_timer_cancel(at, &watch);
        loop_free(at);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(a_message_wakes_the_loop_whenever_it_comes)};
    return test_main(cases, COUNTOF(cases));
}
