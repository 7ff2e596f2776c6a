/* Inputs, comparison and shrinking for random graphs. */
#include <math.h>

#include "ops/build.h"
#include "support/random_graph.h"

enum { MOST_INPUTS = 64, MOST_OUTPUTS = 8 };

/* ---- comparison ---- */

/* How much of what was compared could have been anything: a bound says nothing where it is infinite. */
static int64_t compared, unbounded;

static void count_bounds(const tw_array *bound)
{
    for (int64_t e = 0; e < tw_array_count(bound); e++)
        unbounded += isinf(((const double *)bound->data)[e]) != 0;
    compared += tw_array_count(bound);
}

double unbounded_share(void)
{
    return compared ? (double)unbounded / (double)compared : 0;
}

static void free_all(tw_array *a, int n)
{
    for (int i = 0; i < n; i++)
        tw_array_free(&a[i]);
}

/* Each element within what the promised errors of the operations allow: tw_reference_bounds. */
static bool agrees(const tw_graph *g, graph_runner *run, const tw_array *in, int n, int m, tw_text *report)
{
    tw_array want[MOST_OUTPUTS] = {0}, bound[MOST_OUTPUTS] = {0}, got[MOST_OUTPUTS] = {0};
    if (tw_reference_bounds(g, NULL, in, n, want, bound, m) != TW_OK)
        return true;
    tw_error_clear();
    bool fine = run(g, in, n, got, m) == TW_OK;
    if (!fine && report)
        tw_text_add(report, "fails: %s", tw_error_message());
    for (int i = 0; i < m && fine; i++) {
        if (report)
            tw_text_add(report, "output %d: ", i);
        fine = tw_array_within(&got[i], &want[i], &bound[i], report);
        count_bounds(&bound[i]);
    }
    free_all(want, m);
    free_all(bound, m);
    free_all(got, m);
    return fine;
}

bool runner_agrees(const tw_graph *g, graph_runner *run, uint64_t seed, tw_text *report)
{
    tw_array in[MOST_INPUTS] = {0};
    int n = tw_reference_inputs(g, seed, in, MOST_INPUTS), m = (int)g->body->last->operands;
    bool fine = n < 0 || m > MOST_OUTPUTS || agrees(g, run, in, n, m, report);
    free_all(in, n < 0 ? MOST_INPUTS : n);
    return fine;
}

/* ---- shrinking ---- */

typedef enum { DROP_OUTPUT, TO_INPUT, TO_OPERAND } change_kind;

typedef struct change {
    change_kind kind;
    uint32_t which; /* output, or the id of a value */
    uint32_t operand;
} change;

static tw_graph *without_dead_code(tw_graph *g)
{
    bool changed;
    if (g)
        tw_pass_dce(&g, &changed);
    return g;
}

static bool copy_output(tw_graph *to, const tw_op *op, const change *c, tw_value **map)
{
    tw_value *kept[MOST_OUTPUTS];
    int n = 0;
    for (uint32_t i = 0; i < op->operands; i++)
        if (c->kind != DROP_OUTPUT || c->which != i)
            kept[n++] = map[op->operand[i]->id];
    return n > 0 && tw_g_output(to, n, kept) != NULL;
}

/* A copy of g with one change; NULL where it can't be made. */
static tw_graph *changed_copy(const tw_graph *g, const change *c)
{
    tw_graph *to = tw_graph_create(g->table);
    tw_value **map = tw_alloc_zero(g->values + 1, sizeof *map);
    bool fine = to && map;
    tw_for_each_op (op, g->body) {
        bool chosen = fine && op->results && c->kind != DROP_OUTPUT && op->result[0].id == c->which;
        if (!fine)
            break;
        if (op->code == TW_G_OUTPUT)
            fine = copy_output(to, op, c, map);
        else if (chosen && c->kind == TO_INPUT)
            fine = op->code != TW_G_INPUT && (map[c->which] = tw_graph_input(to, op->result[0].type)) != NULL;
        else if (chosen)
            fine = c->operand < op->operands && tw_type_equal(&op->operand[c->operand]->type, &op->result[0].type) &&
                   (map[c->which] = map[op->operand[c->operand]->id]) != NULL;
        else
            fine = tw_graph_clone_op(to, g, op, map) != NULL;
    }
    tw_free(map);
    if (fine)
        return without_dead_code(to);
    tw_graph_destroy(to);
    return NULL;
}

static int size_of(const tw_graph *g)
{
    int n = 0;
    tw_for_each_op (op, g->body)
        n += op->code != TW_G_INPUT;
    return n;
}

/* Tries one change; on success *g is the smaller graph. */
static bool try_change(tw_graph **g, graph_runner *run, uint64_t seed, change c)
{
    tw_graph *smaller = changed_copy(*g, &c);
    bool better = smaller && (c.kind == DROP_OUTPUT || size_of(smaller) < size_of(*g)) &&
                  !runner_agrees(smaller, run, seed, NULL);
    if (better) {
        tw_graph_destroy(*g);
        *g = smaller;
    } else {
        tw_graph_destroy(smaller);
    }
    return better;
}

static bool shrink_once(tw_graph **g, graph_runner *run, uint64_t seed)
{
    for (uint32_t i = 0; i < (*g)->body->last->operands && (*g)->body->last->operands > 1; i++)
        if (try_change(g, run, seed, (change){DROP_OUTPUT, i, 0}))
            return true;
    for (const tw_op *op = (*g)->body->last; op; op = op->prev) {
        if (!op->results || op->code == TW_G_INPUT)
            continue;
        for (uint32_t i = 0; i < op->operands; i++)
            if (try_change(g, run, seed, (change){TO_OPERAND, op->result[0].id, i}))
                return true;
        if (try_change(g, run, seed, (change){TO_INPUT, op->result[0].id, 0}))
            return true;
    }
    return false;
}

tw_graph *shrink_graph(const tw_graph *g, graph_runner *run, uint64_t seed)
{
    enum { MOST_STEPS = 200 };
    tw_graph *smallest = without_dead_code(tw_graph_clone(g));
    for (int i = 0; smallest && i < MOST_STEPS && shrink_once(&smallest, run, seed); i++)
        ;
    return smallest;
}
