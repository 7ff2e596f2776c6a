/* Derivatives as graph -> graph rules, and reverse mode over a graph. See README.md. */
#ifndef TW_AUTOGRAD_H
#define TW_AUTOGRAD_H

#include "ir/ir.h"

/* Appends to g what computes the gradients of op's operands: gradients[i], of the operand's shape and dtype, for each
 * bit i of `needed` (NULL where op is not differentiable in it). op gives code and attributes and may belong to another
 * graph; the rest are values of g. */
tw_status tw_derive(tw_graph *g, const tw_op *op, tw_value *const *operand, tw_value *result, tw_value *grad,
                    uint32_t needed, tw_value **gradients);
/* Two contributions to one gradient, added up; parts of a tensor that do not overlap are put side by side instead.
 * NULL: error. */
tw_value *tw_derive_accumulate(tw_graph *g, tw_value *sum, tw_value *more);
bool tw_derive_reads_operand(int code, uint32_t i);
bool tw_derive_reads_result(int code);
bool tw_derive_possible(int code);

/* Appends the gradients of `loss` (times grad; NULL: ones) with respect to wrt[]; grads[i] is NULL where loss doesn't
 * depend on it. */
tw_status tw_autograd_graph(tw_graph *g, tw_value *loss, tw_value *grad, tw_value *const *wrt, int count,
                            tw_value **grads);

#endif
