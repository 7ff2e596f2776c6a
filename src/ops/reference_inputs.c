/* Random inputs for any graph: `tw run` and the random tests give the same ones to the same seed. */
#include <math.h>

#include "ops/reference.h"

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int64_t below(uint64_t *state, int64_t n)
{
    return (int64_t)(next(state) % (uint64_t)n);
}

static double random_value(uint64_t *state, tw_dtype dtype)
{
    static const double special[] = {0, -0.0, 1, -1, 0x1p-140, 65504};
    int64_t kind = below(state, 1000);
    if (!tw_dtype_floating(dtype))
        return dtype == TW_BOOL ? (double)below(state, 2)
               : dtype == TW_U8 ? (double)below(state, 256)
                                : (double)below(state, 201) - 100;
    if (kind < 10)
        return special[below(state, (int64_t)TW_COUNT(special))];
    return ((double)below(state, 1 << 24) / (1 << 23) - 1) * 2;
}

static void fill(tw_array *a, uint64_t seed)
{
    static const double wild[] = {INFINITY, -INFINITY, NAN};
    enum { ONE_ARRAY_IN = 20 };
    uint64_t state = seed;
    size_t size = tw_dtype_size(a->dtype);
    int64_t count = tw_array_count(a);
    bool special = tw_dtype_floating(a->dtype) && below(&state, ONE_ARRAY_IN) == 0;
    for (int64_t e = 0; e < count; e++)
        tw_dtype_store(a->dtype, (char *)a->data + (size_t)e * size, random_value(&state, a->dtype));
    for (size_t n = 0; special && n < TW_COUNT(wild) && count; n++)
        tw_dtype_store(a->dtype, (char *)a->data + (size_t)below(&state, count) * size, wild[n]);
}

int tw_reference_inputs(const tw_graph *g, uint64_t seed, tw_array *inputs, int room)
{
    int n = 0;
    for (const tw_op *op = g->body->first; op && op->code == g->table->input; op = op->next) {
        const tw_type *t = &op->result[0].type;
        for (int i = 0; i < t->rank; i++)
            if (!tw_dim_constant(t->dims[i]))
                return -1;
        if (n == room || tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &inputs[n]) != TW_OK)
            return -1;
        fill(&inputs[n], seed * 1000003 + (uint64_t)n);
        n++;
    }
    return n;
}
