/* Primitive graph in, the same graph in canonical form out: see README.md. */
#ifndef TW_SIMPLIFY_H
#define TW_SIMPLIFY_H

#include "ir/ir.h"

/* in:  primitives in strict form, as tw_pass_decompose leaves them
 * out: views composed, constants folded, equal values shared, dead ones gone; every reduction takes [A, R, B] along
 * axis 1 without keepdim and gives [A, B]; long ones are split by their shape alone. Results keep every bit, but for
 * the order of split sums and products. */
tw_status tw_pass_simplify(tw_graph **g, bool *changed);

#endif
