/* Philox4x32-10 in tile operations: four words a block, ten rounds of two 32-bit products. */
#include "tile/tile.h"

static tw_value *u32(tw_graph *g, uint32_t value)
{
    return tw_t_constant(g, value, value, TW_U32);
}

static tw_value *i64(tw_graph *g, int64_t value)
{
    return tw_t_constant(g, (double)value, value, TW_I64);
}

static tw_value *low(tw_graph *g, tw_value *x)
{
    return x ? tw_t_cast(g, x, TW_U32) : NULL;
}

static tw_value *high(tw_graph *g, tw_value *x)
{
    return low(g, tw_t_shr(g, x, i64(g, 32)));
}

static tw_value *words_of_block(tw_graph *g, tw_value *key, tw_value *block, tw_value *block_high, tw_value *word)
{
    tw_value *c[4] = {low(g, block), high(g, block), low(g, block_high), high(g, block_high)};
    tw_value *k0 = low(g, key), *k1 = high(g, key);
    for (int round = 0; round < 10; round++) {
        tw_value *h0 = tw_t_mulhi(g, c[0], u32(g, 0xD2511F53)), *l0 = tw_t_mul(g, c[0], u32(g, 0xD2511F53));
        tw_value *h1 = tw_t_mulhi(g, c[2], u32(g, 0xCD9E8D57)), *l1 = tw_t_mul(g, c[2], u32(g, 0xCD9E8D57));
        c[0] = tw_t_xor(g, tw_t_xor(g, h1, c[1]), k0);
        c[2] = tw_t_xor(g, tw_t_xor(g, h0, c[3]), k1);
        c[1] = l1;
        c[3] = l0;
        k0 = tw_t_add(g, k0, u32(g, 0x9E3779B9));
        k1 = tw_t_add(g, k1, u32(g, 0xBB67AE85));
    }
    tw_value *odd = tw_t_compare(g, tw_t_and(g, word, u32(g, 1)), u32(g, 0), TW_T_COMPARE_NE);
    tw_value *upper = tw_t_compare(g, tw_t_and(g, word, u32(g, 2)), u32(g, 0), TW_T_COMPARE_NE);
    return tw_t_select(g, upper, tw_t_select(g, odd, c[3], c[2]), tw_t_select(g, odd, c[1], c[0]));
}

tw_value *tw_tile_philox_bits(tw_graph *g, tw_value *key, tw_value *counter, int64_t stream, tw_value *element)
{
    if (!key || !counter || !element)
        return NULL;
    tw_value *block =
        tw_t_add(g, tw_t_shr(g, element, i64(g, 2)), tw_t_add(g, counter, i64(g, (int64_t)((uint64_t)stream << 32))));
    tw_value *bits = words_of_block(g, key, block, i64(g, 0), low(g, element));
    return bits ? tw_t_bitcast(g, bits, TW_I32, false) : NULL;
}
