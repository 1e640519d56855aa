/* spare.h - room for what has to wait for clients, once their memory is full: who holds most of it is cut off, not
 * who asks.
 *
 * Asked before a connection takes more.  Where there is not enough, those of its loop that hold more than it would hold
 * itself are cut off, the largest first, SPARE_VICTIMS_MAX at a time: what they hold counts for nothing from then on,
 * and is freed when the loop's turn ends.  Where that does not do, the other loops cut off one of theirs, by message,
 * and who asked is refused; so is who holds most itself.  What this costs is bounded: the SPARE_LOOK_MAX connections of
 * a loop that have waited longest are looked at. */
#ifndef NET_SPARE_H
#define NET_SPARE_H
#include "net/shard.h"

enum { SPARE_LOOK_MAX = 1024, SPARE_VICTIMS_MAX = 8 };

void spare_make(const conn *c, size_t bytes);   /* c is about to take so much */
void spare_cut(shard *s, size_t above);         /* the loop's largest holder, if it holds more; not within a turn */

#endif
