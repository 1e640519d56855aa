#include "os/sys.h"

#define X(name, params, args) int64_t sys_##name params { return sys_real_##name args; }
SYS_TABLE(X)
#undef X
