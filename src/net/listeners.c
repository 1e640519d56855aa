#include "net/listeners.h"

#include "base/mem.h"

#include <stdatomic.h>

typedef struct {
    sock_addr at;
    listener *sockets;        /* count of them */
    size_t count;
    _Atomic bool made;        /* here: no other process has these sockets; */
    bool heir;                /* or will have, once this process owns them */
    file_id file;             /* of a Unix socket, to be removed by who made it, */
    _Atomic bool removed;     /* once */
} place;

struct listeners {
    place places[LISTENERS_MAX];
    size_t count, loops;
};

err_code listeners_new(listeners **ret, err *e)
{
    listeners *l = mem_new0(listeners, 1);
    if (!l) return err_set(e, ERR_NOMEM, "listeners: no memory");
    *ret = l;
    return ERR_OK;
}

static void file_remove(place *p)
{
    if (!atomic_load(&p->made) || !sock_addr_path(&p->at) || atomic_exchange(&p->removed, true)) return;
    sock_file_remove(&p->at, &p->file);
}

static void place_fini(place *p)
{
    file_remove(p);
    for (size_t i = 0; i < p->count; i++) sock_close(p->sockets[i].fd);
    mem_free(p->sockets);
    *p = (place){.count = 0};
}

void listeners_free(listeners *l)
{
    for (size_t i = 0; l && i < l->count; i++) place_fini(&l->places[i]);
    mem_free(l);
}

/* A place without sockets yet, which counts once it is whole. */
static err_code place_new(listeners *l, size_t sockets, place **ret, err *e)
{
    if (l->count == LISTENERS_MAX)
        return err_set(e, ERR_LIMIT, "listeners: expected at most %d addresses, got one more", LISTENERS_MAX);
    place *p = &l->places[l->count];
    *p = (place){.sockets = mem_new0(listener, sockets)};
    if (!p->sockets) return err_set(e, ERR_NOMEM, "listeners: no memory for %zu sockets", sockets);
    *ret = p;
    return ERR_OK;
}

static void put(place *p, int fd) { p->sockets[p->count++].fd = fd; }

/* Port 0 is any free one for the first socket, and that one for the others. */
static err_code place_open(place *p, const listeners_opts *opts, size_t sockets, err *e)
{
    p->at = *opts->addr;
    while (p->count < sockets) {
        int fd = -1;
        const sock_listen_opts so = {.addr = &p->at, .join = p->count > 0, .mode = opts->mode};
        err_code rc = sock_listen(&so, &fd, e);
        if (rc) return rc;
        put(p, fd);
        if (sock_addr_path(&p->at)) {
            rc = file_identify(sock_addr_path(&p->at), &p->file, e);
            atomic_store(&p->made, rc == ERR_OK);
        } else {
            rc = sock_local(fd, &p->at, e);
            atomic_store(&p->made, rc == ERR_OK);
        }
        if (rc) return rc;
    }
    return ERR_OK;
}

err_code listeners_open(listeners *l, const listeners_opts *opts, err *e)
{
    size_t sockets = sock_addr_is_unix(opts->addr) ? 1 : opts->sockets;
    place *p = NULL;
    INVARIANT(sockets > 0 && sockets <= LISTENERS_SOCKETS_MAX);
    err_code rc = place_new(l, sockets, &p, e);
    if (rc) return rc;
    rc = place_open(p, opts, sockets, e);
    if (rc)
        place_fini(p);
    else
        l->count++;
    return rc;
}

static err_code place_grow(place *p, err *e)
{
    if (p->count == LISTENERS_SOCKETS_MAX)
        return err_set(e, ERR_LIMIT, "listeners: expected at most %d sockets of one address, got one more",
                       LISTENERS_SOCKETS_MAX);
    listener *more = mem_grow(p->sockets, p->count * sizeof *more, p->count + 1, sizeof *more);
    if (!more) return err_set(e, ERR_NOMEM, "listeners: no memory for %zu sockets", p->count + 1);
    p->sockets = more;
    return ERR_OK;
}

err_code listeners_adopt(listeners *l, int fd, bool heir, err *e)
{
    place *p = NULL;
    sock_addr at;
    err_code rc = sock_adopt(fd, &at, e);
    if (rc) return rc;
    for (size_t i = 0; i < l->count && !p; i++)
        if (sock_addr_eq(&l->places[i].at, &at)) p = &l->places[i];
    bool found = p != NULL;
    rc = found ? place_grow(p, e) : place_new(l, 1, &p, e);
    if (rc) return rc;
    put(p, fd);
    p->at = at;
    p->heir = heir;
    if (!found) l->count++;
    return ERR_OK;
}

err_code listeners_move(listeners *to, listeners *from, size_t index, err *e)
{
    INVARIANT(index < from->count);
    if (to->count == LISTENERS_MAX)
        return err_set(e, ERR_LIMIT, "listeners: expected at most %d addresses, got one more", LISTENERS_MAX);
    place *p = &to->places[to->count];
    *p = from->places[index];
    to->count++;
    from->count--;
    for (size_t i = index; i < from->count; i++) from->places[i] = from->places[i + 1];
    return ERR_OK;
}

void listeners_own(listeners *l)
{
    for (size_t i = 0; i < l->count; i++) {
        err e;
        place *p = &l->places[i];
        const char *path = sock_addr_path(&p->at);
        if (p->heir && (!path || file_identify(path, &p->file, &e) == ERR_OK)) atomic_store(&p->made, true);
        p->heir = false;
    }
}

void listeners_disown(listeners *l)
{
    for (size_t i = 0; i < l->count; i++) atomic_store(&l->places[i].made, false);
}

bool listeners_made(const listeners *l, size_t index)
{
    INVARIANT(index < l->count);
    return atomic_load(&l->places[index].made) || l->places[index].heir;
}

int listeners_socket(const listeners *l, size_t index, size_t nth)
{
    INVARIANT(index < l->count);
    return nth < l->places[index].count ? l->places[index].sockets[nth].fd : -1;
}

size_t listeners_count(const listeners *l) { return l->count; }

const sock_addr *listeners_at(const listeners *l, size_t index)
{
    INVARIANT(index < l->count);
    return &l->places[index].at;
}

/* More sockets than loops: a loop has several.  More loops than sockets: a socket has several. */
static bool watches(size_t loop, size_t loops, size_t socket, size_t sockets)
{
    return sockets >= loops ? socket % loops == loop : loop % sockets == socket;
}

void listeners_deal(listeners *l, size_t loops)
{
    l->loops = loops;
    for (size_t i = 0; i < l->count; i++) {
        place *p = &l->places[i];
        for (size_t k = 0; k < p->count; k++) {
            uint32_t n = 0;
            for (size_t loop = 0; loop < loops; loop++) n += watches(loop, loops, k, p->count);
            INVARIANT(n > 0);
            p->sockets[k].shared = n > 1;
            p->sockets[k].local = sock_addr_is_unix(&p->at);
            atomic_store(&p->sockets[k].watchers, n);
        }
    }
}

listener *listeners_next(listeners *l, listeners_cursor *at, size_t loop)
{
    for (; at->place < l->count; at->place++, at->socket = 0) {
        place *p = &l->places[at->place];
        while (at->socket < p->count) {
            size_t k = at->socket++;
            if (watches(loop, l->loops, k, p->count)) return &p->sockets[k];
        }
    }
    return NULL;
}

bool listeners_hide(listeners *l)
{
    bool half_in = false;
    for (size_t i = 0; i < l->count; i++) {
        place *p = &l->places[i];
        if (!atomic_load(&p->made)) continue;
        file_remove(p);
        for (size_t k = 0; k < p->count; k++)
            if (sock_let_none_in(p->sockets[k].fd, &p->at)) half_in = true;
    }
    return half_in;
}

void listeners_leave(listener *one)
{
    uint32_t left = atomic_fetch_sub(&one->watchers, 1);
    INVARIANT(left > 0);
    if (left > 1) return;
    sock_close(one->fd);
    one->fd = -1;
}
