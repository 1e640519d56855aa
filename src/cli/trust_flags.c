#include "cli/trust_flags.h"

#include "os/console.h"

#include <stdio.h>

void trust_flags_warn(const char *path, const tls_trust *t)
{
    char line[200];
    if (!t->insecure) return;
    int n = snprintf(line, sizeof line, "%s: warning: --insecure: whoever answers is trusted, and sees all that is "
                     "sent\n", path);
    if (n > 0) console_err(line, (size_t)n);
}
