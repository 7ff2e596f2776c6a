/* tw: the command line. */
#include "cli/cli.h"

static const struct {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"train", "train a GPT on a text file", cmd_train},
    {"generate", "continue a text with a trained model", cmd_generate},
    {"run", "run a graph that is written as text", cmd_run},
    {"opt", "apply passes to a graph that is written as text", cmd_opt},
    {"tile", "parse, compile, run, check and step kernels of the tile language", cmd_tile},
    {"explain", "show what a step is compiled to, how long each part takes and why", cmd_explain},
    {"plan", "the best parallel plan of a model on a machine, and what it costs", cmd_plan},
    {"machine", "descriptions of chips, links and machines: list, show, check", cmd_machine},
    {"ops", "list the operations", cmd_ops},
    {"devices", "say what this machine offers", cmd_devices},
};

static void print_usage(FILE *to)
{
    fprintf(to, "usage: tw COMMAND [options]\n\ncommands:\n");
    for (size_t i = 0; i < TW_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(to, "\ntw COMMAND --help says more; tw --version\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("tw %s\n", TW_VERSION);
        return 0;
    }
    for (size_t i = 0; i < TW_COUNT(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "tw: unknown command '%s'; tw --help lists them\n", argv[1]);
    return 2;
}
