#include "cli/cmd.h"

static const cmd rows[] = {
    {"run", "MODEL --inputs FROM --outputs TO", "run a model once on files", cmd_model_run},
};

int cmd_model(int argc, char **argv) { return cmd_dispatch(rows, COUNTOF(rows), "proa model", argc, argv); }
