/* handover.h - what an old server and a new one say to each other while the listeners change hands.
 *
 *   old    listens at --handover PATH, serves                                               drains, ends
 *   new      "take" -->   <-- "sockets" ... "control" "end"   loads its models, accepts, "ready" -->
 *
 * Until "ready" the old server goes on as if nothing had happened, whatever becomes of the new one; from then on the
 * new one owns the sockets, their files, and PATH.  Both accept for a moment: no socket is closed before another
 * process accepts from it, so no connection is refused, nor reset in a queue.  If the old one dies after "end", the new
 * one has all it needs; before, it begins anew.  Each message is one packet of text, "proa 1 KIND COUNT"; COUNT
 * descriptors travel with it, and "end" says how many that were.  Both ends refuse a peer of another user. */
#ifndef SERVE_HANDOVER_H
#define SERVE_HANDOVER_H
#include "base/str.h"
#include "os/sock_pass.h"

enum {
    HANDOVER_STEP_MS = 5000,         /* for every step but loading the models, which has --handover-wait-ms */
    HANDOVER_SOCKETS_MAX = 16384
};

typedef enum {
    HANDOVER_TAKE,       /* new: may I? */
    HANDOVER_SOCKETS,    /* old: listening sockets; */
    HANDOVER_OWN,        /* the same, which only servers like this have had: files of Unix sockets are to be removed */
    HANDOVER_CONTROL,    /* the socket at PATH */
    HANDOVER_END,        /* that was all */
    HANDOVER_READY,      /* new: I am, and the sockets are mine */
    HANDOVER_BUSY,       /* old: not now: another asked before, or this server is leaving */
    HANDOVER_LATE,       /* old: you took too long, they stay mine */
    HANDOVER_KINDS
} handover_kind;

typedef struct {
    handover_kind kind;
    uint32_t count;
} handover_msg;

void handover_print(const handover_msg *m, char ret[SOCK_PASS_BYTES_MAX]);
bool handover_parse(str text, handover_msg *ret);    /* false = of another version, or no such message */
/* Both in one: sends the kind, with or without descriptors. */
sock_io handover_send(int fd, handover_kind kind, uint32_t count, const int *fds);

#endif
