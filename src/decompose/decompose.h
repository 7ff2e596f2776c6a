/* Composites become primitives; broadcasting and promotion become explicit. See README.md. */
#ifndef TW_DECOMPOSE_H
#define TW_DECOMPOSE_H

#include "ir/ir.h"

/* Appends what `op` is made of at the graph's insertion point; returns the value that stands for its result. */
typedef tw_value *tw_decomposition(tw_graph *g, const tw_op *op);
extern tw_decomposition *const tw_decompositions[]; /* by code; generated; NULL: a primitive */

/* After it: primitives only; element-wise operands of one dtype, and of the result's shape or rank 0; reductions along
 * one axis each. */
tw_status tw_pass_decompose(tw_graph **g, bool *changed);

/* One level: the value that replaces a composite's result, of the declared dtype and shape; NULL: an error, or op is a
 * primitive. */
tw_value *tw_decompose_op(tw_graph *g, const tw_op *op);

#endif
