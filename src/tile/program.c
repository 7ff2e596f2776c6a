/* Making tile programs. */
#include <math.h>

#include "tile/tile.h"

tw_graph *tw_tile_program_create(const char *name)
{
    tw_graph *g = tw_graph_create(&tw_tile_table);
    if (g && !(g->name = tw_arena_text(g->arena, "%s", name))) {
        tw_graph_destroy(g);
        return NULL;
    }
    return g;
}

tw_value *tw_tile_pointer(tw_graph *g, int index, tw_dtype dtype)
{
    return tw_t_arg(g, index, dtype, true);
}

tw_value *tw_tile_scalar(tw_graph *g, int index, tw_dtype dtype)
{
    return tw_t_arg(g, index, dtype, false);
}

tw_value *tw_tile_like(tw_graph *g, const tw_value *x, double value)
{
    return x ? tw_t_constant(g, value, isfinite(value) ? (int64_t)value : 0, (tw_dtype)x->type.dtype) : NULL;
}
