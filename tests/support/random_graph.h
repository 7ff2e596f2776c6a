/* Random primitive graphs, inputs for them, a comparison that knows how wrong rounding may be, and a shrinker.
 * The same seed gives the same graph and inputs everywhere. */
#ifndef TW_TESTS_RANDOM_GRAPH_H
#define TW_TESTS_RANDOM_GRAPH_H

#include "ops/reference.h"

typedef struct random_source {
    uint64_t state;
} random_source;
uint64_t random_next(random_source *r);
int64_t random_below(random_source *r, int64_t n); /* 0 <= result < n */

/* Strict primitives, as decomposition leaves them; 1 to 3 outputs. A graph is built so that rounding can't be amplified
 * without bound: what is discontinuous (comparisons, floor, argmax, casts to integers) or badly conditioned (quotients,
 * logarithms, powers) is applied only to values that every correct evaluation gives to the last bit. NULL: no memory.
 */
tw_graph *random_graph(uint64_t seed);

/* Something that evaluates a graph. The outputs are allocated by it and freed by the caller. */
typedef tw_status graph_runner(const tw_graph *g, const tw_array *inputs, int n, tw_array *outputs, int m);

/* Runs `run` and the reference and compares. A failing run counts as a difference; a graph that the reference refuses
 * doesn't. */
bool runner_agrees(const tw_graph *g, graph_runner *run, uint64_t seed, tw_text *report);
double unbounded_share(void); /* of the elements compared so far: those that no bound could be given for */

/* The smallest graph that still disagrees, by dropping outputs, replacing values by inputs and results by operands. The
 * caller owns it. */
tw_graph *shrink_graph(const tw_graph *g, graph_runner *run, uint64_t seed);

#endif
