/* The table is complete for every ISA, the choice follows the CPU, and PROA_CPU only ever forces it down. */
#include "tensor/kernel.h"
#include "test.h"

static void every_table_is_complete(void)
{
    for (size_t i = 0; i < kernel_isa_count(); i++) {
        const kernel_set *k = &kernel_isa_at(i)->set;
#define X(name, ret, args, on_avx2, on_avx512) CHECK(k->name != NULL);
        KERNEL_LIST(X)
#undef X
    }
    CHECK_STR(kernel_isa_at(0)->name, "scalar");
    CHECK_U64(kernel_isa_at(0)->needs, 0);
}

static void a_mask_forces_the_reference(void)
{
    CHECK_STR(kernel_select(UINT32_MAX, 0)->name, "scalar");
    CHECK_STR(kernel_select(0, UINT32_MAX)->name, "scalar");
    CHECK_STR(kernel_select(CPU_AVX2, UINT32_MAX)->name, "scalar");          /* needs FMA and F16C too */
    CHECK_STR(kernel_select(UINT32_MAX, UINT32_MAX)->name, kernel_isa_at(kernel_isa_count() - 1)->name);
}

static void a_name_forces_down_and_a_wrong_name_is_refused(void)
{
    err e = {0};
    CHECK(kernel_active() == kernel_select(cpu_detect(), UINT32_MAX));
    CHECK(kernel_init("scalar", &e) == ERR_OK);
    CHECK_STR(kernel_active()->name, "scalar");
    CHECK(kernel_init("sse9", &e) == ERR_INVALID);
    CHECK(strncmp(e.text, "expected one of scalar", 22) == 0 && strstr(e.text, "got 'sse9'"));
    CHECK_STR(kernel_active()->name, "scalar");
    CHECK(kernel_init("", &e) == ERR_OK && kernel_init(NULL, &e) == ERR_OK);
    CHECK(kernel_active() == kernel_select(cpu_detect(), UINT32_MAX));
    const kernel_isa *last = kernel_isa_at(kernel_isa_count() - 1);
    CHECK(kernel_init(last->name, &e) == ERR_OK);
    CHECK((kernel_active()->needs & ~cpu_detect()) == 0);                    /* never more than the CPU has */
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_table_is_complete), TEST(a_mask_forces_the_reference),
        TEST(a_name_forces_down_and_a_wrong_name_is_refused)};
    return test_main(cases, COUNTOF(cases));
}
