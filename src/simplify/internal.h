/* What the files of this folder share: predicates on values, and the tables of rules. */
#ifndef TW_SIMPLIFY_INTERNAL_H
#define TW_SIMPLIFY_INTERNAL_H

#include "ops/build.h"
#include "simplify/simplify.h"

typedef struct rule_table {
    const tw_rewrite_rule *rule;
    int count;
} rule_table;
extern const rule_table tw_simplify_algebra, tw_simplify_views, tw_simplify_reductions;

/* Rules that every element-wise operation obeys; the driver enters them once for each code. */
bool tw_simplify_fold(tw_graph *g, const tw_op *op, tw_value **replacement);
bool tw_simplify_scalar_operand(tw_graph *g, const tw_op *op, tw_value **replacement);
bool tw_simplify_before_expand(tw_graph *g, const tw_op *op, tw_value **replacement);

static inline const tw_op *made_by(const tw_value *v, int code)
{
    return v && v->def && v->def->code == code ? v->def : NULL;
}
static inline bool floating(const tw_value *v)
{
    return tw_dtype_floating((tw_dtype)v->type.dtype);
}
static inline bool same_shape(const tw_type *a, const tw_type *b)
{
    return a->rank == b->rank && (!a->rank || !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims));
}
/* Is every element of v this number? Zero is the zero of that sign. */
bool tw_simplify_is(const tw_value *v, double number);
/* A constant of v's type. */
tw_value *tw_simplify_full_like(tw_graph *g, const tw_value *v, double number);

#endif
