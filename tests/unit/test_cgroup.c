/* What must hold for control groups: version 1, version 2 and both at once give the tightest limit of the group and
 * its visible parents, inside containers too; anything missing or garbled means no limit, never a wrong one. */
#include "fake/sys_fake.h"
#include "os/cgroup.h"
#include "os/file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static char made[64][300];   /* in the order of making, for the way back */
static size_t made_count;

static void make_path(const char *path)
{
    char full[300] = {0};
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        size_t n = slash ? (size_t)(slash - path) : strlen(path);
        snprintf(full, sizeof full, "%s%.*s", root, (int)n, path);
        if (!slash) return;
        if (mkdir(full, 0700) == 0) memcpy(made[made_count++], full, sizeof full);
    }
}

static void put(const char *path, const char *text)
{
    err e;
    char full[300] = {0};
    make_path(path);
    snprintf(full, sizeof full, "%s%s", root, path);
    if (access(full, F_OK) != 0) memcpy(made[made_count++], full, sizeof full);
    CHECK(file_write(full, text, strlen(text), &e) == ERR_OK);
}

static void check_limits(uint64_t cpu_milli, uint64_t memory_bytes)
{
    cgroup_limits l = {.cpu_milli = 7, .memory_bytes = 7};
    cgroup_limits_read(root, &l);
    CHECK_U64(l.cpu_milli, cpu_milli);
    CHECK_U64(l.memory_bytes, memory_bytes);
}

static void begin(void)
{
    made_count = 0;
    snprintf(root, sizeof root, "/tmp/proa_test_XXXXXX");
    CHECK(mkdtemp(root) != NULL);
}

static void end(void)
{
    while (made_count > 0) {
        const char *path = made[--made_count];
        if (unlink(path) != 0) (void)rmdir(path);
    }
    CHECK(rmdir(root) == 0);
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void version_2_takes_the_tightest_of_group_and_parents(void)
{
    begin();
    put("/proc/self/cgroup", "0::/kubepods/pod1/box\n");
    put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda rw\n" V2_MOUNT);
    check_limits(0, 0);
    put("/sys/fs/cgroup/kubepods/pod1/box/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/kubepods/pod1/box/memory.max", "max\n");
    check_limits(0, 0);
    put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/kubepods/memory.max", "1073741824\n");
    check_limits(1500, 1073741824);
    put("/sys/fs/cgroup/kubepods/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/kubepods/pod1/box/memory.max", "1000000\n");
    check_limits(1500, 1000000);
    end();
}

static void a_container_that_sees_itself_as_the_root_is_limited_by_the_mount_point(void)
{
    begin();
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    check_limits(500, 0);
    put("/proc/self/cgroup", "0::/../other\n");   /* as seen from within a cgroup namespace */
    check_limits(500, 0);
    end();
}

#define V1_MOUNTS(top)                                                                             \
    "31 30 0:27 " top " /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"   \
    "32 30 0:28 " top " /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n"            \
    "33 30 0:29 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset\n"

static void version_1_reads_quota_and_period(void)
{
    begin();
    put("/proc/self/cgroup", "11:cpuset:/set\n7:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n");
    put("/proc/self/mountinfo", V1_MOUNTS("/"));
    put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
    check_limits(0, 0);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "250000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
    check_limits(2500, 536870912);
    end();
}

static void version_1_in_a_container_takes_off_what_the_mount_hides(void)
{
    begin();
    put("/proc/self/cgroup", "7:memory:/docker/abc/inner\n4:cpu,cpuacct:/docker/abc/inner\n");
    put("/proc/self/mountinfo", V1_MOUNTS("/docker/abc"));
    put("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4096000\n");
    check_limits(3000, 4096000);
    /* Not below the mount: its top holds. */
    put("/proc/self/cgroup", "7:memory:/docker/abcd\n4:cpu,cpuacct:/elsewhere\n");
    check_limits(0, 4096000);
    end();
}

static void both_versions_at_once_are_both_read(void)
{
    begin();
    put("/proc/self/cgroup", "7:memory:/a\n4:cpu,cpuacct:/a\n0::/b\n");
    put("/proc/self/mountinfo", V1_MOUNTS("/") "40 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n");
    check_limits(2000, 0);
    end();
}

static void garbage_and_absence_limit_nothing(void)
{
    static const char *const mounts[] = {"", "\n", "30 23 0:26 / /sys/fs/cgroup", " - cgroup2",
                                         "a - cgroup b\n - cgroup", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n"};
    static const char *const groups[] = {"", "\n", "0", "0:", "0::", ":::\n::", "0:cpu"};
    static const char *const quotas[] = {"", "max", "x y", "0 0", "0 100000", "100000 0",
                                         "99999999999999999999 1", "1000"};
    begin();
    check_limits(0, 0);
    for (size_t i = 0; i < COUNTOF(mounts); i++) {
        put("/proc/self/mountinfo", mounts[i]);
        for (size_t j = 0; j < COUNTOF(groups); j++) {
            put("/proc/self/cgroup", groups[j]);
            check_limits(0, 0);
        }
    }
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "");
    for (size_t i = 0; i < COUNTOF(quotas); i++) {
        put("/sys/fs/cgroup/cpu.max", quotas[i]);
        check_limits(0, 0);
    }
    put("/sys/fs/cgroup/cpu.max", "1 100000");   /* less than a thousandth still counts as a limit */
    check_limits(1, 0);
    end();
}

static void this_machine_has_at_least_one_cpu(void)
{
    CHECK(cgroup_cpus() >= 1);
    sys_fake_script((sys_fault[]){{SYS_open, .times = SYS_FAKE_EVER, .result = -EACCES},
                                  {SYS_cpus, .times = SYS_FAKE_EVER, .result = -EPERM}}, 2);
    CHECK_U64(cgroup_cpus(), 1);
    sys_fake_script((sys_fault[]){{SYS_open, .times = SYS_FAKE_EVER, .result = -EACCES},
                                  {SYS_cpus, .times = SYS_FAKE_EVER, .result = 96}}, 2);
    CHECK_U64(cgroup_cpus(), 96);   /* no quota to be seen */
    sys_fake_script(NULL, 0);
}

static void reading_survives_every_failed_allocation_and_system_call(void)
{
    begin();
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    FAULT_SWEEP({
        cgroup_limits l;
        cgroup_limits_read(root, &l);
        CHECK(l.cpu_milli == 500 || l.cpu_milli == 0);
    });
    SYS_SWEEP(-EIO, {
        cgroup_limits l;
        cgroup_limits_read(root, &l);
        CHECK(l.cpu_milli == 500 || l.cpu_milli == 0);
    });
    end();
}

int main(void)
{
    static const test_case cases[] = {
        TEST(version_2_takes_the_tightest_of_group_and_parents),
        TEST(a_container_that_sees_itself_as_the_root_is_limited_by_the_mount_point),
        TEST(version_1_reads_quota_and_period),
        TEST(version_1_in_a_container_takes_off_what_the_mount_hides),
        TEST(both_versions_at_once_are_both_read),
        TEST(garbage_and_absence_limit_nothing),
        TEST(this_machine_has_at_least_one_cpu),
        TEST(reading_survives_every_failed_allocation_and_system_call),
    };
    return test_main(cases, COUNTOF(cases));
}
