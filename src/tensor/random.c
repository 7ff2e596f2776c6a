/* Random numbers: a generator's state is a tensor, i64[2] = key, counter, that changes in place. Every use advances the
 * counter by more blocks than it took. */
#include "tensor/internal.h"
#include "tilewright/ops.h"

static _Thread_local tw_tensor *generator;

tw_status tw_generator_set(const int64_t state[2])
{
    int64_t two = 2;
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *t = tw_from_data(state, 1, &two, TW_I64);
        status = t->status;
        if (status == TW_OK && generator)
            status = tw_assign(generator, t);
        else if (status == TW_OK)
            generator = tw_keep(t);
    }
    return status;
}

tw_status tw_manual_seed(uint64_t seed)
{
    return tw_generator_set((int64_t[]){(int64_t)seed, 0});
}

tw_status tw_generator_get(int64_t state[2])
{
    if (!generator)
        TW_TRY(tw_manual_seed(0));
    return tw_copy_out(generator, state, 2 * sizeof *state);
}

void tw_generator_forget(void)
{
    tw_release(generator);
    generator = NULL;
}

/* A copy of the state for one use; the generator itself moves on by the blocks that `count` numbers may take. */
tw_tensor *tw_generator_take(int64_t count)
{
    if (!generator && tw_manual_seed(0) != TW_OK)
        return tw_tensor_failed(tw_error_code());
    int64_t step[2] = {0, (count + 3) / 4 + 1}, two = 2;
    tw_tensor *state = tw_clone(generator);
    tw_status status = TW_OK;
    TW_SCOPE {
        status = tw_add_(generator, tw_from_data(step, 1, &two, TW_I64));
    }
    return status == TW_OK ? state : tw_tensor_failed(status);
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
