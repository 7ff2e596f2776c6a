/* Changing tensors in place, and random numbers (whose generator state is a tensor that changes in place).
 *
 * In the graph nothing changes: the tensor's handle gets a new value, and the plan writes it over the old memory where
 * that is safe. */
#include "ops/build.h"
#include "tensor/internal.h"
#include "tilewright/ops.h"

static tw_status assign(tw_tensor *t, tw_value *v, const char *name)
{
    tw_graph *g = tw_segment_current()->g;
    tw_type type = tw_type_make(t->dtype, t->rank, t->shape);
    if (!v)
        return tw_error_code();
    if (t->node && tw_grad_enabled())
        return tw_error(TW_ERR_UNSUPPORTED, "%s: a tensor that has a history of gradients; detach it first", name);
    v = tw_g_expand_to(g, tw_g_as(g, v, t->dtype), &type);
    if (!v)
        return tw_error_code();
    tw_tensor_set_value(t, v);
    return t->status;
}

static tw_status check(tw_tensor *t, tw_tensor *value)
{
    if (t->status != TW_OK || value->status != TW_OK)
        return tw_error(t->status != TW_OK ? t->status : value->status, "in-place change: a tensor carries an error");
    return tw_tensor_value(t) && tw_tensor_value(value) ? TW_OK : tw_error_code();
}

tw_status tw_assign(tw_tensor *t, tw_tensor *value)
{
    TW_TRY(check(t, value));
    return assign(t, tw_tensor_value(value), "assign");
}

tw_status tw_add_(tw_tensor *t, tw_tensor *value)
{
    TW_TRY(check(t, value));
    return assign(t, tw_g_add(tw_segment_current()->g, tw_tensor_value(t), tw_tensor_value(value)), "add_");
}

tw_status tw_mul_(tw_tensor *t, tw_tensor *value)
{
    TW_TRY(check(t, value));
    return assign(t, tw_g_mul(tw_segment_current()->g, tw_tensor_value(t), tw_tensor_value(value)), "mul_");
}

tw_status tw_fill_(tw_tensor *t, double value)
{
    TW_TRY(check(t, t));
    return assign(t, tw_g_constant(tw_segment_current()->g, t->dtype, value), "fill_");
}

/* ---- the default generator ---- state: i64[2] = key, counter. Every use advances the counter by more blocks than it
 * took. */

static _Thread_local tw_tensor *generator;

tw_status tw_manual_seed(uint64_t seed)
{
    int64_t state[2] = {(int64_t)seed, 0}, two = 2;
    if (generator)
        return tw_sync() == TW_OK ? tw_assign(generator, tw_from_data(state, 1, &two, TW_I64)) : tw_error_code();
    tw_tensor *t = tw_from_data(state, 1, &two, TW_I64);
    if (t->status == TW_OK)
        generator = tw_keep(t);
    return t->status;
}

/* A copy of the state for one use; the generator itself moves on by the blocks that `count` numbers may take. */
tw_tensor *tw_generator_take(int64_t count)
{
    if (!generator && tw_manual_seed(0) != TW_OK)
        return tw_tensor_failed(tw_error_code());
    int64_t step[2] = {0, (count + 3) / 4 + 1}, two = 2;
    tw_tensor *state = tw_detach(generator);
    if (tw_add_(generator, tw_from_data(step, 1, &two, TW_I64)) != TW_OK)
        return tw_tensor_failed(tw_error_code());
    return state;
}

static int64_t count_of(int rank, const int64_t *shape)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

tw_tensor *tw_rand(int rank, const int64_t *shape, tw_dtype dtype)
{
    return tw_rand_uniform(tw_generator_take(count_of(rank, shape)), rank, shape, dtype, 0);
}

tw_tensor *tw_randn(int rank, const int64_t *shape, tw_dtype dtype)
{
    return tw_rand_normal(tw_generator_take(count_of(rank, shape)), rank, shape, dtype, 0);
}

tw_tensor *tw_randint(int64_t low, int64_t high, int rank, const int64_t *shape, tw_dtype dtype)
{
    return tw_rand_int(tw_generator_take(count_of(rank, shape)), low, high, rank, shape, dtype, 0);
}
