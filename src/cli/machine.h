/* What the commands about machines share. */
#ifndef TW_CLI_MACHINE_H
#define TW_CLI_MACHINE_H

#include "cli/cli.h"
#include "machine/validate.h"

/* The descriptions that come with tw, then those of the files. NULL: an error was remembered. */
tw_library *cli_library(const text_list *with);
/* "chip.H100.tdp=700 W" each. */
tw_status cli_set(tw_library *l, const text_list *settings);

/* Parses a command line whose operands have names ("MODEL MACHINE"): `arguments` gets `least` to `most` of them. */
bool plan_arguments(const char *name, const char *operands, const char *about, const option *options, int count,
                    int argc, char **argv, const char **arguments, int least, int most, int *given, int *code);

int cmd_machine_calibrate(int argc, char **argv);
int cmd_plan_validate(int argc, char **argv);

#endif
