/* sock_pass.h - messages that stay whole, with descriptors in them, between processes of one machine.
 *
 * Over Unix sockets of sequenced packets (sock_listen() with `packets`); nothing here blocks but sock_pass_wait().
 * A message that is cut, of bytes or of descriptors, is a broken connection: none of it is given out.  Received
 * descriptors are the caller's, and close-on-exec. */
#ifndef OS_SOCK_PASS_H
#define OS_SOCK_PASS_H
#include "os/sock.h"

enum { SOCK_PASS_FDS_MAX = 64, SOCK_PASS_BYTES_MAX = 128 };   /* of one message */

/* ERR_UNAVAILABLE or ERR_NOT_FOUND: nobody is there. */
err_code sock_pass_connect(const sock_addr *to, int *ret_fd, err *e) MUST_USE;
sock_io sock_pass_send(int fd, const char *text, const int *fds, size_t count);
/* ret_fds has room for SOCK_PASS_FDS_MAX; the text ends with NUL. */
sock_io sock_pass_recv(int fd, char ret[SOCK_PASS_BYTES_MAX], int *ret_fds, size_t *ret_count);
void sock_pass_deaf(int fd);                /* what the peer sends from now on fails there; what came can be read */
bool sock_pass_wait(int fd, uint32_t ms);   /* for the next message; false = the time is over */
bool sock_pass_is_ours(int fd);             /* the peer runs as the same user */

#endif
