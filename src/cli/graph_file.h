/* Graphs that are written as text, and values to run them on: what tw run, tw opt and tw explain share. */
#ifndef TW_CLI_GRAPH_FILE_H
#define TW_CLI_GRAPH_FILE_H

#include "ops/reference.h"

enum { MOST_INPUTS = 256, MOST_OUTPUTS = 256 };

tw_status graph_file_read(const char *path, tw_graph **g); /* "-": standard input */

typedef struct graph_run {
    tw_graph *g; /* as it was read */
    tw_array in[MOST_INPUTS], out[MOST_OUTPUTS];
    int inputs, outputs;
} graph_run;

/* Reads a graph, fills its inputs (from the safetensors file `inputs`, where input0, input1 ... are, or at random when
 * it is NULL) and makes room for its outputs. */
tw_status graph_run_open(const char *path, const char *inputs, int64_t seed, graph_run **run);
tw_status graph_run_compute(graph_run *r); /* in the current tier */
void graph_run_close(graph_run *r);        /* NULL is fine */

#endif
