/* Probes of back ends that have none of their own, as tile programs: what these reach is a limit for all others. */
#include "codegen/codegen.h"
#include "tile/tile.h"

enum { ELEMENTS = 1024, ROUNDS = 64, STREAMED = 1024 };

static tw_value *number(tw_graph *g, int64_t value)
{
    return tw_t_constant(g, 0, value, TW_I64);
}

/* base + program * n + 0, 1, 2 ... n - 1: where a program's block is. */
static tw_value *block_at(tw_graph *g, tw_value *base, int64_t n)
{
    tw_value *first = tw_t_mul(g, tw_t_program_id(g, 0), number(g, n));
    tw_value *at = tw_t_add(g, tw_t_arange(g, 1, &n), first);
    return tw_t_add(g, tw_t_broadcast(g, base, 1, &n), at);
}

static tw_value *multiply_add(tw_graph *g, tw_value *x, tw_dtype dtype)
{
    if (tw_dtype_floating(dtype))
        return tw_t_fma(g, x, tw_tile_like(g, x, 0.5), tw_tile_like(g, x, 0.5));
    return tw_t_add(g, tw_t_mul(g, x, tw_tile_like(g, x, 5)), tw_tile_like(g, x, 3));
}

/* A tile that goes through a loop; its sum is stored, so that nothing of it is dead. */
static bool build_arithmetic(tw_graph *g, tw_dtype dtype)
{
    int64_t n = ELEMENTS;
    tw_value *out = tw_tile_pointer(g, 0, dtype);
    tw_value *start = tw_t_cast(g, tw_t_arange(g, 1, &n), dtype);
    tw_op *loop = tw_t_for(g, number(g, 0), number(g, ROUNDS), number(g, 1), 1, &start);
    if (!loop || !tw_block_add_arg(g, loop->region[0], tw_type_scalar(TW_I64)))
        return false;
    tw_value *carried = tw_block_add_arg(g, loop->region[0], start->type);
    if (!carried)
        return false;
    tw_graph_insert_at_end(g, loop->region[0]);
    tw_value *next = multiply_add(g, carried, dtype);
    if (!next || !tw_t_yield(g, 1, &next) || tw_op_finish(g, loop) != TW_OK)
        return false;
    tw_graph_insert_at_end(g, g->body);
    return tw_t_store(g, out, tw_t_reduce(g, &loop->result[0], 0, TW_T_REDUCE_MAX), NULL) != NULL;
}

static bool build_stream(tw_graph *g)
{
    tw_value *base[3], *at[3];
    for (int i = 0; i < 3; i++)
        base[i] = tw_tile_pointer(g, i, TW_F32);
    for (int i = 0; i < 3; i++)
        at[i] = block_at(g, base[i], STREAMED);
    tw_value *sum = tw_t_add(g, tw_t_load(g, at[0], NULL, NULL), tw_t_load(g, at[1], NULL, NULL));
    return tw_t_store(g, at[2], sum, NULL) != NULL;
}

tw_status tw_backend_probe(const tw_backend *backend, tw_probe_kind kind, tw_dtype dtype, tw_kernel **kernel,
                           int64_t *work)
{
    bool arithmetic = kind == TW_PROBE_ARITHMETIC;
    if (backend->probe)
        return backend->probe(kind, dtype, kernel, work);
    *work = arithmetic ? 2 * (int64_t)ELEMENTS * ROUNDS : 3 * (int64_t)STREAMED * (int64_t)tw_dtype_size(TW_F32);
    tw_graph *g = tw_tile_program_create("probe");
    tw_status status = g ? TW_OK : TW_ERR_MEMORY;
    tw_error_clear();
    if (status == TW_OK && !(arithmetic ? build_arithmetic(g, dtype) : build_stream(g)))
        status = tw_error_code() != TW_OK ? tw_error_code() : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = backend->compile(g, kernel);
    tw_graph_destroy(g);
    return status;
}
