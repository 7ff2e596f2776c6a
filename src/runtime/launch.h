/* Launching one tile program on plain memory: what `tw tile run` and tilewright/kernel.h stand on. */
#ifndef TW_LAUNCH_H
#define TW_LAUNCH_H

#include "codegen/codegen.h"

typedef struct tw_launcher tw_launcher;

typedef struct tw_launch_options {
    bool general;                                /* one compilation for all arguments: nothing is specialised */
    void (*print)(void *user, const char *line); /* device_print; on any thread, one call at a time; NULL: dropped */
    void *user;
} tw_launch_options;

/* Copies the program. Compiles nothing yet. */
tw_status tw_launcher_create(const tw_graph *program, const tw_launch_options *options, tw_launcher **launcher);
void tw_launcher_destroy(tw_launcher *l);

/* Runs all programs of the grid and returns when they are done. word[i]: argument i of the program, an address or a
 * scalar's bits. Arrays of different arguments must be apart or begin at the same address. Thread-safe.
 * failed: NULL, or which of the program's prints and asserts ended the launch goes there (see tw_tile_statements). */
tw_status tw_launcher_run(tw_launcher *l, const int64_t *grid, const int64_t *word, int64_t *failed);
tw_status tw_launcher_prepare(tw_launcher *l, const int64_t *word); /* compiles what these arguments need */
int tw_launcher_variants(const tw_launcher *l);                     /* compiled so far */

#endif
