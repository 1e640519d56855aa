/* low_water_marks.h - which low-water marks the sockets of this process have: 1 is none. */
#ifndef TESTS_LOW_WATER_MARKS_H
#define TESTS_LOW_WATER_MARKS_H
#include "base/base.h"

#include <sys/socket.h>

/* How many sockets have one; the highest in *ret_bytes when that is not NULL. */
static inline size_t low_water_marks(size_t *ret_bytes)
{
    size_t count = 0, most = 1;
    for (int fd = 0; fd < 1024; fd++) {
        int bytes = 1;
        socklen_t len = sizeof bytes;
        if (getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &len) || bytes <= 1) continue;
        count++;
        if ((size_t)bytes > most) most = (size_t)bytes;
    }
    if (ret_bytes) *ret_bytes = most;
    return count;
}

#endif
