/* Families: segments that differ in sizes only. The first member is compiled for its sizes. When a second comes, the
 * dimensions that differ are found by laying the two primitive graphs side by side; plans are then laid out so that
 * sizes appear in the programs as numbers only (schedule.h, varies), and the programs of two sizes are merged into one
 * with symbols where the numbers differ (tile/generalise.c). From the third size on nothing is compiled: a plan is
 * made, and its programs are instances of kernels that are there.
 *
 * Where the structure itself depends on the sizes (a dimension of 1; a sum so long that it is split, or split with a
 * rest), a member doesn't fit beside the others, and founds a variant of its own, which grows in the same way.
 *
 * Nothing is assumed about how sizes behave: a plan is always made for the sizes at hand, and whether a kernel fits is
 * a comparison of programs. */
#include "capture/internal.h"
#include "ops/graph_ops.h"
#include "tile/tile.h"

typedef struct variant {
    struct variant *next;
    tw_remat_choice choice; /* what all of it compute again */
    tw_graph *reference;    /* the first member's primitives */
    uint8_t *varies; /* by value id of the reference: which dimensions have been seen to differ; see schedule.h */
    tw_map *general; /* programs, general as far as sizes have been seen; by structure and how many came before */
} variant;

enum { MOST_VARIANTS = 16 };

family *tw_family_create(const tw_graph *first, const tw_segment_io *io)
{
    family *f = tw_alloc_zero(1, sizeof *f);
    bool strided = false;
    if (!f)
        return NULL;
    for (int i = 0; i < io->inputs && io->stride; i++)
        strided = strided || io->stride[i];
    f->first = strided ? NULL : tw_graph_clone(first);
    if (f->first || strided)
        return f;
    tw_family_destroy(f);
    return NULL;
}

static void forget_programs(variant *v)
{
    size_t cursor = 0;
    tw_hash key;
    void *program;
    while (v->general && tw_map_next(v->general, &cursor, &key, &program))
        tw_graph_destroy(program);
    tw_map_destroy(v->general);
    v->general = NULL;
}

static void destroy_variant(variant *v)
{
    forget_programs(v);
    tw_graph_destroy(v->reference);
    tw_free(v->choice.again);
    tw_free(v->varies);
    tw_free(v);
}

void tw_family_destroy(family *f)
{
    if (!f)
        return;
    for (variant *v = f->variants, *next; v; v = next) {
        next = v->next;
        destroy_variant(v);
    }
    tw_graph_destroy(f->first);
    tw_free(f);
}

void tw_family_say_difference(const family *f, const tw_graph *g, char *reason, size_t room)
{
    const tw_op *a = f->first ? f->first->body->first : NULL, *b = g->body->first;
    snprintf(reason, room, "other sizes");
    for (int i = 0; a && b && a->code == TW_G_INPUT && b->code == TW_G_INPUT; i++, a = a->next, b = b->next)
        for (int d = 0; d < a->result[0].type.rank; d++)
            if (a->result[0].type.dims[d] != b->result[0].type.dims[d]) {
                snprintf(reason, room, "dimension %d of input %d is %lld, was %lld", d, i,
                         (long long)b->result[0].type.dims[d], (long long)a->result[0].type.dims[d]);
                return;
            }
}

/* ---- side by side ---- */

static bool same_attrs(const tw_op *a, const tw_op *b)
{
    for (int i = 0; i < a->info->attrs; i++) {
        tw_attr_kind kind = a->info->attr_info[i].kind;
        if (kind == TW_ATTR_DIMS) {
            if (a->attr[i].dims.n != b->attr[i].dims.n)
                return false;
        } else if (kind == TW_ATTR_INTS) {
            if (a->attr[i].dims.n != b->attr[i].dims.n ||
                (a->attr[i].dims.n &&
                 memcmp(a->attr[i].dims.v, b->attr[i].dims.v, (size_t)a->attr[i].dims.n * sizeof(tw_dim))))
                return false;
        } else if (a->code != TW_G_FULL &&
                   a->attr[i].i != b->attr[i].i) { /* a count of elements is a constant that differs */
            return false;
        }
    }
    return true;
}

/* Some sizes need a view where others don't: [b, t] rows of which t are added up are [n / 128, 128] already if t is
 * 128; a slice of everything is nothing. So a view that only one of two graphs has is passed over. */
static bool is_view(const tw_op *op)
{
    return op->code == TW_G_RESHAPE || op->code == TW_G_SLICE || op->code == TW_G_EXPAND || op->code == TW_G_PERMUTE;
}

static const tw_value *behind_views(const tw_value *v)
{
    while (v && is_view(v->def))
        v = v->def->operand[0];
    return v;
}

/* Two primitive graphs of one family, side by side. */
typedef struct pairing {
    const tw_graph *a, *b;
    const tw_value *
        *twin; /* by value id of b: the value of a that it corresponds to; NULL: a view that a doesn't have */
} pairing;

static bool same_operands(const pairing *p, const tw_op *x, const tw_op *y)
{
    for (uint32_t i = 0; i < x->operands; i++) {
        const tw_value *mine = behind_views(y->operand[i]);
        if (mine ? p->twin[mine->id] != behind_views(x->operand[i]) : x->operand[i] != NULL)
            return false;
    }
    return true;
}

static bool same_kinds(const tw_op *x, const tw_op *y)
{
    if (x->code != y->code || x->operands != y->operands || x->results != y->results || !same_attrs(x, y))
        return false;
    for (uint32_t i = 0; i < x->results; i++)
        if (x->result[i].type.dtype != y->result[i].type.dtype || x->result[i].type.rank != y->result[i].type.rank)
            return false;
    return true;
}

/* The same operations on the same values, but for sizes and views? */
static bool pair_up(pairing *p)
{
    const tw_op *x = p->a->body->first, *y = p->b->body->first;
    while (x && y) {
        if (same_kinds(x, y) && same_operands(p, x, y)) {
            for (uint32_t i = 0; i < x->results; i++)
                p->twin[y->result[i].id] = &x->result[i];
            x = x->next;
            y = y->next;
        } else if (is_view(y)) {
            y = y->next;
        } else if (is_view(x)) {
            x = x->next;
        } else {
            return false;
        }
    }
    return !x && !y;
}

/* Notes which dimensions differ; returns whether some do that never did before. */
static bool note_sizes(variant *v, const pairing *p)
{
    bool grown = false;
    tw_for_each_op (op, p->b->body) {
        for (uint32_t i = 0; i < op->results; i++) {
            const tw_value *twin = p->twin[op->result[i].id];
            for (int d = 0; twin && d < twin->type.rank; d++) {
                uint8_t bit = (uint8_t)((twin->type.dims[d] != op->result[i].type.dims[d]) << d);
                grown = grown || (bit & ~v->varies[twin->id]);
                v->varies[twin->id] |= bit;
            }
        }
    }
    return grown;
}

/* Runs of dimensions that hold the same elements before and after: if one varies, all behind it may. */
static uint8_t reshaped_varies(const tw_type *from, uint8_t varies, const tw_type *to)
{
    uint8_t result = 0;
    for (int i = 0, j = 0; j < to->rank;) {
        int64_t before = i < from->rank ? from->dims[i] : 1, after = to->dims[j];
        int i_end = TW_MIN(i + 1, from->rank), j_end = j + 1;
        while (before != after && (i_end < from->rank || j_end < to->rank)) {
            if ((before < after || j_end == to->rank) && i_end < from->rank)
                before *= from->dims[i_end++];
            else
                after *= to->dims[j_end++];
        }
        bool any = false;
        for (int d = i; d < i_end; d++)
            any = any || varies >> d & 1;
        for (int d = j; d < j_end; d++)
            result |= (uint8_t)(any << d);
        i = i_end;
        j = j_end;
    }
    return result;
}

/* Of a view that the reference doesn't have. */
static uint8_t viewed_varies(const tw_op *op, uint8_t varies)
{
    const tw_type *from = &op->operand[0]->type, *to = &op->result[0].type;
    int added = to->rank - from->rank;
    uint8_t result = 0;
    switch (op->code) {
    case TW_G_SLICE:
        return varies;
    case TW_G_PERMUTE:
        for (int i = 0; i < to->rank; i++)
            result |= (uint8_t)((varies >> op->attr[0].dims.v[i] & 1) << i);
        return result;
    case TW_G_EXPAND:
        for (int i = 0; i < to->rank; i++)
            result |= (uint8_t)((i < added || from->dims[i - added] != to->dims[i] || varies >> (i - added) & 1) << i);
        return result;
    default:
        return reshaped_varies(from, varies, to);
    }
}

/* What the scheduler wants: by result of every operation, in order. */
static uint8_t *spread_varies(const variant *v, const tw_graph *g, const tw_value *const *twin)
{
    int all = 0;
    uint8_t *by_result = tw_alloc_zero(g->values + 1, 1), *by_id = tw_alloc_zero(g->values + 1, 1);
    for (const tw_op *op = g->body->first; op && by_result && by_id; op = op->next) {
        for (uint32_t i = 0; i < op->results; i++) {
            uint32_t id = op->result[i].id;
            by_id[id] = twin[id] ? v->varies[twin[id]->id] : viewed_varies(op, by_id[op->operand[0]->id]);
            by_result[all++] = by_id[id];
        }
    }
    if (!by_id) {
        tw_free(by_result);
        by_result = NULL;
    }
    tw_free(by_id);
    return by_result;
}

static int operations_of(const tw_graph *g)
{
    int operations = 0;
    tw_for_each_op (op, g->body)
        operations += !is_view(op);
    return operations;
}

/* ---- programs ---- */

/* The key of kernel k: its structure, and how many of that structure stand before it in the plan. */
static tw_hash key_of(const tw_plan *plan, int k, const tw_hash *skeleton)
{
    uint64_t before = 0;
    for (int i = 0; i < k; i++)
        before += tw_hash_equal(skeleton[i], skeleton[k]);
    (void)plan;
    return tw_hash_u64(skeleton[k], before);
}

/* Launches of kernel k get the words of its symbols in front of their scalars. */
static tw_status prepend_words(tw_plan *plan, int k, const int64_t *word, int symbols)
{
    for (int l = 0; l < plan->launches; l++) {
        tw_plan_launch *launch = &plan->launch[l];
        if (launch->kernel != k)
            continue;
        tw_dim *scalar = tw_arena_alloc(plan->arena, (size_t)(symbols + launch->scalars + 1) * sizeof *scalar);
        if (!scalar)
            return TW_ERR_MEMORY;
        memcpy(scalar, word, (size_t)symbols * sizeof *scalar);
        if (launch->scalars)
            memcpy(scalar + symbols, launch->scalar, (size_t)launch->scalars * sizeof *scalar);
        launch->scalar = scalar;
        launch->scalars += symbols;
    }
    return TW_OK;
}

/* The variant's program for this key, which the plan's is an instance of. */
static tw_status share_program(variant *v, tw_plan *plan, int k, tw_hash key)
{
    enum { MOST_SYMBOLS = 64 };
    int64_t word[MOST_SYMBOLS];
    tw_graph *mine = plan->kernel[k].program, *general = tw_map_get(v->general, key);
    if (!general) {
        tw_graph *copy = tw_graph_clone(mine);
        if (copy && tw_map_put(v->general, key, copy))
            return TW_OK;
        tw_graph_destroy(copy);
        return TW_ERR_MEMORY;
    }
    if (tw_graph_symbols(general) > MOST_SYMBOLS)
        return TW_OK;
    if (!tw_tile_match(general, mine, word)) {
        tw_graph *wider = tw_tile_generalise(general, mine);
        if (!wider || tw_graph_symbols(wider) > MOST_SYMBOLS || !tw_tile_match(wider, mine, word)) {
            tw_graph_destroy(wider);
            tw_error_clear();
            return TW_OK; /* it keeps a kernel of its own */
        }
        if (!tw_map_put(v->general, key, wider)) {
            tw_graph_destroy(wider);
            return TW_ERR_MEMORY;
        }
        tw_graph_destroy(general);
        general = wider;
    }
    tw_graph *copy = tw_graph_clone(general);
    if (!copy)
        return TW_ERR_MEMORY;
    tw_graph_destroy(mine);
    plan->kernel[k].program = copy;
    TW_TRY(tw_graph_hash(copy, &plan->kernel[k].hash));
    return prepend_words(plan, k, word, tw_graph_symbols(general));
}

static tw_status share_programs(variant *v, tw_plan *plan)
{
    tw_hash *skeleton = tw_alloc((size_t)(plan->kernels + 1) * sizeof *skeleton);
    tw_status status = skeleton ? TW_OK : TW_ERR_MEMORY;
    for (int k = 0; k < plan->kernels && status == TW_OK; k++)
        status = tw_tile_skeleton(plan->kernel[k].program, &skeleton[k]);
    for (int k = 0; k < plan->kernels && status == TW_OK; k++)
        status = share_program(v, plan, k, key_of(plan, k, skeleton));
    tw_free(skeleton);
    return status;
}

static tw_status plan_shared(variant *v, const tw_graph *primitives, const tw_value *const *twin,
                             const tw_schedule_options *given, tw_plan **plan)
{
    tw_schedule_options options = *given;
    uint8_t *varies = spread_varies(v, primitives, twin);
    *plan = NULL;
    options.varies = varies;
    tw_status status = varies ? tw_schedule(primitives, &options, plan) : TW_ERR_MEMORY;
    tw_free(varies);
    if (status == TW_OK)
        status = share_programs(v, *plan);
    if (status != TW_OK) {
        tw_plan_destroy(*plan);
        *plan = NULL;
    }
    return status;
}

/* What was general for fewer dimensions is laid out differently: start again from the first member. */
static tw_status begin_again(variant *v, const tw_schedule_options *options)
{
    tw_plan *plan = NULL;
    pairing self = {v->reference, v->reference, tw_alloc_zero(v->reference->values + 1, sizeof *self.twin)};
    tw_map *general = tw_map_create();
    tw_status status = self.twin && general && pair_up(&self) ? TW_OK : TW_ERR_MEMORY;
    if (general) {
        forget_programs(v);
        v->general = general;
    }
    if (status == TW_OK)
        status = plan_shared(v, v->reference, self.twin, options, &plan);
    tw_plan_destroy(plan);
    tw_free((void *)(uintptr_t)self.twin);
    return status;
}

/* ---- variants ---- */

/* With `simplified` as its first member; NULL: an error. */
static variant *found_variant(family *f, const tw_graph *simplified)
{
    variant *v = tw_alloc_zero(1, sizeof *v);
    tw_graph *g = v ? tw_graph_clone(simplified) : NULL;
    tw_status status = g ? tw_rematerialise_choose(g, tw_rematerialise_price, &v->choice) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_to_primitives(&g, &v->choice, 0);
    if (v)
        v->reference = g;
    if (status == TW_OK && (!(v->varies = tw_alloc_zero(g->values + 1, 1)) || !(v->general = tw_map_create())))
        status = TW_ERR_MEMORY;
    if (status == TW_OK) {
        v->next = f->variants;
        return f->variants = v;
    }
    if (v)
        destroy_variant(v);
    return NULL;
}

static tw_status found_first(family *f)
{
    tw_graph *g;
    TW_TRY(tw_simplified(f->first, &g));
    const variant *v = found_variant(f, g);
    tw_graph_destroy(g);
    return v ? TW_OK : tw_error_code();
}

/* A plan with shared kernels; none (and TW_OK) where the graph is of another structure than the reference. */
static tw_status try_shared(variant *v, const tw_graph *simplified, const tw_schedule_options *options, tw_plan **plan)
{
    if (operations_of(simplified) != v->choice.operations)
        return TW_OK;
    tw_graph *g = tw_graph_clone(simplified);
    tw_status status = g ? tw_to_primitives(&g, &v->choice, 0) : TW_ERR_MEMORY;
    pairing p = {v->reference, g, status == TW_OK ? tw_alloc_zero(g->values + 1, sizeof *p.twin) : NULL};
    if (status == TW_OK && !p.twin)
        status = TW_ERR_MEMORY;
    if (status == TW_OK && pair_up(&p)) {
        if (note_sizes(v, &p))
            status = begin_again(v, options);
        if (status == TW_OK)
            status = plan_shared(v, g, p.twin, options, plan);
    }
    tw_free((void *)(uintptr_t)p.twin);
    tw_graph_destroy(g);
    return status;
}

static int count_variants(const family *f)
{
    int count = 0;
    for (const variant *v = f->variants; v; v = v->next)
        count++;
    return count;
}

tw_status tw_family_plan(family *f, tw_graph *simplified, const tw_schedule_options *options, tw_plan **plan)
{
    *plan = NULL;
    tw_status status = f->variants ? TW_OK : found_first(f);
    for (variant *v = f->variants; v && status == TW_OK && !*plan; v = v->next)
        status = try_shared(v, simplified, options, plan);
    if (status == TW_OK && !*plan) { /* the first of its structure: for its very sizes */
        if (count_variants(f) < MOST_VARIANTS && !found_variant(f, simplified))
            status = tw_error_code();
        if (status == TW_OK)
            status = tw_to_primitives(&simplified, NULL, tw_rematerialise_price);
        if (status == TW_OK)
            status = tw_schedule(simplified, options, plan);
    }
    tw_graph_destroy(simplified);
    return status;
}
