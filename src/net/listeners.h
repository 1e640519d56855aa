/* listeners.h - the addresses at which a server listens, and their sockets.
 *
 * A TCP address that is opened here has as many sockets as asked for, which share the port (SO_REUSEPORT): the kernel
 * spreads connections over them, and each loop has one of its own.  A Unix socket, and what another process opened,
 * come as they are.  However many there are, every loop watches one of each address at least, and every socket is
 * watched by a loop: connections that wait in a socket which nobody accepts from would wait for ever.
 *
 * Built and freed by one thread while no loop runs.  In between, loops leave socket by socket: the last loop that
 * leaves one closes it.  The file of a Unix socket that was made here goes before that, or in listeners_free(). */
#ifndef NET_LISTENERS_H
#define NET_LISTENERS_H
#include "os/sock.h"

enum {
    LISTENERS_MAX = 64,            /* addresses; each costs every loop a descriptor to watch */
    LISTENERS_SOCKETS_MAX = 256    /* of one address: as many as there may be loops */
};

typedef struct listeners listeners;

typedef struct {
    const sock_addr *addr;
    size_t sockets;                /* wanted; a Unix socket has one in any case */
    uint32_t mode;                 /* of a Unix socket's file */
} listeners_opts;

/* A socket as the loops see it. */
typedef struct {
    int fd;                        /* -1 = closed */
    bool shared;                   /* several loops watch it */
    bool local;                    /* a Unix socket */
    /* private */
    _Atomic uint32_t watchers;     /* loops that have not left */
} listener;

typedef struct {
    /* private */
    size_t place, socket;
} listeners_cursor;

err_code listeners_new(listeners **ret, err *e) MUST_USE;
void listeners_free(listeners *l);
DEFINE_CLEANUP(listeners)
err_code listeners_open(listeners *l, const listeners_opts *opts, err *e) MUST_USE;   /* "127.0.0.1:80: ..." */
/* A socket of another process, see sock_adopt(); it is taken on success only.  Those of one address come together.
 * `heir` = once we own it nobody else does, and a file of its address is ours to remove: listeners_own(). */
err_code listeners_adopt(listeners *l, int fd, bool heir, err *e) MUST_USE;
err_code listeners_move(listeners *to, listeners *from, size_t index, err *e) MUST_USE;   /* the others move up */

/* Two processes may hold the same sockets; only one of them may remove files and turn clients away. */
void listeners_own(listeners *l);
void listeners_disown(listeners *l);
bool listeners_made(const listeners *l, size_t index);            /* is it this process' alone, or will be? */
/* The sockets of one address, one after the other; -1 = no more. */
int listeners_socket(const listeners *l, size_t index, size_t nth);

size_t listeners_count(const listeners *l);                       /* addresses */
const sock_addr *listeners_at(const listeners *l, size_t index);  /* where it really listens: with the port it got */

/* From here on loops come in.  Each takes all that listeners_next() gives it, from a cursor of {0}; NULL = no more. */
void listeners_deal(listeners *l, size_t loops);
listener *listeners_next(listeners *l, listeners_cursor *at, size_t loop);
/* Any thread, once, before the first loop leaves: nobody finds the way in any more, but where another process has the
 * sockets, too.  True = some may be half in, see sock_let_none_in(). */
bool listeners_hide(listeners *l);
/* A loop's thread, once what the socket has let in is accepted. */
void listeners_leave(listener *one);

#endif
