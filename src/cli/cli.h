/* What the subcommands share: a table of options, from which parsing, --help and the man page are made. */
#ifndef TW_CLI_H
#define TW_CLI_H

#include "base/base.h"

/* Exit statuses, beside 0. */
enum { CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef enum { OPTION_INT, OPTION_FLOAT, OPTION_BYTES, OPTION_TEXT, OPTION_LIST, OPTION_FLAG } option_kind;
typedef struct text_list {
    const char *item[256];
    int count;
} text_list;
typedef struct option {
    const char *name, *argument, *help; /* "--steps", "N" */
    option_kind kind;
    void *to;         /* INT, BYTES: int64_t; FLOAT: double; TEXT: const char *; LIST: text_list; FLAG: bool */
    double low, high; /* INT, FLOAT, BYTES: allowed range, inclusive */
} option;

typedef struct command_line {
    const char *name, *about; /* "tile run"; whole sentences */
    const option *options;
    int count;
    const char *operand; /* what stands beside the options, "FILE"; NULL: nothing may */
    text_list *given;    /* where operands go; "-" is one */
    int least, most;
} command_line;

/* Fills in what was given. Returns false when the command should end with *code: after --help (0) or a wrong option
 * (CLI_USAGE, with one line said). */
bool cli_parse(const command_line *c, int argc, char **argv, int *code);
int cli_fail(const char *command); /* one line with the library's last error; returns CLI_FAILED */

void cli_print_arguments(const command_line *c); /* " [options] FILE..." */

/* The one of `names` that a mistyped text most likely means; NULL: none is near. */
const char *cli_nearest(const char *text, const char *const *names, int count);

/* The commands of tw, or of one of its commands that has some of its own. */
typedef struct cli_command {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} cli_command;
/* `group`: "", or "tile" for the commands of tw tile; `after`: said at the end of --help. */
int cli_dispatch(const char *group, const cli_command *commands, int count, const char *after, int argc, char **argv);

/* The man page, from the same tables: manual.c. */
void manual_print(const cli_command *commands, int count);
void manual_print_command(const command_line *c);
void manual_settings(FILE *to); /* environment variables, for tw --help */

int cmd_train(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_machine(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_opt(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_ops(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_tile(int argc, char **argv);

#endif
