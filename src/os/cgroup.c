#include "os/cgroup.h"

#include "base/mem.h"
#include "os/file.h"
#include "os/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 4 << 20 };   /* mountinfo of a node with thousands of pods is under 1 MiB */

/* One mounted hierarchy: `mount` shows the groups from `top` down. */
typedef struct {
    bool v2, cpu, memory;
    char top[FILE_PATH_MAX], mount[FILE_PATH_MAX];
} hierarchy;

static char *read_text(const char *root, const char *path, const char *file)
{
    char full[FILE_PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s%s", root, path, file);
    if (n < 0 || (size_t)n >= sizeof full) return NULL;
    err ignored;   /* a file that is not there means no limit */
    char *text = NULL;
    size_t len;
    return file_read(full, TEXT_BYTES_MAX, &text, &len, &ignored) ? NULL : text;
}

static char *next_line(char **at)
{
    char *line = *at;
    if (!line || !*line) return NULL;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : NULL;
    if (end) *end = '\0';
    return line;
}

static bool list_has(const char *list, const char *word)   /* "rw,cpu,cpuacct" */
{
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0' || p[n] == ' ')) return true;
    return false;
}

/* "36 35 0:31 /top /mount/point rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct" */
static bool parse_mount(const char *line, hierarchy *ret)
{
    const char *dash = strstr(line, " - cgroup");
    if (!dash) return false;
    char type[16], options[512];
    if (sscanf(line, "%*s %*s %*s %4095s %4095s", ret->top, ret->mount) != 2) return false;
    if (sscanf(dash, " - %15s %*s %511s", type, options) != 2) return false;
    ret->v2 = strcmp(type, "cgroup2") == 0;
    ret->cpu = ret->v2 || list_has(options, "cpu");
    ret->memory = ret->v2 || list_has(options, "memory");
    return ret->cpu || ret->memory;
}

/* "4:cpu,cpuacct:/path" or "0::/path": the path of this process in hierarchy h. */
static bool find_group(const char *groups, const hierarchy *h, char ret[FILE_PATH_MAX])
{
    for (const char *line = groups; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char list[256];
        const char *first = strchr(line, ':');
        const char *second = first ? strchr(first + 1, ':') : NULL;
        if (!second || (size_t)(second - first) > sizeof list) return false;
        snprintf(list, sizeof list, "%.*s", (int)(second - first - 1), first + 1);
        bool mine = h->v2 ? list[0] == '\0' : list_has(list, h->cpu ? "cpu" : "memory");
        size_t n = strcspn(second + 1, "\n");
        if (!mine || n >= FILE_PATH_MAX) continue;
        memcpy(ret, second + 1, n);
        ret[n] = '\0';
        return true;
    }
    return false;
}

static void tighten(uint64_t *limit, uint64_t value)
{
    if (value && (*limit == 0 || value < *limit)) *limit = value;
}

static uint64_t milli(const char *quota, const char *period)
{
    uint64_t q = strtoull(quota, NULL, 10), p = strtoull(period, NULL, 10);   /* "max" and "-1" are told apart before */
    if (q == 0 || p == 0 || q > UINT64_MAX / 1000) return 0;
    uint64_t m = q * 1000 / p;
    return m ? m : 1;
}

static void read_cpu(const char *root, const char *folder, bool v2, cgroup_limits *l)
{
    if (v2) {
        char *max = read_text(root, folder, "/cpu.max");   /* "max 100000" or "150000 100000" */
        const char *period = max ? strchr(max, ' ') : NULL;
        if (period && max[0] != 'm') tighten(&l->cpu_milli, milli(max, period + 1));
        mem_free(max);
        return;
    }
    char *quota = read_text(root, folder, "/cpu.cfs_quota_us"), *period = read_text(root, folder, "/cpu.cfs_period_us");
    if (quota && period && quota[0] != '-') tighten(&l->cpu_milli, milli(quota, period));
    mem_free(quota);
    mem_free(period);
}

static void read_memory(const char *root, const char *folder, bool v2, cgroup_limits *l)
{
    char *max = read_text(root, folder, v2 ? "/memory.max" : "/memory.limit_in_bytes");
    if (max && max[0] != 'm') {
        uint64_t bytes = strtoull(max, NULL, 10);
        if (bytes < (uint64_t)1 << 60) tighten(&l->memory_bytes, bytes);   /* v1 says 2^63 - 4096 for none */
    }
    mem_free(max);
}

/* From the group of this process up to the mount point. */
static void read_hierarchy(const char *root, const hierarchy *h, const char *group, cgroup_limits *l)
{
    char folder[FILE_PATH_MAX];
    size_t top = strcmp(h->top, "/") == 0 ? 0 : strlen(h->top);
    bool inside = strncmp(group, h->top, top) == 0 && (group[top] == '/' || group[top] == '\0');
    /* A container that sees its own group as the mount point is told a path that exists only outside. */
    if (!inside || strstr(group, "/..")) group = "", top = 0;
    size_t floor = strlen(h->mount);
    int n = snprintf(folder, sizeof folder, "%s%s", h->mount, group + top);
    if (n < 0 || (size_t)n >= sizeof folder) return;
    for (;;) {
        if (h->cpu) read_cpu(root, folder, h->v2, l);
        if (h->memory) read_memory(root, folder, h->v2, l);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= floor || !slash || (size_t)(slash - folder) < floor) return;
        *slash = '\0';
    }
}

void cgroup_limits_read(const char *root, cgroup_limits *ret)
{
    *ret = (cgroup_limits){0};
    char *groups = read_text(root, "/proc/self", "/cgroup"), *mounts = read_text(root, "/proc/self", "/mountinfo");
    char *at = mounts;
    for (const char *line; groups && (line = next_line(&at));) {
        hierarchy h;
        char group[FILE_PATH_MAX];
        if (parse_mount(line, &h) && find_group(groups, &h, group)) read_hierarchy(root, &h, group, ret);
    }
    mem_free(groups);
    mem_free(mounts);
}

uint32_t cgroup_cpus(void)
{
    cgroup_limits l;
    cgroup_limits_read("", &l);
    uint32_t cpus = proc_cpus();
    uint64_t quota = (l.cpu_milli + 999) / 1000;
    return quota && quota < cpus ? (uint32_t)quota : cpus;
}
