#include "tensor/kernel.h"

#include "tensor/kernel_decl.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* A macro, not a const: the table's `needs` are constant expressions. */
#define NEEDS_AVX2 (CPU_AVX2 | CPU_FMA | CPU_F16C)

static const kernel_isa isas[] = {
#define X(name, ret, args, on_avx2, on_avx512) .name = name##_scalar,
    {.name = "scalar", .on = DEVICE_CPU, .needs = 0, .set = {KERNEL_LIST(X)}},
#undef X
#if defined(__x86_64__)
#define X(name, ret, args, on_avx2, on_avx512) .name = name##_##on_avx2,
    {.name = "avx2", .on = DEVICE_CPU, .needs = NEEDS_AVX2, .set = {KERNEL_LIST(X)}},
#undef X
#define X(name, ret, args, on_avx2, on_avx512) .name = name##_##on_avx512,
    {.name = "avx512", .on = DEVICE_CPU, .needs = NEEDS_AVX2 | CPU_AVX512, .set = {KERNEL_LIST(X)}},
#undef X
#endif
};

static const kernel_isa *_Atomic active;

#if defined(__x86_64__)
/* The compiler's own test covers the registers that the system must save; F16C it does not know (clang 14). */
uint32_t cpu_detect(void)
{
    uint32_t cpu = 0, a, b, c, d;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2"))
        return 0;
    cpu |= CPU_AVX2;
    if (__builtin_cpu_supports("fma"))
        cpu |= CPU_FMA;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C))
        cpu |= CPU_F16C;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        cpu |= CPU_AVX512;
    if ((cpu & CPU_AVX512) && __builtin_cpu_supports("avx512vnni"))
        cpu |= CPU_VNNI;
    if ((cpu & CPU_AVX512) && __builtin_cpu_supports("avx512bf16"))
        cpu |= CPU_BF16;
    return cpu;
}
#else
uint32_t cpu_detect(void)
{
    return 0;
}
#endif

size_t kernel_isa_count(void)
{
    return COUNTOF(isas);
}

const kernel_isa *kernel_isa_at(size_t i)
{
    INVARIANT(i < COUNTOF(isas));
    return &isas[i];
}

const kernel_isa *kernel_select(uint32_t cpu, uint32_t allow)
{
    const kernel_isa *best = &isas[0];
    for (size_t i = 1; i < COUNTOF(isas); i++)
        if ((isas[i].needs & ~(cpu & allow)) == 0)
            best = &isas[i];
    return best;
}

err_code kernel_init(const char *force, err *e)
{
    uint32_t allow = UINT32_MAX;
    if (force && *force) {
        const kernel_isa *named = NULL;
        char choices[64] = "";
        for (size_t i = 0; i < COUNTOF(isas); i++) {
            size_t at = strlen(choices);
            snprintf(choices + at, sizeof choices - at, "%s%s", i ? ", " : "", isas[i].name);
            if (strcmp(isas[i].name, force) == 0)
                named = &isas[i];
        }
        if (!named)
            return err_set(e, ERR_INVALID, "expected one of %s, got '%.40s'", choices, force);
        allow = named->needs;
    }
    atomic_store(&active, kernel_select(cpu_detect(), allow));
    return ERR_OK;
}

const kernel_isa *kernel_active(void)
{
    const kernel_isa *isa = atomic_load(&active);
    if (!isa) {
        isa = kernel_select(cpu_detect(), UINT32_MAX);
        atomic_store(&active, isa);
    }
    return isa;
}
