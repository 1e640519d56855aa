/* low_water.h - in the middle of a long body a loop is woken for many bytes at a time, not for each packet.
 *
 *   body of 1200 kB    |---- 512 kB ----|---- 512 kB ----|-- rest --|      three wake-ups instead of one for each write
 *
 * A sender on the same machine makes the wake-up itself, which costs it about as much as 10 kB of copying, in a virtual
 * machine more.  While a body comes quickly and it is known how much of it is still to come, the socket's low-water
 * mark (SO_RCVLOWAT, socket(7)) holds back until some of that is there.  The kernel reports the end of the stream and
 * errors at once, and a full window too.  Whatever else may come first - a ping, the request of another stream, a
 * client that pauses - is seen LOW_WATER_WAIT_US later at most: then the mark is taken back.
 *
 * Belongs to a shard and its loop's thread; embedded in its owner. */
#ifndef NET_LOW_WATER_H
#define NET_LOW_WATER_H
#include "async/loop.h"

enum {
    LOW_WATER_MIN = 16 << 10,      /* less is not waited for, nor is a client that sent less than that in one read */
    LOW_WATER_MAX = 512 << 10,     /* so that copying goes on while more comes; half of HTTP/2's window */
    LOW_WATER_WAIT_US = 1000,
    LOW_WATER_TURN_MAX = 64        /* marks taken back in one turn */
};

typedef struct conn conn;

typedef struct {                   /* of a connection; all zero = it has no mark */
    conn *prev, *next;             /* those with one, the oldest first */
    uint64_t since_us;
    uint32_t bytes;
} low_water_mark;

typedef struct {
    /* private */
    loop *on;
    loop_timer timer;
    bool set;                      /* the timer is, to when the oldest mark ends or before */
    conn *first, *last;
} low_water;

err_code low_water_init(low_water *l, loop *on, err *e) MUST_USE;
void low_water_fini(low_water *l);   /* all zero, too */
/* Behind a read that brought `came` bytes: nothing can be done before `due` more come; 0 = nobody knows. */
void low_water_note(low_water *l, conn *c, size_t came, size_t due);
void low_water_leave(low_water *l, conn *c);   /* its socket closes */

#endif
