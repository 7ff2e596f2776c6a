/* What the subcommands share: an option table, from which parsing and --help are made. */
#ifndef TW_CLI_H
#define TW_CLI_H

#include "base/base.h"

typedef enum { OPTION_INT, OPTION_FLOAT, OPTION_TEXT, OPTION_FLAG, OPTION_TEXTS } option_kind;

/* What an option that may be given many times gathers. */
enum { OPTION_TEXTS_MOST = 64 };
typedef struct option_texts {
    const char *text[OPTION_TEXTS_MOST];
    int count;
} option_texts;

typedef struct option {
    const char *name, *argument, *help; /* "--steps", "N" */
    option_kind kind;
    void *to;         /* int64_t, double, const char *, bool, option_texts */
    double low, high; /* INT, FLOAT: allowed range, inclusive */
} option;

/* Fills in what was given. Returns false when the command should end with *code: after --help (0) or a wrong option (2,
 * with one line said). */
bool cli_parse(const char *command, const char *about, const option *options, int count, int argc, char **argv,
               int *code);
/* The same for commands that take a file too ("-": standard input): the one argument that is no option. */
bool cli_parse_file(const char *command, const char *about, const option *options, int count, int argc, char **argv,
                    const char **file, int *code);
/* The same for commands that take `least` to `most` arguments that are no options; `names` is for the usage line. */
bool cli_parse_arguments(const char *command, const char *names, const char *about, const option *options, int count,
                         int argc, char **argv, const char **arguments, int least, int most, int *given, int *code);
/* The same where the file may be left out: *file is NULL then. */
bool cli_parse_optional_file(const char *command, const char *about, const option *options, int count, int argc,
                             char **argv, const char **file, int *code);
int cli_fail(const char *command); /* one line with the library's last error; returns 1 */

int cmd_train(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_opt(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_ops(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_machine(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_tile(int argc, char **argv);

#endif
