/* Tensors: strided arrays that record what is done with them and compute it when somebody looks.
 *
 * Views (tw_slice, tw_permute, tw_transpose, tw_select, tw_expand, tw_reshape where strides allow ...) share their
 * base's memory: what changes one in place changes all, and gradients know. A tensor is used by one thread at a time.
 *
 * Ownership: a tensor that a function returns belongs to the innermost open scope (TW_SCOPE) of the calling thread and
 * dies with it. tw_keep makes it survive until tw_release (scopes count a reference, keep adds one); tw_yield moves it
 * to the enclosing scope. Outside any scope a returned tensor belongs to the thread's root scope, freed by
 * tw_scope_end_all or at thread exit.
 *
 * Errors: a call that fails returns a tensor that carries the error (never NULL, also when memory is exhausted). It may
 * be passed on: operations on it return it. tw_tensor_status tells; tw_error_message has the text of the thread's last
 * error. */
#ifndef TILEWRIGHT_TENSOR_H
#define TILEWRIGHT_TENSOR_H

#include "tilewright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_tensor tw_tensor;

/* ---- errors ---- */
TW_API tw_status tw_tensor_status(const tw_tensor *t);
TW_API const char *tw_error_message(void);
TW_API void tw_error_clear(void);
/* For tilewright/places.h: where a call that failed stands, added to the message of the error. */
TW_API tw_tensor *tw_located(tw_tensor *t, const char *file, int line); /* returns t */
TW_API tw_status tw_located_status(tw_status status, const char *file, int line);

/* ---- scopes ---- */
typedef struct tw_scope {
    int depth;
    bool open;
} tw_scope;
TW_API tw_scope tw_scope_begin(void);
TW_API void tw_scope_end(tw_scope *scope);
#define TW_SCOPE TW_SCOPE_AT_(__LINE__)
#define TW_SCOPE_AT_(line) TW_SCOPE_NAMED_(line)
#define TW_SCOPE_NAMED_(line)                                                                                          \
    for (tw_scope tw_scope_##line __attribute__((cleanup(tw_scope_end))) = tw_scope_begin(); tw_scope_##line.open;     \
         tw_scope_##line.open = false)
TW_API tw_tensor *tw_keep(tw_tensor *t);  /* adds a reference: lives until tw_release; returns t */
TW_API void tw_release(tw_tensor *t);     /* NULL is fine */
TW_API tw_tensor *tw_yield(tw_tensor *t); /* moves t to the enclosing scope; returns t */

/* ---- making ---- shapes are lists: (int64_t[]){2, 3}, rank 2 ---- */
TW_API tw_tensor *tw_empty(int rank, const int64_t *shape, tw_dtype dtype);
TW_API tw_tensor *tw_zeros(int rank, const int64_t *shape, tw_dtype dtype);
TW_API tw_tensor *tw_ones(int rank, const int64_t *shape, tw_dtype dtype);
TW_API tw_tensor *tw_full_like_value(int rank, const int64_t *shape, double value, tw_dtype dtype);
TW_API tw_tensor *tw_scalar(double value, tw_dtype dtype); /* rank 0 */
TW_API tw_tensor *tw_arange(double start, double stop, double step, tw_dtype dtype);
TW_API tw_tensor *tw_from_data(const void *data, int rank, const int64_t *shape, tw_dtype dtype); /* copies */
/* No copy: the memory stays the caller's, is read and changed in place, and must live until free(user) is called, by
 * the last tensor that uses it (free may be NULL). strides in elements (NULL: row-major; may be negative); elements
 * must not overlap. */
TW_API tw_tensor *tw_from_memory(void *data, int rank, const int64_t *shape, const int64_t *strides, tw_dtype dtype,
                                 void (*free)(void *user), void *user);
TW_API tw_tensor *tw_rand(int rank, const int64_t *shape,
                          tw_dtype dtype); /* uniform in [0, 1) from the default generator */
TW_API tw_tensor *tw_randn(int rank, const int64_t *shape, tw_dtype dtype);
TW_API tw_tensor *tw_randint(int64_t low, int64_t high, int rank, const int64_t *shape, tw_dtype dtype);
TW_API tw_status tw_manual_seed(uint64_t seed);
TW_API tw_status tw_generator_get(int64_t state[2]); /* of the default generator: to go on from there another day */
TW_API tw_status tw_generator_set(const int64_t state[2]);
TW_API void tw_generator_forget(void); /* frees the default generator's state; the next use begins at seed 0 */
TW_API tw_tensor *
tw_generator_take(int64_t count); /* a generator state (i64[2]) for `count` numbers of dropout or rand_*; moves on */

/* ---- looking ---- */
TW_API int tw_rank(const tw_tensor *t);
TW_API int64_t tw_size(const tw_tensor *t,
                       int axis); /* negative axes count from the end; -1 and an error for a wrong one */
TW_API const int64_t *tw_shape(const tw_tensor *t);
TW_API int64_t tw_numel(const tw_tensor *t);
TW_API tw_dtype tw_tensor_dtype(const tw_tensor *t);
TW_API const int64_t *tw_strides(const tw_tensor *t); /* in elements */
TW_API bool tw_is_contiguous(const tw_tensor *t);     /* row-major */
TW_API bool tw_shares_memory(const tw_tensor *a,
                             const tw_tensor *b); /* aliases: a change of one may be seen in the other */
/* These compute what is pending (a graph break). Addresses are valid while t lives and isn't changed. */
TW_API double tw_item(tw_tensor *t);      /* of one element; NaN and an error otherwise */
TW_API const void *tw_data(tw_tensor *t); /* row-major elements (a strided view is packed); NULL on error */
TW_API const void *
tw_memory(tw_tensor *t); /* its first element, where it is: the others lie by tw_strides; NULL on error */
TW_API tw_status tw_copy_out(tw_tensor *t, void *to, size_t bytes); /* row-major */
TW_API tw_status tw_sync(void);
TW_API char *tw_print_text(tw_tensor *t); /* as PyTorch prints; free with tw_text_release; NULL on error */
TW_API void tw_text_release(char *text);
TW_API tw_status tw_print(tw_tensor *t);         /* to standard output */
TW_API void tw_scope_end_all(void);              /* ends all scopes of the thread and frees what they own */
TW_API int64_t tw_tensor_bytes(void);            /* that tensors hold now */
TW_API int64_t tw_tensor_peak_bytes(bool reset); /* the most they held since the last reset */
TW_API uint64_t tw_version(const tw_tensor *t);  /* counts changes in place, its own and its aliases' */

/* ---- copies and changes in place ---- in-place forms of operations (tw_add_, tw_exp_ ...) are in tilewright/ops.h; a
 * leaf that requires gradients changes only while gradients are off ---- */
TW_API tw_tensor *tw_clone(tw_tensor *t);                   /* a tensor of its own; gradients flow through */
TW_API tw_tensor *tw_contiguous(tw_tensor *t);              /* t if it is row-major, else a clone */
TW_API tw_status tw_assign(tw_tensor *t, tw_tensor *value); /* broadcast, cast to t's dtype: torch's copy_ */
TW_API tw_status tw_fill_(tw_tensor *t, double value);
TW_API tw_status tw_zero_(tw_tensor *t);

/* ---- autograd ---- */
TW_API tw_tensor *tw_requires_grad(tw_tensor *t, bool on); /* of a leaf; returns t */
TW_API bool tw_needs_grad(const tw_tensor *t);
TW_API tw_tensor *tw_detach(tw_tensor *t); /* the same memory without history */
TW_API tw_status tw_backward(
    tw_tensor *loss, tw_tensor *gradient); /* gradient NULL: 1, loss has one element; adds to each leaf's grad */
/* gradients of outputs (weighted by gradients[], NULL: ones) with respect to inputs; create_graph: may be
 * differentiated again */
TW_API tw_status tw_grad(int outputs, tw_tensor *const *output, tw_tensor *const *gradients, int inputs,
                         tw_tensor *const *input, tw_tensor **result, bool create_graph);
TW_API tw_tensor *tw_grad_of(const tw_tensor *leaf); /* NULL: none yet */
TW_API void tw_zero_grad(tw_tensor *leaf);           /* forgets it (set to none) */
TW_API bool tw_grad_enabled(void);
TW_API bool tw_set_grad_enabled(bool on); /* returns what it was */

/* ---- compile ---- fn records on its inputs and returns outputs; called once to capture, then replayed while inputs
 * match ---- */
typedef struct tw_function tw_function;
typedef tw_status tw_traceable(void *user, tw_tensor *const *inputs, int input_count, tw_tensor **outputs,
                               int output_count);
TW_API tw_function *tw_compile(tw_traceable *fn, void *user, int output_count); /* NULL: no memory */
TW_API tw_status tw_call(tw_function *f, tw_tensor *const *inputs, int input_count, tw_tensor **outputs);
TW_API void tw_function_destroy(tw_function *f);

#ifdef __cplusplus
}
#endif
#endif
