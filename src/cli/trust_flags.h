/* trust_flags.h - the rows of net/tls_trust.h's table in a command's table of flags, and what is said of them.
 *
 * TRUST_FLAGS(&o.trust) stands among the rows of `const flag flags[]`.  `--insecure` is never silent: a command that
 * was given it says so before it connects. */
#ifndef CLI_TRUST_FLAGS_H
#define CLI_TRUST_FLAGS_H
#include "cli/flags.h"
#include "net/tls_trust.h"

#define TRUST_FLAG_TEXT FLAG_TEXT
#define TRUST_FLAG_SWITCH FLAG_SWITCH
#define TRUST_FLAG(of, member, kind_, value_, help_) \
    {.name = #member, .kind = TRUST_FLAG_##kind_, .to = &(of)->member, .value = value_, .help = help_},
#define TRUST_FLAGS(of) TLS_TRUST_TABLE(TRUST_FLAG, of)

#define TRUST_ADDRESS "http[s]://HOST:PORT, HOST:PORT or unix:/path"

void trust_flags_warn(const char *path, const tls_trust *t);   /* path: of the command, "proa infer" */

#endif
