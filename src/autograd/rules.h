/* Derivatives of single operations: what the generated table and the rules in C share. */
#ifndef TW_AUTOGRAD_RULES_H
#define TW_AUTOGRAD_RULES_H

#include "ops/graph_ops.h"

/* x: operands (a value that the rule doesn't read may only have its type); y: the result; grad: its gradient.
 * Sets out[i] for the operands of the bit mask `needed`, of any shape that broadcasting allows; false: error. */
typedef bool tw_derivative(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad,
                           uint32_t needed, tw_value **out);
typedef struct tw_derivative_row {
    tw_derivative *rule; /* NULL: not differentiable, or (composites) derived by decomposing */
    uint32_t reads;      /* operands whose values it reads, one bit each */
    bool reads_result;
} tw_derivative_row;
extern const tw_derivative_row tw_derivatives[];

#endif
