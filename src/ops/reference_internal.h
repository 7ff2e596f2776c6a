/* What the files of the reference evaluator share. */
#ifndef TW_OPS_REFERENCE_INTERNAL_H
#define TW_OPS_REFERENCE_INTERNAL_H

#include "ops/graph_ops.h"
#include "ops/reference.h"

/* A value being evaluated: floating elements as doubles, all others as 64-bit integers, row-major. */
typedef struct wide {
    tw_dtype dtype;
    int rank;
    int64_t shape[TW_MAX_RANK], count;
    double *f;  /* floating */
    int64_t *i; /* all others */
} wide;

/* One operation being evaluated. `y` has its shape and memory already. */
typedef struct step {
    const tw_graph *g;
    const tw_op *op;
    const int64_t *symbols;
    const wide *const *x;
    wide *y;
} step;

static inline int64_t evaluated(const step *s, tw_dim d)
{
    return tw_dim_constant(d) || !s->g->dims ? d : tw_dim_eval(s->g, d, s->symbols);
}
static inline bool is_floating(const wide *w)
{
    return tw_dtype_floating(w->dtype);
}

/* reference.c: memory, conversion, one operation (y is made here; tw_wide_free it) */
tw_status tw_wide_create(wide *w); /* zeroed; dtype, rank and shape are set */
void tw_wide_free(wide *w);
tw_status tw_wide_load_as(const tw_graph *g, const tw_type *type, tw_reference_mode mode, const int64_t *symbols,
                          const tw_array *a, int number, wide *w);
tw_status tw_wide_store(const wide *w, tw_reference_mode mode, tw_array *a);
tw_status tw_reference_evaluate_op(const tw_graph *g, const tw_op *op, tw_reference_mode mode, const int64_t *symbols,
                                   const wide *const *x, wide *y);

/* The nested loops around one axis: element (a, r, b) is at (a * r_size + r) * b_size + b. */
typedef struct axis_form {
    int64_t a, r, b;
} axis_form;
axis_form tw_reference_axis(const wide *x, int64_t axis);

tw_status tw_reference_pointwise(step *s);
tw_status tw_reference_create(step *s);
tw_status tw_reference_view(step *s);  /* views, cat, slice_update */
tw_status tw_reference_index(step *s); /* gathers and scatters */
tw_status tw_reference_reduce(step *s);
tw_status tw_reference_scan(step *s);
tw_status tw_reference_dot(step *s);

/* One operation whose operands may be off: what its result may be off by. */
typedef struct bounding {
    const step *s;          /* evaluated already */
    const double *const *e; /* by operand: how far each element may be off; NULL: it is exact */
    double *out;            /* the same for the result; zero at first */
} bounding;
bool tw_bounding_exact(const bounding *b);          /* no operand is off */
tw_status tw_bound_pointwise(const bounding *b);    /* reference_corners.c; extremes too */
tw_status tw_bound_move(const bounding *b);         /* reference_bounds.c: views, gathers, joins, what is written */
tw_status tw_bound_accumulation(const bounding *b); /* reference_running.c: sums, products, scans, scatters */
tw_status tw_bound_position(const bounding *b);     /* argmax, argmin */

int64_t tw_reference_wrap(tw_dtype dtype, int64_t value); /* to an integer dtype: the low bits; bool: value != 0 */
double tw_reference_round(tw_dtype dtype, double value);  /* to the nearest value of a floating dtype */
double tw_reference_from_integer(int64_t value); /* rounded to odd, so that the next rounding is the only one */

#endif
