/* What bench_startup compares `proa --version` with: the least that a C program can do. */
#include <stdio.h>

int main(void)
{
    puts("trivial");
    return 0;
}
