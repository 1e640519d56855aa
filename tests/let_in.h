/* let_in.h - whether a listener lets a client in, and whether this kernel can keep it from doing so. */
#ifndef TESTS_LET_IN_H
#define TESTS_LET_IN_H
#include "os/sock.h"
#include "test.h"

#include <netinet/in.h>
#include <unistd.h>

/* On one machine a refusal is known at once. */
static inline bool is_let_in(const sock_addr *at)
{
    err e;
    int fd = -1;
    bool in = sock_connect(at, &fd, &e) == ERR_OK && sock_connected(fd, at, &e) == ERR_OK;
    sock_close(fd);
    return in;
}

/* See sock_let_none_in(); emulators and sandboxes may not have it for TCP. */
static inline bool kernel_lets_none_in(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool can = setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &(int){INT32_MAX}, sizeof(int)) == 0;
    close(fd);
    return can;
}

#endif
