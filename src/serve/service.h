/* service.h - this process as a service of systemd, or of whatever else speaks its protocols.
 *
 * What the manager gave it in the environment - sockets that listen already (sd_listen_fds(3)), a place to tell how it
 * is (sd_notify(3)), a watchdog - is taken only when it is meant for this process: LISTEN_PID and WATCHDOG_PID name it.
 * Telling never fails for the caller: what is lost is logged. */
#ifndef SERVE_SERVICE_H
#define SERVE_SERVICE_H
#include "os/notify.h"
#include "serve/conf.h"

enum { SERVICE_FD_FIRST = 3 };

typedef struct {
    uint32_t fd_count;         /* sockets from SERVICE_FD_FIRST on */
    uint64_t watchdog_us;      /* silence for so long gets it killed; 0 = nobody watches */
    /* private */
    str fd_names;              /* with ':' between, for messages */
    notify to;
} service;

/* The strings that `get` returns are borrowed. */
err_code service_open(service *ret, conf_getenv *get, uint64_t process, err *e) MUST_USE;
void service_close(service *s);
str service_fd_name(const service *s, uint32_t index);     /* "" where it has none */

/* Also at the end of a reload: then NULL, for the status of before. */
void service_ready(const service *s, const char *status);
void service_main(const service *s, uint64_t process);      /* this process is the service from now on */
void service_reloading(const service *s);
void service_stopping(const service *s, const char *status);
void service_alive(const service *s);                      /* for the watchdog */

#endif
