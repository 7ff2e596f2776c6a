/* Rematerialisation: values that would wait in memory across the fullest point of a graph are computed again behind it
 * where that costs less.
 *
 * in: a simplified primitive graph, operations in the order in which they were recorded (a training step: forward,
 * backward, update). out: for each value that is computed again, a copy of its operation in front of its first user
 * behind the cut; operands that were kept are read through `after`, so that no scheduler hurries the copy.
 *
 * The choice is a minimum cut (README.md). After T. Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016)
 * for the idea, and the min-cut partitioner of PyTorch's AOTAutograd for the formulation; the price on recomputation,
 * which makes one cut weigh both sides, is ours. */
#include "rematerialise/rematerialise.h"

#include "ops/build.h"
#include "rematerialise/min_cut.h"

const double tw_rematerialise_price = 0.05;

typedef struct value_facts {
    const tw_op *op;
    int place, last; /* of its operation; of its last user, views included */
    int64_t count, bytes;
    bool output;    /* of the graph: kept anyway */
    bool again;     /* chosen to be computed again */
    tw_value *made; /* the copy */
} value_facts;

typedef struct remat {
    tw_graph *g;
    tw_arena *arena;
    value_facts *facts; /* by value id */
    uint32_t values;
    int places, cut; /* operations with place <= cut come before it */
    double price;
    tw_value *when; /* for the current user: what copies wait for; NULL: nothing */
    tw_rematerialised done;
} remat;

static value_facts *facts_of(const remat *r, const tw_value *v)
{
    return &r->facts[v->id];
}

static bool is_free(const tw_op *op) /* nothing is stored for it: read where it is used */
{
    return op->info->class == TW_CLASS_CREATION;
}

static bool is_view(const tw_op *op)
{
    return op->info->class == TW_CLASS_VIEW && op->code != TW_G_PAD;
}

/* ---- facts ---- */

static bool count_of(const tw_value *v, int64_t *count)
{
    *count = 1;
    for (int i = 0; i < v->type.rank; i++) {
        if (!tw_dim_constant(v->type.dims[i]))
            return false;
        *count *= v->type.dims[i];
    }
    return true;
}

static bool find_facts(remat *r)
{
    tw_for_each_op (op, r->g->body) {
        int place = r->places++;
        for (uint32_t i = 0; i < op->operands; i++) {
            if (!op->operand[i])
                continue;
            facts_of(r, op->operand[i])->last = place;
            facts_of(r, op->operand[i])->output |= op->code == TW_G_OUTPUT;
        }
        for (uint32_t i = 0; i < op->results; i++) {
            value_facts *f = facts_of(r, &op->result[i]);
            *f = (value_facts){.op = op, .place = place, .last = place};
            if (!count_of(&op->result[i], &f->count))
                return false;
            f->bytes = f->count * (int64_t)tw_dtype_size((tw_dtype)op->result[i].type.dtype);
        }
    }
    for (tw_op *op = r->g->body->last; op; op = op->prev) { /* what a view needs lives as long as the view */
        if (!op->results || !is_view(op))
            continue;
        value_facts *base = facts_of(r, op->operand[0]);
        base->last = TW_MAX(base->last, facts_of(r, &op->result[0])->last);
    }
    return true;
}

/* After which operation do most bytes wait? */
static bool find_cut(remat *r)
{
    int64_t *change = tw_arena_zero(r->arena, (size_t)r->places + 1, sizeof *change), live = 0, most = 0;
    if (!change)
        return false;
    for (uint32_t i = 0; i < r->values; i++) {
        const value_facts *f = &r->facts[i];
        if (!f->op || f->op->code == TW_G_INPUT || is_view(f->op) || is_free(f->op) || f->output)
            continue;
        change[f->place] += f->bytes;
        change[f->last] -= f->bytes;
    }
    for (int p = 0; p < r->places; p++) {
        live += change[p];
        if (live >= most) { /* of equals the last */
            most = live;
            r->cut = p;
        }
    }
    return true;
}

/* ---- the choice ---- */

enum { UNITS = 64 }; /* of capacity, a byte */

/* Operations on elements, one vector instruction counting as one. A kernel of its own costs something too. */
static int64_t work_of(const remat *r, const tw_op *op)
{
    enum { LAUNCH = 1 << 14 };
    const value_facts *f = facts_of(r, &op->result[0]);
    switch (op->info->class) {
    case TW_CLASS_POINTWISE:
    case TW_CLASS_GATHER:
    case TW_CLASS_JOIN:
    case TW_CLASS_CREATION:
        return op->info->cost * f->count;
    case TW_CLASS_VIEW:
        return op->code == TW_G_PAD ? f->count : 0;
    case TW_CLASS_CONTRACTION:
        return LAUNCH + f->count * op->operand[0]->type.dims[op->operand[0]->type.rank - 1];
    case TW_CLASS_REDUCTION:
    case TW_CLASS_SCAN:
        return LAUNCH + facts_of(r, op->operand[0])->count;
    default:
        return LAUNCH + 8 * f->count;
    }
}

static bool kept_anyway(const value_facts *f)
{
    return f->op->code == TW_G_INPUT || f->output;
}

static int node_in(uint32_t id)
{
    return 2 + 2 * (int)id;
}

static int node_out(uint32_t id)
{
    return 3 + 2 * (int)id;
}

static bool add_value(const remat *r, tw_network *n, uint32_t id)
{
    const value_facts *f = &r->facts[id];
    const tw_op *op = f->op;
    if (kept_anyway(f))
        return true; /* no path goes through it */
    int64_t store = is_view(op) || is_free(op) ? TW_CAPACITY_INFINITE : f->bytes * UNITS;
    int64_t again = (int64_t)(r->price * UNITS * (double)work_of(r, op));
    bool fine = tw_network_edge(n, node_in(id), node_out(id), store) &&
                (again == 0 || tw_network_edge(n, 0, node_in(id), again));
    for (uint32_t i = 0; i < op->operands && fine; i++)
        if (op->operand[i])
            fine = tw_network_edge(n, node_out(op->operand[i]->id), node_in(id), TW_CAPACITY_INFINITE);
    return fine;
}

static bool add_late_uses(const remat *r, tw_network *n)
{
    tw_for_each_op (op, r->g->body) {
        if (op->code == TW_G_OUTPUT || (op->results && facts_of(r, &op->result[0])->place <= r->cut))
            continue;
        for (uint32_t i = 0; i < op->operands; i++) {
            const tw_value *v = op->operand[i];
            if (v && facts_of(r, v)->place <= r->cut && !tw_network_edge(n, node_out(v->id), 1, TW_CAPACITY_INFINITE))
                return false;
        }
    }
    return true;
}

static tw_status choose(remat *r)
{
    int nodes = 2 + 2 * (int)r->values;
    tw_network *n = tw_network_create(r->arena, nodes);
    bool *sink_side = tw_arena_zero(r->arena, (size_t)nodes, sizeof *sink_side), fine = n && sink_side;
    int64_t capacity;
    for (uint32_t i = 0; i < r->values && fine; i++)
        if (r->facts[i].op && r->facts[i].place <= r->cut)
            fine = add_value(r, n, i);
    if (!fine || !add_late_uses(r, n))
        return TW_ERR_MEMORY;
    TW_TRY(tw_network_cut(n, sink_side, &capacity));
    for (uint32_t i = 0; i < r->values; i++) {
        value_facts *f = &r->facts[i];
        f->again = f->op && f->place <= r->cut && !kept_anyway(f) && !is_free(f->op) && sink_side[node_in(i)];
    }
    return TW_OK;
}

/* ---- copies ---- */

/* What the copies for `user` wait for: the latest of its operands from behind the cut, else the operation before it. */
static tw_value *what_to_wait_for(const remat *r, const tw_op *user)
{
    tw_value *latest = NULL;
    for (uint32_t i = 0; i < user->operands; i++) {
        tw_value *v = user->operand[i];
        if (v && v->id < r->values && facts_of(r, v)->place > r->cut &&
            (!latest || facts_of(r, v)->place > facts_of(r, latest)->place))
            latest = v;
    }
    for (tw_op *op = user->prev; op && !latest; op = op->prev) {
        if (!op->results || op->result[0].id >= r->values)
            continue;
        if (facts_of(r, &op->result[0])->place <= r->cut)
            break;
        if (!is_free(op))
            latest = &op->result[0];
    }
    return latest;
}

static tw_value *waiting(remat *r, tw_value *kept)
{
    return r->when && !is_free(kept->def) ? tw_g_after(r->g, kept, r->when) : kept;
}

/* The operations to copy for `v`, operands first: a walk with a list of its own, for chains are long. */
static tw_value *copy_of(remat *r, tw_value *v, tw_value **map)
{
    tw_vec(tw_value *) stack = {0};
    bool fine = tw_vec_push(&stack, v);
    while (fine && stack.count) {
        tw_value *top = stack.data[stack.count - 1];
        value_facts *f = facts_of(r, top);
        size_t before = stack.count;
        for (uint32_t i = 0; i < f->op->operands && fine && !f->made; i++) {
            tw_value *o = f->op->operand[i];
            if (o && facts_of(r, o)->again && !facts_of(r, o)->made)
                fine = tw_vec_push(&stack, o);
        }
        if (stack.count > before || !fine)
            continue;
        stack.count--;
        if (f->made)
            continue;
        for (uint32_t i = 0; i < f->op->operands && fine; i++) {
            tw_value *o = f->op->operand[i];
            if (o)
                fine = (map[o->id] = facts_of(r, o)->again ? facts_of(r, o)->made : waiting(r, o)) != NULL;
        }
        tw_op *copy = fine ? tw_graph_clone_op(r->g, r->g, f->op, map) : NULL;
        fine = copy != NULL;
        if (!fine)
            break;
        f->made = &copy->result[0];
        r->done.operations++;
        r->done.element_operations += work_of(r, f->op);
    }
    tw_vec_free(&stack);
    return fine ? facts_of(r, v)->made : NULL;
}

static tw_status redirect(remat *r)
{
    tw_value **map = tw_arena_zero(r->arena, r->values + 1, sizeof *map);
    if (!map)
        return TW_ERR_MEMORY;
    tw_for_each_op (op, r->g->body) {
        if (op->code == TW_G_OUTPUT || !op->results || op->result[0].id >= r->values ||
            facts_of(r, &op->result[0])->place <= r->cut)
            continue;
        r->when = NULL;
        for (uint32_t i = 0; i < op->operands; i++) {
            tw_value *v = op->operand[i];
            if (!v || v->id >= r->values || !facts_of(r, v)->again)
                continue;
            if (!r->when)
                r->when = what_to_wait_for(r, op);
            tw_graph_insert_before(r->g, op);
            if (!(op->operand[i] = copy_of(r, v, map)))
                return tw_error_code() ? tw_error_code() : TW_ERR_MEMORY;
        }
    }
    tw_graph_insert_at_end(r->g, r->g->body);
    return TW_OK;
}

/* ---- the pass ---- */

static tw_status begin(remat *r, const tw_graph *g, double price, bool *known_sizes)
{
    *r = (remat){.g = (tw_graph *)(uintptr_t)g, .arena = tw_arena_create(1 << 18), .values = g->values, .price = price};
    r->facts = r->arena ? tw_arena_zero(r->arena, r->values + 1, sizeof *r->facts) : NULL;
    if (!r->facts)
        return TW_ERR_MEMORY;
    *known_sizes = find_facts(r); /* where one isn't known nothing can be weighed */
    return TW_OK;
}

static bool goes_with_operand(const tw_op *op)
{
    return op->code == TW_G_RESHAPE || op->code == TW_G_SLICE || op->code == TW_G_EXPAND || op->code == TW_G_PERMUTE;
}

static tw_status set_choice(remat *r, const tw_remat_choice *choice)
{
    int n = 0;
    for (const tw_op *op = r->g->body->first; op; op = op->next) {
        bool view = goes_with_operand(op);
        if (!view && n == choice->operations)
            return tw_error(TW_ERR_INTERNAL, "rematerialise: a choice for %d operations, the graph has more", n);
        value_facts *f = op->results ? facts_of(r, &op->result[0]) : NULL;
        if (f)
            f->again = view ? facts_of(r, op->operand[0])->again : choice->again[n];
        if (!view && n == choice->cut && f)
            r->cut = f->place;
        n += !view;
    }
    for (uint32_t i = 0; i < r->values; i++) /* a view behind the cut is no copy of anything */
        r->facts[i].again &= r->facts[i].place <= r->cut;
    for (uint32_t i = 0; i < r->values; i++)
        if (r->facts[i].again && r->facts[i].last > r->cut && !is_view(r->facts[i].op))
            r->done.bytes_less += r->facts[i].bytes;
    return TW_OK;
}

tw_status tw_rematerialise_choose(const tw_graph *g, double price, tw_remat_choice *choice)
{
    remat r;
    bool known_sizes = false;
    *choice = (tw_remat_choice){0};
    tw_status status = begin(&r, g, price, &known_sizes);
    if (status == TW_OK && known_sizes)
        status = find_cut(&r) ? choose(&r) : TW_ERR_MEMORY;
    if (status == TW_OK && !(choice->again = tw_alloc_zero((size_t)r.places + 1, sizeof *choice->again)))
        status = TW_ERR_MEMORY;
    for (const tw_op *op = g->body->first; op && status == TW_OK; op = op->next) {
        if (goes_with_operand(op))
            continue;
        bool before = op->results && facts_of(&r, &op->result[0])->place <= r.cut;
        choice->cut = before ? choice->operations : choice->cut;
        choice->again[choice->operations++] = op->results && facts_of(&r, &op->result[0])->again;
    }
    tw_arena_destroy(r.arena);
    return status;
}

tw_status tw_rematerialise_apply(tw_graph **g, const tw_remat_choice *choice, tw_rematerialised *done, bool *changed)
{
    remat r;
    bool known_sizes = false, dead;
    *changed = false;
    tw_status status = begin(&r, *g, 0, &known_sizes);
    if (status == TW_OK && known_sizes)
        status = set_choice(&r, choice);
    if (status == TW_OK && known_sizes)
        status = redirect(&r);
    *changed = r.done.operations > 0;
    if (status == TW_OK && *changed)
        status = tw_pass_dce(g, &dead);
    tw_arena_destroy(r.arena);
    if (done)
        *done = r.done;
    return status;
}

tw_status tw_rematerialise(tw_graph **g, double price, tw_rematerialised *done, bool *changed)
{
    tw_remat_choice choice;
    *changed = false;
    tw_status status = tw_rematerialise_choose(*g, price, &choice);
    if (status == TW_OK)
        status = tw_rematerialise_apply(g, &choice, done, changed);
    tw_free(choice.again);
    return status;
}

tw_status tw_pass_rematerialise(tw_graph **g, bool *changed)
{
    return tw_rematerialise(g, tw_rematerialise_price, NULL, changed);
}
