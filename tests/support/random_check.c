/* Inputs, comparison and shrinking for random graphs. */
#include <math.h>

#include "ops/build.h"
#include "support/random_graph.h"

enum { MOST_INPUTS = 64, MOST_OUTPUTS = 8 };

/* ---- comparison ---- */

/* The coarsest floating dtype that any value of the graph is rounded to. */
static double coarsest(const tw_graph *g)
{
    double unit = 0;
    tw_for_each_op (op, g->body)
        if (op->results && tw_dtype_floating((tw_dtype)op->result[0].type.dtype) && op->code != TW_G_INPUT)
            unit = TW_MAX(unit, tw_ulp(1, (tw_dtype)op->result[0].type.dtype));
    return unit;
}

static double largest_magnitude(const tw_array *a)
{
    double most = 0;
    for (int64_t e = 0; tw_dtype_floating(a->dtype) && e < tw_array_count(a); e++) {
        double v = fabs(tw_dtype_load(a->dtype, (const char *)a->data + (size_t)e * tw_dtype_size(a->dtype)));
        most = isfinite(v) ? TW_MAX(most, v) : most;
    }
    return most;
}

/* How far rounding of every operation moved the reference's own result: the scale of what another order of sums may do.
 */
static double sensitivity(const tw_array *rounded, const tw_array *exact)
{
    double most = 0;
    for (int64_t e = 0; tw_dtype_floating(rounded->dtype) && e < tw_array_count(rounded); e++) {
        double d = fabs(
            tw_dtype_load(rounded->dtype, (const char *)rounded->data + (size_t)e * tw_dtype_size(rounded->dtype)) -
            ((const double *)exact->data)[e]);
        most = isfinite(d) ? TW_MAX(most, d) : most;
    }
    return most;
}

/* Partial sums may be much larger than the result: the largest value seen anywhere, bounded, scales the allowance too.
 */
static double allowance(const tw_graph *g, const tw_array *want, const tw_array *exact)
{
    enum { STEPS = 64 };
    return 16 * sensitivity(want, exact) + STEPS * coarsest(g) * TW_MAX(largest_magnitude(want), 1.0);
}

/* Inputs moved by a few units in the last place, and of the smallest number: what they do to the result, any order of
 * summation may do. */
static bool moved_inputs(const tw_array *in, int n, tw_array *moved)
{
    enum { ULPS = 8 };
    random_source r = {77};
    for (int i = 0; i < n; i++) {
        size_t size = tw_dtype_size(in[i].dtype);
        if (tw_array_create(in[i].dtype, in[i].rank, in[i].shape, &moved[i]) != TW_OK)
            return false;
        memcpy(moved[i].data, in[i].data, (size_t)tw_array_count(&in[i]) * size);
        for (int64_t e = 0; tw_dtype_floating(in[i].dtype) && e < tw_array_count(&in[i]); e++) {
            double x = tw_dtype_load(in[i].dtype, (const char *)in[i].data + (size_t)e * size);
            double by = random_below(&r, 2) ? ULPS : -ULPS;
            x = x * (1 + by * tw_ulp(1, in[i].dtype)) + by * tw_ulp(0, in[i].dtype);
            tw_dtype_store(in[i].dtype, (char *)moved[i].data + (size_t)e * size, x);
        }
    }
    return true;
}

static double sensitivity_to_inputs(const tw_graph *g, const tw_array *in, int n, int m, int which,
                                    const tw_array *want)
{
    tw_array moved[MOST_INPUTS] = {0}, out[MOST_OUTPUTS] = {0};
    double most = 0;
    if (moved_inputs(in, n, moved) && tw_reference_evaluate(g, TW_REFERENCE_EXACT, NULL, moved, n, out, m) == TW_OK)
        most = sensitivity(want, &out[which]);
    for (int i = 0; i < MOST_INPUTS; i++)
        tw_array_free(&moved[i]);
    for (int i = 0; i < MOST_OUTPUTS; i++)
        tw_array_free(&out[i]);
    return most;
}

static void free_all(tw_array *a, int n)
{
    for (int i = 0; i < n; i++)
        tw_array_free(&a[i]);
}

static bool agrees(const tw_graph *g, graph_runner *run, const tw_array *in, int n, int m, tw_text *report)
{
    tw_array want[MOST_OUTPUTS] = {0}, exact[MOST_OUTPUTS] = {0}, got[MOST_OUTPUTS] = {0};
    bool fine = true;
    if (tw_reference_run(g, NULL, in, n, want, m) != TW_OK ||
        tw_reference_evaluate(g, TW_REFERENCE_EXACT, NULL, in, n, exact, m) != TW_OK) {
        free_all(want, m);
        return true;
    }
    tw_error_clear();
    if (run(g, in, n, got, m) != TW_OK) {
        if (report)
            tw_text_add(report, "fails: %s", tw_error_message());
        fine = false;
    }
    for (int i = 0; i < m && fine; i++) {
        if (report)
            tw_text_add(report, "output %d: ", i);
        double allowed = allowance(g, &want[i], &exact[i]);
        fine = tw_array_compare(&got[i], &want[i], 4, allowed, NULL);
        if (!fine) { /* a graph that magnifies: a sine of large numbers, a difference of large sums */
            allowed += sensitivity_to_inputs(g, in, n, m, i, &want[i]);
            fine = tw_array_compare(&got[i], &want[i], 4, allowed, report);
        }
    }
    free_all(want, m);
    free_all(exact, m);
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
