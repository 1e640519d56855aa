/* test_own.h - names that only this process uses, for what all processes of the machine share.
 *
 * Abstract Unix sockets have no folder to lie in: two runs of one test at a time would meet at the same name. */
#ifndef TESTS_TEST_OWN_H
#define TESTS_TEST_OWN_H
#include "test.h"

#include <stdio.h>
#include <unistd.h>

enum { TEST_OWN_TEXTS = 24, TEST_OWN_BYTES = 200 };

/* The text with this process's number behind each name that begins with "@test_"; lives as long as the process. */
static inline const char *test_own(const char *text)
{
    static struct {
        const char *of;
        char own[TEST_OWN_BYTES];
    } known[TEST_OWN_TEXTS];
    size_t i = 0, n = 0;
    while (i < TEST_OWN_TEXTS && known[i].of && strcmp(known[i].of, text) != 0) i++;
    INVARIANT(i < TEST_OWN_TEXTS);
    if (known[i].of) return known[i].own;
    known[i].of = text;
    for (const char *p = text; *p;) {
        size_t name = strncmp(p, "@test_", 6) == 0 ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_") + 1 : 0;
        int k = name ? snprintf(known[i].own + n, TEST_OWN_BYTES - n, "%.*s-%d", (int)name, p, (int)getpid())
                     : snprintf(known[i].own + n, TEST_OWN_BYTES - n, "%c", *p);
        INVARIANT(k > 0 && n + (size_t)k < TEST_OWN_BYTES);
        n += (size_t)k;
        p += name ? name : 1;
    }
    return known[i].own;
}

#endif
