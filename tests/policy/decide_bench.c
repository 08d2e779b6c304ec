#include <stdio.h>

#include "tools/bench_policy.h"

int main(void)
{
    return dom_policy_bench(stdout);
}
