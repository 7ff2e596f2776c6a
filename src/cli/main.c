/* tw: the command line. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>

static const cli_command commands[] = {
    {"train", "train a GPT on a text file", cmd_train},
    {"generate", "continue a text with a trained model", cmd_generate},
    {"explain", "show what a step is compiled to, how long each part takes and why", cmd_explain},
    {"run", "run a graph that is written as text", cmd_run},
    {"opt", "apply passes to a graph that is written as text", cmd_opt},
    {"tile", "parse, compile, run, check and step kernels of the tile language", cmd_tile},
    {"plan", "the best parallel plan of a model on a machine, and what it costs", cmd_plan},
    {"machine", "descriptions of chips, links and machines: list, show, check", cmd_machine},
    {"ops", "list the operations", cmd_ops},
    {"devices", "say what this machine offers", cmd_devices},
};

static int run(int argc, char **argv)
{
    if (argc == 1 && !strcmp(argv[0], "--version")) {
        printf("tw %s\n", TW_VERSION);
        return 0;
    }
    if (argc == 1 && !strcmp(argv[0], "--man")) {
        manual_print(commands, TW_COUNT(commands));
        return 0;
    }
    return cli_dispatch("", commands, TW_COUNT(commands), "; tw --version; tw --man prints the man page", argc, argv);
}

int main(int argc, char **argv)
{
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* a file that grows over its limit is an error to report, not an end */
#endif
    int code = run(argc - 1, argv + 1);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "tw: cannot write to standard output: %s\n", strerror(errno));
    return code ? code : CLI_FAILED;
}
