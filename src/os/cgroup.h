/* cgroup.h - what the container allows: the CPU time and the memory of this process' control group.
 *
 * Reads version 1 (cpu.cfs_quota_us, memory.limit_in_bytes) and version 2 (cpu.max, memory.max), also where a
 * machine mounts both, and takes the tightest limit of the group and all its parents that are visible here. */
#ifndef OS_CGROUP_H
#define OS_CGROUP_H
#include "base/err.h"

typedef struct {
    uint64_t cpu_milli;      /* 1500 = one and a half CPUs; 0 = no limit */
    uint64_t memory_bytes;   /* 0 = no limit */
} cgroup_limits;

/* root = "" for this machine; tests name a folder that holds proc/self/{cgroup,mountinfo} and what they point to.
 * Without cgroups, or where they cannot be read, nothing is limited. */
void cgroup_limits_read(const char *root, cgroup_limits *ret);
/* How many threads can be kept busy, >= 1: the CPUs of the affinity mask, capped by the quota rounded up. */
uint32_t cgroup_cpus(void);

#endif
