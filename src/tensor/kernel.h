/* kernel.h - SIMD kernels behind one table, chosen once at start-up.
 *
 * KERNEL_LIST is the only place a kernel is named: the struct, the per-ISA tables, the parity test and the
 * benchmark are all generated from it, so a kernel cannot exist without a test.  Each row has a scalar
 * reference that stays for ever; an ISA that has no version of its own inherits the one before it.
 * Rows are plain functions: no allocation, no globals, any n including 0, any alignment.
 * A row belongs to a device and a memory space; the CPU is the first.
 * PROA_CPU=scalar|avx2|avx512 forces the choice down (never up). */
#ifndef TENSOR_KERNEL_H
#define TENSOR_KERNEL_H
#include "base/err.h"
#include "tensor/kernel_list.h"
#include "tensor/tensor.h"

typedef struct {
#define X(name, ret, args, on_avx2, on_avx512) ret (*name) args;
    KERNEL_LIST(X)
#undef X
} kernel_set;

/* CPU_AVX512 stands for F, BW, VL and DQ together: every server CPU since Skylake-SP has all four. */
enum { CPU_AVX2 = 1 << 0, CPU_FMA = 1 << 1, CPU_F16C = 1 << 2, CPU_AVX512 = 1 << 3, CPU_VNNI = 1 << 4,
       CPU_BF16 = 1 << 5 };

typedef struct {
    const char *name;     /* what `proa model inspect` and /metrics print */
    device on;
    uint32_t needs;       /* CPU_* bits */
    kernel_set set;       /* complete: inherited rows are filled in */
} kernel_isa;

uint32_t cpu_detect(void);
size_t kernel_isa_count(void);
const kernel_isa *kernel_isa_at(size_t i);   /* worst first; [0] is the portable reference and needs nothing */
const kernel_isa *kernel_select(uint32_t cpu, uint32_t allow);   /* the best that cpu & allow can run */
/* Selects for this process: the CPU, held down by `force` (NULL or a name); ERR_INVALID names the choices. */
err_code kernel_init(const char *force, err *e) MUST_USE;
const kernel_isa *kernel_active(void);                   /* after kernel_init(); before it, the best of this CPU */

#endif
