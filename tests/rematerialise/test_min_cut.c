/* Minimum cuts against all cuts, on small random networks; and the prices of rematerialisation on a step whose best
 * choice is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ops/graph_ops.h"
#include "rematerialise/min_cut.h"
#include "rematerialise/rematerialise.h"

static int checks;
static uint64_t state = 1;

static int below(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

enum { MOST_NODES = 9, MOST_EDGES = 40 };

typedef struct small_network {
    int nodes, edges, from[MOST_EDGES], to[MOST_EDGES];
    int64_t capacity[MOST_EDGES];
} small_network;

static int64_t capacity_of(const small_network *n, unsigned sink_side)
{
    int64_t sum = 0;
    for (int i = 0; i < n->edges; i++)
        sum += !(sink_side >> n->from[i] & 1) && sink_side >> n->to[i] & 1 ? n->capacity[i] : 0;
    return sum;
}

static void cuts_are_minimal(void **unused)
{
    (void)unused;
    for (int round = 0; round < 2000; round++) {
        small_network n = {.nodes = 2 + below(MOST_NODES - 1), .edges = below(MOST_EDGES)};
        tw_arena *arena = tw_arena_create(0);
        tw_network *network = tw_network_create(arena, n.nodes);
        for (int i = 0; i < n.edges; i++) {
            n.from[i] = below(n.nodes);
            n.to[i] = below(n.nodes);
            n.capacity[i] = below(10);
            assert_true(tw_network_edge(network, n.from[i], n.to[i], n.capacity[i]));
        }
        bool side[MOST_NODES];
        int64_t found, best = INT64_MAX;
        unsigned mine = 0;
        assert_int_equal(tw_network_cut(network, side, &found), TW_OK);
        for (int i = 0; i < n.nodes; i++)
            mine |= (unsigned)side[i] << i;
        for (unsigned cut = 0; cut < 1u << n.nodes; cut++)
            if (!(cut & 1) && cut & 2)
                best = TW_MIN(best, capacity_of(&n, cut));
        assert_false(side[0]);
        assert_true(side[1]);
        assert_int_equal(found, best);
        assert_int_equal(capacity_of(&n, mine), best);
        for (unsigned cut = 0; cut < 1u << n.nodes; cut++) /* of all minimal ones, its sink side is in each */
            if (!(cut & 1) && cut & 2 && capacity_of(&n, cut) == best)
                assert_int_equal(mine & ~cut, 0);
        tw_arena_destroy(arena);
        checks++;
    }
}

/* x -> dot -> 6 cheap steps of two operations, each needed again behind the middle, which is the first
 * multiplication: the product has to be kept, the steps and that multiplication are computed again; at a price of
 * nothing the product too, at a high price nothing. */
static tw_graph *chain(void)
{
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_value *x = tw_graph_input(g, tw_type_make(TW_F32, 2, (tw_dim[]){256, 256}));
    tw_value *v[7] = {tw_g_dot(g, x, x)}, *late;
    for (int i = 1; i < 7; i++)
        v[i] = tw_g_neg(g, tw_g_abs(g, v[i - 1]));
    tw_value *early = tw_g_sum(g, v[6], 2, (int64_t[]){0, 1}, false);
    late = v[6];
    for (int i = 6; i >= 0; i--)
        late = tw_g_mul(g, late, v[i]);
    assert_non_null(tw_g_output(g, 2, (tw_value *[]){late, early}));
    return g;
}

static void prices_decide(void **unused)
{
    (void)unused;
    static const struct {
        double price;
        int operations;
        bool product;
    } wanted[] = {{0, 14, true}, {0.05, 13, false}, {1e9, 0, false}};
    for (size_t i = 0; i < TW_COUNT(wanted); i++) {
        tw_graph *g = chain();
        tw_rematerialised done;
        bool changed;
        int products = 0;
        assert_int_equal(tw_rematerialise(&g, wanted[i].price, &done, &changed), TW_OK);
        assert_int_equal(tw_graph_verify(g), TW_OK);
        tw_for_each_op (op, g->body)
            products += op->code == TW_G_DOT;
        assert_int_equal(done.operations, wanted[i].operations);
        assert_int_equal(products, 1 + wanted[i].product);
        assert_int_equal(changed, wanted[i].operations > 0);
        tw_graph_destroy(g);
        checks++;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuts_are_minimal), cmocka_unit_test(prices_decide)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
