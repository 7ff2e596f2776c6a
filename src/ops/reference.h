/* The reference evaluator: what every primitive means, in plain C, independent of the compiler and slow on purpose.
 *
 * Floating values are computed in double and rounded once to their dtype where a primitive stores its result; integers
 * are exact in 64 bits and wrap when stored. In exact mode nothing floating is rounded between operations: finite
 * differences and error bounds need that. Corner cases that the primitives' rows leave open are decided here:
 *   cast        floating to integer truncates; NaN gives 0; beyond i64 and i32 the nearest; narrower keep the low bits
 *   idiv, fmod  of integers by zero give 0
 *   shifts      by the width or more (a negative count too): 0, or the sign for shift_right
 *   amax, amin  of nothing: the lowest or highest value; a NaN wins
 *   index       out of range (negative too): an error, TW_ERR_VALUE */
#ifndef TW_OPS_REFERENCE_H
#define TW_OPS_REFERENCE_H

#include "ir/ir.h"

/* A contiguous row-major array. */
typedef struct tw_array {
    tw_dtype dtype;
    int rank;
    int64_t shape[TW_MAX_RANK];
    void *data;
    size_t bytes; /* of data */
} tw_array;

tw_status tw_array_create(tw_dtype dtype, int rank, const int64_t *shape, tw_array *array); /* zeroed */
void tw_array_free(tw_array *array);
int64_t tw_array_count(const tw_array *array); /* elements */

typedef enum {
    TW_REFERENCE_ROUNDED, /* each primitive rounds its result to its dtype */
    TW_REFERENCE_EXACT /* floating values stay doubles: outputs are f64, floating inputs may be f64 whatever the graph
                          says */
} tw_reference_mode;

/* Evaluates a graph of primitives as tw_pass_decompose leaves it. symbols[i] is the size s<i> (NULL: the graph has
 * none). The outputs' data are allocated here; the caller frees them. After an error there are none. error:
 * TW_ERR_SHAPE, TW_ERR_DTYPE an input or output doesn't fit the graph; TW_ERR_VALUE an index is out of range;
 *        TW_ERR_UNSUPPORTED a composite; TW_ERR_MEMORY */
tw_status tw_reference_evaluate(const tw_graph *g, tw_reference_mode mode, const int64_t *symbols,
                                const tw_array *inputs, int n, tw_array *outputs, int m);
tw_status tw_reference_run(const tw_graph *g, const int64_t *symbols, const tw_array *inputs, int n, tw_array *outputs,
                           int m);

/* Random inputs for a graph, the same for the same seed everywhere; zeros of both signs, subnormals, now and then
 * infinities and NaN occur. `room` arrays fit; returns how many inputs there are, or -1 (too many, no memory, a size
 * that is not constant). */
int tw_reference_inputs(const tw_graph *g, uint64_t seed, tw_array *inputs, int room);

/* The same, and how far each element of a right result may be from it (f64, shapes of the outputs): the promised error
 * of elementary functions and the order of sums, carried through all that follows. Infinite where anything may come
 * out. outputs, bounds: the caller frees them. */
tw_status tw_reference_bounds(const tw_graph *g, const int64_t *symbols, const tw_array *inputs, int n,
                              tw_array *outputs, tw_array *bounds, int m);

/* One operation: an array for each operand. */
tw_status tw_reference_op(const tw_graph *g, const tw_op *op, const int64_t *symbols, const tw_array *operands,
                          tw_array *result);

/* One block of Philox4x32-10 (Salmon et al., SC 2011): four words from a 128-bit counter and a 64-bit key. */
void tw_reference_philox(uint64_t counter_low, uint64_t counter_high, uint64_t key, uint32_t out[4]);

/* The largest distance between a compiled primitive and the reference, in units in the last place of `dtype`.
 * Reductions, products and scans accumulate in another order or precision: for them it is the error of one step, to be
 * multiplied by the number of steps and taken at the largest partial result. */
double tw_reference_ulp(int code, tw_dtype dtype);

double tw_largest(tw_dtype dtype); /* the largest finite number */
/* One unit in the last place of `value` in a floating dtype; that of the smallest normal number below it. */
double tw_ulp(double value, tw_dtype dtype);

/* Is every element of `got` within `ulp` units (of got's dtype) or within abs_tol of `want`? NaN equals NaN; integers
 * must be equal. Otherwise `report` (may be NULL) names the first element that differs, and how many do. */
bool tw_array_compare(const tw_array *got, const tw_array *want, double ulp, double abs_tol, tw_text *report);
/* Is every element of `got` within its bound of `want`? */
bool tw_array_within(const tw_array *got, const tw_array *want, const tw_array *bound, tw_text *report);
bool tw_array_same_bits(const tw_array *got, const tw_array *want, tw_text *report); /* any NaN equals any NaN */

#endif
