/* Tile programs: making them, and the elementary functions as tile operations. Every function passes NULL on. */
#ifndef TW_TILE_H
#define TW_TILE_H

#include "tile/tile_ops.h"

tw_graph *tw_tile_program_create(const char *name);
tw_value *tw_tile_pointer(tw_graph *g, int index, tw_dtype dtype); /* arguments, in order, before anything else */
tw_value *tw_tile_scalar(tw_graph *g, int index, tw_dtype dtype);

/* A scalar of x's dtype. */
tw_value *tw_tile_like(tw_graph *g, const tw_value *x, double value);

/* ---- elementary functions: math.c ---- of f32 and f64 tiles; f16 and bf16 are computed in f32 and rounded once.
 * Largest error in ULP of f32 (measured, tests/tile): exp 1, exp2 1, expm1 2, log 1, log2 2, log1p 2, sin 1, cos 1, tan
 * 3, asin 3, acos 3, atan 3, tanh 2, erf 1, rsqrt 1, pow 2, atan2 4. NaN, infinities and subnormal numbers as IEEE 754
 * and C99 have them. */
typedef tw_value *tw_tile_function(tw_graph *g, tw_value *x);
tw_tile_function tw_tile_exp, tw_tile_exp2, tw_tile_expm1, tw_tile_log, tw_tile_log2, tw_tile_log1p, tw_tile_sin,
    tw_tile_cos, tw_tile_tan, tw_tile_asin, tw_tile_acos, tw_tile_atan, tw_tile_tanh, tw_tile_erf, tw_tile_rsqrt,
    tw_tile_sign;
tw_value *tw_tile_pow(tw_graph *g, tw_value *x, tw_value *y);
tw_value *tw_tile_atan2(tw_graph *g, tw_value *y, tw_value *x);

/* ---- random numbers: philox.c ---- Philox4x32-10 (Salmon et al., SC11). The i32 words of the i64 tile `element`; key
 * and counter are i64 scalars. */
tw_value *tw_tile_philox_bits(tw_graph *g, tw_value *key, tw_value *counter, int64_t stream, tw_value *element);

/* ---- one program for many sizes: generalise.c ---- `a` may be general already; `b` has numbers only */
/* Equal for programs that differ in sizes and constants only. */
tw_status tw_tile_skeleton(const tw_graph *program, tw_hash *hash);
/* The least general program that both are instances of; NULL: there is none (or no memory). */
tw_graph *tw_tile_generalise(const tw_graph *a, const tw_graph *b);
/* Is `b` an instance of `general`? Then word[k] is what its symbol k stands for (room for all of its symbols). */
bool tw_tile_match(const tw_graph *general, const tw_graph *b, int64_t *word);

#endif
