/* Index expressions: where an element of a value is found, as a function of a kernel's loop variables.
 *
 * An expression is constant + sum of coefficient * atom; an atom is a variable, a floor-division or remainder of an
 * expression by a constant, or an index that is itself read from memory (gather). Terms are kept in one order, and
 * these identities are applied as expressions are built, so that most chains of reshape and permute come out affine:
 *
 *     (c*q + r) / c = q + r/c           (c*q + r) % c = r % c          r/c = 0 and r%c = r for 0 <= r < c
 *     (c*q + r)/(c*d) = q/d            (c*q + r) % (c*d) = c*(q % d) + r     for 0 <= r < c
 *     (e/c)*c + e%c = e                 ((e/c)%d)*c + e%c = e % (c*d)      (e/c)/d = e/(c*d)
 */
#ifndef TW_SCHEDULE_INDEX_H
#define TW_SCHEDULE_INDEX_H

#include "ir/ir.h"

typedef struct tw_index tw_index;
typedef enum { TW_ATOM_VAR, TW_ATOM_DIV, TW_ATOM_MOD, TW_ATOM_READ } tw_atom_kind;

typedef struct tw_atom {
    tw_atom_kind kind;
    int var;                   /* VAR: its number */
    const tw_index *of;        /* DIV, MOD: the dividend */
    int64_t by;                /* DIV, MOD: the divisor > 0 */
    const tw_value *read;      /* READ: an integer value ... */
    const tw_index *const *at; /* ... at this index (one expression a dimension) */
    int64_t extent;            /* VAR, READ: 0 <= atom < extent */
} tw_atom;

typedef struct tw_term {
    int64_t coefficient;
    const tw_atom *atom;
} tw_term;

struct tw_index {
    int64_t constant;
    int terms;
    const tw_term *term;
    int64_t low, high; /* bounds of its value, inclusive */
    uint64_t hash;
};

/* All return NULL when memory is exhausted, and accept NULL operands (passing NULL on), so that chains need one check.
 */
const tw_index *tw_ix_constant(tw_arena *a, int64_t value);
const tw_index *tw_ix_var(tw_arena *a, int var, int64_t extent);
const tw_index *tw_ix_read(tw_arena *a, const tw_value *value, int rank, const tw_index *const *at, int64_t extent);
const tw_index *tw_ix_add(tw_arena *a, const tw_index *x, const tw_index *y);
const tw_index *tw_ix_scale(tw_arena *a, const tw_index *x, int64_t factor);
const tw_index *tw_ix_offset(tw_arena *a, const tw_index *x, int64_t constant);
const tw_index *tw_ix_div(tw_arena *a, const tw_index *x, int64_t by);
const tw_index *tw_ix_mod(tw_arena *a, const tw_index *x, int64_t by);
bool tw_ix_equal(const tw_index *x, const tw_index *y);

/* Replaces variables: by[var] where it isn't NULL. */
const tw_index *tw_ix_replace(tw_arena *a, const tw_index *x, const tw_index *const *by, int vars);

/* sum of at[i] * stride[i], and the reverse: the index of element `linear` of a row-major array of this shape. */
const tw_index *tw_ix_linear(tw_arena *a, int rank, const tw_index *const *at, const int64_t *stride);
void tw_ix_unravel(tw_arena *a, const tw_index *linear, int rank, const int64_t *shape, const tw_index **at);

/* The coefficient of a variable; *affine is set to false when the variable also stands inside an atom. */
int64_t tw_ix_coefficient(const tw_index *x, int var, bool *affine);
bool tw_ix_uses(const tw_index *x, int var);
void tw_ix_print(const tw_index *x, tw_text *out);

#endif
