#include "serve/handover.h"

#include <stdio.h>

static const char *const kinds[] = {"take", "sockets", "own", "control", "end", "ready", "busy", "late"};
_Static_assert(COUNTOF(kinds) == HANDOVER_KINDS, "a word for each kind");

void handover_print(const handover_msg *m, char ret[SOCK_PASS_BYTES_MAX])
{
    snprintf(ret, SOCK_PASS_BYTES_MAX, "proa 1 %s %u", kinds[m->kind], m->count);
}

bool handover_parse(str text, handover_msg *ret)
{
    str word, rest, number;
    uint64_t n;
    if (!str_starts(text, STR("proa 1 "))) return false;
    rest = (str){text.p + 7, text.len - 7};
    if (!str_cut(rest, ' ', &word, &number) || !str_u64(number, &n) || n > HANDOVER_SOCKETS_MAX) return false;
    for (uint32_t i = 0; i < HANDOVER_KINDS; i++) {
        if (!str_is(word, kinds[i])) continue;
        *ret = (handover_msg){.kind = (handover_kind)i, .count = (uint32_t)n};
        return true;
    }
    return false;
}

sock_io handover_send(int fd, handover_kind kind, uint32_t count, const int *fds)
{
    char text[SOCK_PASS_BYTES_MAX];
    handover_print(&(handover_msg){kind, count}, text);
    return sock_pass_send(fd, text, fds, fds ? count : 0);
}
