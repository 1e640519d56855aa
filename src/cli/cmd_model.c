#include "cli/cmd.h"
#include "tensor/kernel.h"

#include <stdlib.h>

static const cmd rows[] = {
    {"inspect", "MODEL [--json]", "inputs, outputs, plan, cost and memory of a model", cmd_model_inspect},
    {"run", "MODEL --inputs FROM --outputs TO", "run a model once on files", cmd_model_run},
    {"bench", "MODEL --inputs FILE.npz", "measure how long a model takes", cmd_model_bench},
};

int cmd_model(int argc, char **argv)
{
    err e;
    if (kernel_init(getenv("PROA_CPU"), &e)) {
        err_wrap(&e, "PROA_CPU");
        return cmd_fail("proa model", &e);
    }
    return cmd_dispatch(rows, COUNTOF(rows), "proa model", argc, argv);
}
