/* The man page tw.1, made from the tables of commands and options that tw itself reads. */
#include "cli/cli.h"

static const char *const settings[][2] = {
    {"TW_EAGER=1", "run each operation at its call, for debugging"},
    {"TW_CHECK=1",
     "run the reference evaluator beside every compiled kernel, and name the first operation that differs"},
    {"TW_EXACT=1", "the same bits compiled and operation by operation, without the few rewrites that change rounding"},
    {"TW_LOG=STAGES", "say what happens, on standard error: graph, decompose, simplify, fusion, tile, llvm, asm, plan, "
                      "guards, timing, cache, check; or all"},
    {"TW_THREADS=N", "threads that kernels run on (one a core)"},
    {"TW_MEMORY_BUDGET=BYTES", "compute again what doesn't fit"},
    {"TW_RECOMPILE_LIMIT=N", "how often one segment is compiled for new sizes (8)"},
    {"TW_CACHE=0", "keep no kernels on disk"},
    {"TW_CACHE_DIR=FOLDER", "where kernels are kept ($XDG_CACHE_HOME/tilewright, ~/.cache/tilewright)"},
};

static const char *const examples[][2] = {
    {"tw train --data book.txt --steps 1000 --checkpoint book.safetensors", "train, and keep the result"},
    {"tw train --data book.txt --resume book.safetensors --steps 2000 --checkpoint book.safetensors",
     "go on to step 2000"},
    {"tw train --data book.txt --compare --steps 200", "time, memory and losses, operation by operation and compiled"},
    {"tw generate --checkpoint book.safetensors --prompt \"Once \"", "let it write"},
    {"tw explain --html step.html", "look into the training step"},
};

void manual_settings(FILE *to)
{
    fprintf(to, "\nenvironment:\n");
    for (size_t i = 0; i < TW_COUNT(settings); i++)
        fprintf(to, "  %-24s %s\n", settings[i][0], settings[i][1]);
}

/* Text as troff takes it: hyphens that can be copied, no line that is taken for a request. */
static void put(const char *text)
{
    for (const char *at = text; *at; at++) {
        bool starts_line = at == text || at[-1] == '\n';
        if (starts_line && (*at == '.' || *at == '\''))
            fputs("\\&", stdout);
        if (*at == '-' || *at == '\\')
            putchar('\\');
        putchar(*at == '\\' ? 'e' : *at);
    }
}

static void put_bold(const char *text)
{
    fputs("\\fB", stdout);
    put(text);
    fputs("\\fR", stdout);
}

static void put_rows(const char *const (*rows)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputs(".TP\n", stdout);
        put_bold(rows[i][0]);
        putchar('\n');
        put(rows[i][1]);
        putchar('\n');
    }
}

void manual_print_command(const command_line *c)
{
    printf(".SS tw ");
    put(c->name);
    cli_print_arguments(c);
    putchar('\n');
    put(c->about);
    putchar('\n');
    for (int i = 0; i < c->count; i++) {
        const option *o = &c->options[i];
        fputs(".TP\n", stdout);
        put_bold(o->name);
        if (o->argument) {
            fputs(" \\fI", stdout);
            put(o->argument);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        put(o->help);
        putchar('\n');
    }
}

void manual_print(const cli_command *commands, int count)
{
    char *only[] = {(char[]){"--man"}, NULL};
    printf(".TH TW 1 \"\" \"Tilewright " TW_VERSION "\" \"User Commands\"\n"
           ".SH NAME\ntw \\- tensors that compile themselves: train, run, explain\n"
           ".SH SYNOPSIS\n.B tw\n\\fICOMMAND\\fR [options]\n.br\n.B tw\n\\fICOMMAND\\fR \\-\\-help\n"
           ".SH DESCRIPTION\nThe program of Tilewright, a machine\\-learning compiler stack in C.\n"
           ".SH COMMANDS\n");
    for (int i = 0; i < count; i++)
        commands[i].run(1, only);
    printf(".SH ENVIRONMENT\n");
    put_rows(settings, TW_COUNT(settings));
    printf(".SH EXIT STATUS\n.TP\n0\nit went well\n.TP\n1\nit failed; one line on standard error says why\n"
           ".TP\n2\na wrong option or command\n.TP\n130\nthe training was interrupted, and saved\n");
    printf(".SH EXAMPLES\n");
    put_rows(examples, TW_COUNT(examples));
}
