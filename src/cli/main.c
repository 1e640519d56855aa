#include <stdio.h>

int main(void)
{
    puts("proa");
    return 0;
}
