/* main.c - the program's commands in one table; everything else lives behind them. */
#include "base/version.h"
#include "cli/cmd.h"
#include "os/console.h"

#include <string.h>

static const cmd rows[] = {
    {"serve", "[options] NAME=PATH ...", "serve models over HTTP", cmd_serve},
    {"infer", "ADDRESS MODEL --input NAME=VALUE ...", "ask a server for one inference", cmd_infer},
    {"top", "ADDRESS", "show a server's rates and latencies, live", cmd_top},
    {"model", "...", "inspect, run and measure models", cmd_model},
    {"key", "[--name NAME] [MODEL ...]", "make an API key for proa serve", cmd_key},
};

int main(int argc, char **argv)
{
    err e;
    if (console_hold(&e)) return cmd_fail("proa", &e);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) return cmd_show("proa", "proa " PROA_VERSION "\n");
    return cmd_dispatch(rows, COUNTOF(rows), "proa", argc - 1, argv + 1);
}
