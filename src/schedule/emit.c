/* Pulling: the tile program that computes a value at an index, by walking to what it is made from.
 *
 * The way is trace.c's. An index expression becomes integer arithmetic on tiles (base + arange) and scalars; a value
 * that varies over the variables m and n becomes a tile with dimensions in ascending order of the variables. Each
 * (value, index) is emitted once a region: that memo is what shares work between the outputs of a group. */
#include "schedule/internal.h"
#include "tile/tile.h"
#include "tile/tile_ops.h"

typedef struct memo {
    uint64_t key; /* hash of the rest */
    const tw_value *value;
    int rank;
    const tw_index *const *at;
    tw_hash condition;
    emitted result;
} memo;

static const emitted NOTHING = {NULL, 0};

tw_value *tw_emit_fail(emitter *e, tw_status status)
{
    if (e->status == TW_OK)
        e->status = status != TW_OK ? status : TW_ERR_MEMORY;
    return NULL;
}

/* Notes a failed builder call (it has set the thread's error). */
static tw_value *check(emitter *e, tw_value *v)
{
    return v ? v : tw_emit_fail(e, tw_error_code());
}

/* ---- memo ---- */

static uint64_t key_of(const emitter *e, const tw_value *v, int rank, const tw_index *const *at)
{
    tw_hash h = tw_hash_u64(e->condition_key, v ? v->id + 1 : 0);
    for (int i = 0; i < rank; i++)
        h = tw_hash_u64(h, at[i]->hash);
    return h.lo ^ h.hi;
}

static const emitted *find(const emitter *e, const tw_value *v, int rank, const tw_index *const *at)
{
    uint64_t key = key_of(e, v, rank, at);
    for (size_t i = e->memo_count; i-- > 0;) {
        const memo *m = &e->memo[i];
        if (m->key != key || m->value != v || m->rank != rank || !tw_hash_equal(m->condition, e->condition_key))
            continue;
        bool same = true;
        for (int d = 0; d < rank && same; d++)
            same = tw_ix_equal(m->at[d], at[d]);
        if (same)
            return &m->result;
    }
    return NULL;
}

static void remember(emitter *e, const tw_value *v, int rank, const tw_index *const *at, emitted result)
{
    const tw_index **copy = tw_arena_copy(e->s->arena, at, (size_t)rank * sizeof *at);
    if (e->memo_count == e->memo_room) {
        size_t room = TW_MAX((size_t)64, 2 * e->memo_room);
        memo *grown = tw_arena_alloc(e->s->arena, room * sizeof *grown);
        if (grown && e->memo_count)
            memcpy(grown, e->memo, e->memo_count * sizeof *grown);
        e->memo = grown ? grown : e->memo;
        e->memo_room = grown ? room : e->memo_room;
    }
    if (!copy || e->memo_count == e->memo_room)
        tw_emit_fail(e, TW_ERR_MEMORY);
    else
        e->memo[e->memo_count++] = (memo){key_of(e, v, rank, at), v, rank, copy, e->condition_key, result};
}

void tw_emit_remember(emitter *e, const tw_value *v, const tw_index *const *at, emitted result)
{
    remember(e, v, v->type.rank, at, result);
}

void tw_emit_forget(emitter *e)
{
    e->memo_count = 0;
}

/* ---- shapes ---- */

static int dims_of(const emitter *e, uint32_t set, tw_dim *dims)
{
    int rank = 0;
    for (int i = 0; i < e->f.vars; i++)
        if (set >> i & 1)
            dims[rank++] = e->f.var[i].block;
    return rank;
}

/* x as a tile over exactly `set` (a superset of its own). */
emitted tw_emit_align(emitter *e, emitted x, uint32_t set)
{
    tw_dim dims[TW_MAX_RANK];
    if (!x.v || x.set == set)
        return x;
    int rank = dims_of(e, set, dims), axis = 0;
    for (int i = 0; i < e->f.vars && x.set && x.v; i++) {
        if (!(set >> i & 1))
            continue;
        if (!(x.set >> i & 1))
            x.v = check(e, tw_t_expand_dims(e->g, x.v, axis));
        axis++;
    }
    return (emitted){x.v ? check(e, tw_t_broadcast(e->g, x.v, rank, dims)) : NULL, set};
}

tw_value *tw_emit_constant(emitter *e, tw_dtype dtype, double value, int64_t bits)
{
    return check(e, tw_t_constant(e->g, value, bits, dtype));
}

/* A two-operand operation; scalars stand for tiles, tiles are aligned. */
static emitted binary(emitter *e, tw_value *(*build)(tw_graph *, tw_value *, tw_value *), emitted a, emitted b)
{
    uint32_t set = a.set | b.set;
    if (a.set)
        a = tw_emit_align(e, a, set);
    if (b.set)
        b = tw_emit_align(e, b, set);
    return a.v && b.v ? (emitted){check(e, build(e->g, a.v, b.v)), set} : NOTHING;
}

/* ---- indices ---- */

/* Tile division truncates, an index's rounds down: a dividend that may be negative is moved up by whole divisors. */
static emitted emit_division(emitter *e, const tw_atom *atom)
{
    int64_t below = atom->of->low < 0 ? (atom->by - 1 - atom->of->low) / atom->by : 0;
    const tw_index *dividend = tw_ix_offset(e->s->arena, atom->of, below * atom->by);
    if (!dividend)
        return (emitted){tw_emit_fail(e, TW_ERR_MEMORY), 0};
    emitted x = tw_emit_index(e, dividend), by = {tw_emit_i64(e, atom->by), 0};
    if (atom->kind == TW_ATOM_MOD)
        return binary(e, tw_t_rem, x, by);
    x = binary(e, tw_t_div, x, by);
    return below ? binary(e, tw_t_sub, x, (emitted){tw_emit_i64(e, below), 0}) : x;
}

static emitted emit_atom(emitter *e, const tw_atom *atom)
{
    emitted x;
    switch (atom->kind) {
    case TW_ATOM_VAR:
        return e->base[atom->var];
    case TW_ATOM_DIV:
    case TW_ATOM_MOD:
        return emit_division(e, atom);
    case TW_ATOM_READ: /* clamped: a wrong index in the data must not read or write foreign memory */
        x = tw_emit_value(e, atom->read, atom->at, false);
        if (x.v && x.v->type.dtype != TW_I64)
            x.v = check(e, tw_t_cast(e->g, x.v, TW_I64));
        x = binary(e, tw_t_max, x, (emitted){tw_emit_i64(e, 0), 0});
        return binary(e, tw_t_min, x, (emitted){tw_emit_i64(e, atom->extent - 1), 0});
    }
    return NOTHING;
}

/* Scalars are summed before tiles join, so that a tile costs one addition. */
emitted tw_emit_index(emitter *e, const tw_index *x)
{
    const emitted *known = find(e, NULL, 1, &x);
    if (known)
        return *known;
    emitted scalar = NOTHING, tile = NOTHING;
    for (int i = 0; i < x->terms; i++) {
        emitted part = emit_atom(e, x->term[i].atom);
        if (!part.v)
            return NOTHING;
        if (x->term[i].coefficient != 1)
            part = binary(e, tw_t_mul, part, (emitted){tw_emit_i64(e, x->term[i].coefficient), 0});
        emitted *sum = part.set ? &tile : &scalar;
        *sum = sum->v ? binary(e, tw_t_add, *sum, part) : part;
    }
    if (x->constant || (!scalar.v && !tile.v)) {
        emitted constant = {tw_emit_i64(e, x->constant), 0};
        scalar = scalar.v ? binary(e, tw_t_add, scalar, constant) : constant;
    }
    emitted sum = !tile.v ? scalar : !scalar.v ? tile : binary(e, tw_t_add, tile, scalar);
    if (sum.v)
        remember(e, NULL, 1, &x, sum);
    return sum;
}

static emitted compare(emitter *e, const tw_index *x, int64_t bound, int kind)
{
    emitted v = tw_emit_index(e, x);
    tw_value *limit = tw_emit_i64(e, bound);
    return v.v && limit ? (emitted){check(e, tw_t_compare(e->g, v.v, limit, kind)), v.set} : NOTHING;
}

static emitted both(emitter *e, emitted a, emitted b)
{
    return !a.v ? b : !b.v ? a : binary(e, tw_t_and, a, b);
}

static emitted emit_guard(emitter *e, const guard *g)
{
    emitted low = NOTHING, high = NOTHING;
    if (g->x->low < g->low)
        low = compare(e, g->x, g->low, TW_T_COMPARE_GE);
    if (g->x->high >= g->high)
        high = compare(e, g->x, g->high, TW_T_COMPARE_LT);
    return both(e, low, high);
}

static void add_to_key(emitter *e, const guard *g)
{
    e->condition_key = tw_hash_u64(e->condition_key, g->x->hash);
    e->condition_key = tw_hash_u64(tw_hash_u64(e->condition_key, (uint64_t)g->low), (uint64_t)g->high);
}

void tw_emit_only_where(emitter *e, const tw_index *x, int64_t size)
{
    if (!x) {
        tw_emit_fail(e, TW_ERR_MEMORY);
        return;
    }
    guard g = {x, 0, size};
    e->condition = both(e, e->condition, emit_guard(e, &g));
    add_to_key(e, &g);
}

/* Where the last block of a variable hangs over its extent, nothing is read or written. */
static emitted tail_mask(emitter *e, uint32_t set)
{
    emitted mask = NOTHING;
    for (int i = 0; i < e->f.vars; i++) {
        if (!(set >> i & 1) || (!hangs_over(&e->f.var[i]) && !e->size))
            continue;
        if (e->size) {
            mask =
                both(e, mask, (emitted){check(e, tw_t_compare(e->g, e->base[i].v, e->size, TW_T_COMPARE_LT)), 1u << i});
            continue;
        }
        const tw_index *x = tw_ix_var(e->s->arena, i, e->f.var[i].extent);
        if (!x)
            return (emitted){tw_emit_fail(e, TW_ERR_MEMORY), 0};
        mask = both(e, mask, compare(e, x, e->f.var[i].extent, TW_T_COMPARE_LT));
    }
    return mask;
}

/* ---- memory ---- */

static tw_value *pointer_to(emitter *e, const tw_value *v, bool written)
{
    for (int i = 0; i < e->buffers; i++)
        if (e->buffer[i] == v && e->written[i] == written)
            return e->pointer[i];
    return tw_emit_fail(e,
                        tw_error(TW_ERR_INTERNAL, "schedule: %%%u (%s) is not an argument of its kernel (%s, kind %d)",
                                 v->id, v->def->info->name, written ? "written" : "read", (int)e->k->kind));
}

static emitted address(emitter *e, const tw_value *v, const tw_index *const *at, bool written)
{
    const tw_index *linear = tw_ix_linear(e->s->arena, v->type.rank, at, facts_of(e->s, v)->stride);
    if (!linear)
        return (emitted){tw_emit_fail(e, TW_ERR_MEMORY), 0};
    emitted offset = tw_emit_index(e, linear);
    tw_value *pointer = pointer_to(e, v, written);
    return offset.v && pointer ? (emitted){check(e, tw_t_add(e->g, pointer, offset.v)), offset.set} : NOTHING;
}

static emitted load_from(emitter *e, const tw_value *v, const tw_index *const *at, bool written)
{
    emitted where = address(e, v, at, written);
    if (!where.v)
        return NOTHING;
    emitted mask = both(e, e->condition, tail_mask(e, where.set));
    uint32_t set = where.set | mask.set;
    where = tw_emit_align(e, where, set);
    if (mask.v)
        mask = tw_emit_align(e, mask, set);
    return where.v && e->status == TW_OK ? (emitted){check(e, tw_t_load(e->g, where.v, mask.v, NULL)), set} : NOTHING;
}

static emitted emit_load(emitter *e, const tw_value *v, const tw_index *const *at)
{
    return load_from(e, v, at, false);
}

emitted tw_emit_load_stored(emitter *e, const tw_value *v, const tw_index *const *at)
{
    return load_from(e, v, at, true);
}

void tw_emit_store(emitter *e, const tw_value *v, const tw_index *const *at, emitted x)
{
    emitted where = address(e, v, at, true);
    if (!where.v || !x.v || e->status != TW_OK) /* what is missing in a sum counts as nothing */
        return;
    emitted mask = both(e, e->condition, tail_mask(e, where.set));
    if ((x.set | mask.set) & ~where.set) {
        tw_emit_fail(e, tw_error(TW_ERR_INTERNAL, "schedule: %%%u varies over more than its elements", v->id));
        return;
    }
    x = tw_emit_align(e, x, where.set);
    mask = tw_emit_align(e, mask, where.set);
    if (e->status == TW_OK && !tw_t_store(e->g, where.v, x.v, mask.v))
        tw_emit_fail(e, tw_error_code());
}

/* ---- what a value is made from ---- */

static bool accumulates_wider(tw_dtype dtype)
{
    return dtype == TW_F16 || dtype == TW_BF16;
}

static tw_value *cast_to(emitter *e, tw_value *v, tw_dtype dtype)
{
    return !v || v->type.dtype == dtype ? v : check(e, tw_t_cast(e->g, v, dtype));
}

static int reduce_kind(int code)
{
    switch (code) {
    case TW_G_SUM:
        return TW_T_REDUCE_SUM;
    case TW_G_PROD:
        return TW_T_REDUCE_PROD;
    case TW_G_AMAX:
        return TW_T_REDUCE_MAX;
    case TW_G_AMIN:
        return TW_T_REDUCE_MIN;
    case TW_G_ARGMAX:
        return TW_T_REDUCE_ARGMAX;
    default:
        return TW_T_REDUCE_ARGMIN;
    }
}

/* Reduces x along variable v. The order of a reduction depends on its shape: along a last axis it is another than along
 * any other, also where the tile doesn't vary over what comes after the axis. */
static emitted reduced(emitter *e, const tw_op *op, emitted x, int v)
{
    int64_t a, r, b;
    uint32_t set = x.set | 1u << v;
    int place = 0, rank = 0;
    tw_dim dims[TW_MAX_RANK];
    x = tw_emit_align(e, x, set);
    for (int i = 0; i < v; i++)
        place += (int)(set >> i & 1);
    for (int i = 0; i < e->f.vars; i++)
        rank += (int)(set >> i & 1);
    if (accumulates_wider((tw_dtype)op->operand[0]->type.dtype))
        x.v = cast_to(e, x.v, TW_F32);
    bool columns = tw_schedule_reduction_form(e->s, op, &a, &r, &b) && b > 1, last = place == rank - 1;
    if (columns && last && x.v)
        x.v = check(e, tw_t_expand_dims(e->g, x.v, rank));
    if (!columns && !last)
        x.v =
            tw_emit_fail(e, tw_error(TW_ERR_INTERNAL, "schedule: rows are reduced along an axis that is not the last"));
    x.v = x.v ? check(e, tw_t_reduce(e->g, x.v, place, reduce_kind(op->code))) : NULL;
    x.set = set & ~(1u << v);
    if (columns && last && x.v) {
        rank = dims_of(e, x.set, dims);
        x.v = check(e, tw_t_reshape(e->g, x.v, rank, dims));
    }
    return x;
}

static emitted emit_reduction(emitter *e, const tw_op *op, const tw_index *const *at)
{
    const tw_value *x = op->operand[0];
    const value_facts *f = facts_of(e->s, x);
    const tw_index *inner[TW_MAX_RANK];
    bool keep;
    int axis = tw_schedule_reduced_axis(op, &keep);
    int v = tw_frame_inner(&e->f, f->shape[axis], dim_varies(f, axis), op->result[0].type.rank, at,
                           f->panel ? e->f.panel_column : -1);
    for (int i = 0, j = 0; i < x->type.rank; i++) {
        inner[i] = i == axis ? tw_ix_var(e->s->arena, v, f->shape[axis]) : at[j];
        j += i != axis || keep;
    }
    emitted r = tw_emit_value(e, x, inner, false);
    if (!r.v)
        return NOTHING;
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    if (f->shape[axis] > 1) {
        r = reduced(e, op, r, v);
    } else if (op->code == TW_G_ARGMAX || op->code == TW_G_ARGMIN) {
        r = (emitted){tw_emit_i64(e, 0), 0};
    }
    r.v = cast_to(e, r.v, dtype);
    return r;
}

/* The variable that an index is, or -1 for an extent of one; fails for anything else. */
static int plain_var(emitter *e, const tw_index *x)
{
    if (x->terms == 0 && x->constant == 0)
        return -1;
    if (x->terms == 1 && x->constant == 0 && x->term[0].coefficient == 1 && x->term[0].atom->kind == TW_ATOM_VAR)
        return x->term[0].atom->var;
    tw_text text = {0};
    tw_ix_print(x, &text);
    tw_emit_fail(e, tw_error(TW_ERR_INTERNAL, "schedule: a contraction is pulled at the index %s, which is no variable",
                             tw_text_string(&text)));
    tw_text_free(&text);
    return -1;
}

static uint32_t bit(int v)
{
    return v < 0 ? 0 : 1u << v;
}

/* A tile [rows, columns], also where one of them has extent one (no variable). */
static tw_value *matrix(emitter *e, emitted x, int rows, int columns)
{
    x = tw_emit_align(e, x, bit(rows) | bit(columns));
    if (!x.v)
        return NULL;
    if (rows >= 0 && columns >= 0)
        return rows < columns ? x.v : check(e, tw_t_permute(e->g, x.v, 2, (tw_dim[]){1, 0}));
    if (rows < 0 && columns < 0)
        return check(e, tw_t_broadcast(e->g, x.v, 2, (tw_dim[]){1, 1}));
    return check(e, tw_t_expand_dims(e->g, x.v, rows < 0 ? 0 : 1));
}

emitted tw_emit_from_matrix(emitter *e, tw_value *x, int rows, int columns)
{
    tw_dim dims[TW_MAX_RANK];
    uint32_t set = bit(rows) | bit(columns);
    if (!x)
        return NOTHING;
    if (rows >= 0 && columns >= 0)
        return (emitted){rows < columns ? x : check(e, tw_t_permute(e->g, x, 2, (tw_dim[]){1, 0})), set};
    int rank = dims_of(e, set, dims);
    return (emitted){check(e, tw_t_reshape(e->g, x, rank, dims)), set};
}

static emitted select(emitter *e, emitted mask, emitted yes, emitted no)
{
    if (!mask.v || !yes.v || !no.v)
        return mask.v ? NOTHING : yes;
    uint32_t set = mask.set | yes.set | no.set;
    mask = tw_emit_align(e, mask, set);
    if (yes.set)
        yes = tw_emit_align(e, yes, set);
    if (no.set)
        no = tw_emit_align(e, no, set);
    if (!mask.v || !yes.v || !no.v)
        return NOTHING;
    return (emitted){check(e, tw_t_select(e->g, mask.v, yes.v, no.v)), set};
}

/* The product's tile in its own order [rows, columns], before the result's dtype. */
tw_value *tw_emit_dot_tile(emitter *e, const tw_op *op, const tw_index *const *at, tw_value *accumulator, int *rows,
                           int *columns)
{
    const tw_index *left[TW_MAX_RANK], *right[TW_MAX_RANK];
    int rank = op->result[0].type.rank, k = tw_frame_dot_inner(e->s, &e->f, op, at);
    int64_t extent = facts_of(e->s, op->operand[0])->shape[rank - 1];
    *rows = plain_var(e, at[rank - 2]);
    *columns = plain_var(e, at[rank - 1]);
    if (k < 0)
        return tw_emit_fail(
            e, tw_error(TW_ERR_INTERNAL, "schedule: a kernel needs more than %d loop variables", MOST_VARS));
    tw_schedule_dot_access(op, at, tw_ix_var(e->s->arena, k, extent), left, right);
    emitted a = tw_emit_value(e, op->operand[0], left, false);
    emitted b = tw_emit_value(e, op->operand[1], right, false);
    if (!a.v || !b.v || e->status != TW_OK)
        return NULL;
    emitted inside = tail_mask(e, bit(k)); /* what is computed for rows behind the last one must not be added up */
    if (inside.v) {
        emitted zero = {tw_emit_constant(e, (tw_dtype)a.v->type.dtype, 0, 0), 0};
        a = select(e, inside, a, zero);
        b = select(e, inside, b, zero);
    }
    tw_value *am = matrix(e, a, *rows, extent > 1 ? k : -1), *bm = matrix(e, b, extent > 1 ? k : -1, *columns);
    return am && bm ? check(e, tw_t_dot(e->g, am, bm, accumulator)) : NULL;
}

static emitted emit_dot(emitter *e, const tw_op *op, const tw_index *const *at)
{
    int rows, columns;
    tw_value *x = tw_emit_dot_tile(e, op, at, NULL, &rows, &columns);
    emitted r = tw_emit_from_matrix(e, x, rows, columns);
    r.v = cast_to(e, r.v, (tw_dtype)op->result[0].type.dtype);
    return r;
}

static emitted emit_iota(emitter *e, const tw_op *op, const tw_index *const *at)
{
    emitted x = tw_emit_index(e, at[op->attr[1].i]);
    x.v = cast_to(e, x.v, (tw_dtype)op->result[0].type.dtype);
    return x;
}

/* Element i of the stream is word i % 4 of block counter + i / 4; see the row of philox in graph.def. */
static emitted emit_philox(emitter *e, const tw_op *op, const tw_index *const *at)
{
    int64_t row_major[TW_MAX_RANK], below = 1;
    for (int i = op->result[0].type.rank - 1; i >= 0; i--) {
        row_major[i] = below;
        below *= facts_of(e->s, &op->result[0])->shape[i];
    }
    const tw_index *word[2] = {tw_ix_constant(e->s->arena, 0), tw_ix_constant(e->s->arena, 1)};
    const tw_index *linear = tw_ix_linear(e->s->arena, op->result[0].type.rank, at, row_major);
    if (!linear || !word[0] || !word[1])
        return (emitted){tw_emit_fail(e, TW_ERR_MEMORY), 0};
    emitted key = tw_emit_value(e, op->operand[0], &word[0], false);
    emitted counter = tw_emit_value(e, op->operand[0], &word[1], false);
    emitted element = tw_emit_index(e, linear);
    if (!key.v || !counter.v || !element.v)
        return NOTHING;
    return (emitted){check(e, tw_tile_philox_bits(e->g, key.v, counter.v, op->attr[1].i, element.v)), element.set};
}

/* One operand, under its guards; *guarded is their conjunction (v == NULL: always read). */
static emitted emit_operand(emitter *e, const tw_op *op, uint32_t i, const tw_index *const *at, emitted *guarded)
{
    access x;
    emitted outer = e->condition, mask = NOTHING;
    tw_hash outer_key = e->condition_key;
    tw_status status = tw_schedule_access(e->s, op, i, at, &x);
    if (status != TW_OK)
        return (emitted){tw_emit_fail(e, status), 0};
    for (int g = 0; g < x.guards; g++) {
        mask = both(e, mask, emit_guard(e, &x.guard[g]));
        add_to_key(e, &x.guard[g]);
    }
    if (x.guards)
        e->condition = both(e, outer, mask);
    emitted v = e->status == TW_OK ? tw_emit_value(e, op->operand[i], x.at, false) : NOTHING;
    e->condition = outer;
    e->condition_key = outer_key;
    *guarded = mask;
    return v;
}

static bool has_elements(const emitter *e, const tw_value *v)
{
    return facts_of(e->s, v)->count != 0;
}

/* Of an operand without elements none is read: it may be made of nothing at all, as a cat of no parts. */
static emitted emit_pulled(emitter *e, const tw_op *op, const tw_index *const *at)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    emitted operand[4], mask, x;
    switch (op->info->class) {
    case TW_CLASS_JOIN: /* the last piece needs no test: an element that is in no other is in it */
        x = NOTHING;
        for (uint32_t i = op->operands; i-- > 0;) {
            if (!has_elements(e, op->operand[i]))
                continue;
            emitted piece = emit_operand(e, op, i, at, &mask);
            x = x.v ? select(e, mask, piece, x) : piece;
        }
        return x;
    case TW_CLASS_VIEW:
        if (op->code != TW_G_PAD)
            return emit_operand(e, op, 0, at, &mask);
        operand[0] = (emitted){tw_emit_constant(e, dtype, op->attr[2].f, (int64_t)op->attr[2].f), 0};
        if (!has_elements(e, op->operand[0]))
            return operand[0];
        x = emit_operand(e, op, 0, at, &mask);
        return mask.v ? select(e, mask, x, operand[0]) : x;
    case TW_CLASS_GATHER:
        return emit_operand(e, op, 0, at, &mask);
    case TW_CLASS_SCATTER: { /* slice_update */
        emitted base = emit_operand(e, op, 0, at, &mask);
        if (!has_elements(e, op->operand[1]))
            return base;
        emitted piece = emit_operand(e, op, 1, at, &mask);
        return mask.v ? select(e, mask, piece, base) : piece;
    }
    default:
        break;
    }
    for (uint32_t i = 0; i < op->operands; i++) {
        operand[i] = emit_operand(e, op, i, at, &mask);
        if (!operand[i].v)
            return NOTHING;
    }
    return tw_emit_pointwise(e, op, operand);
}

static emitted emit_inside(emitter *e, const tw_value *v, const tw_index *const *at)
{
    const tw_op *op = v->def;
    switch (op->code) {
    case TW_G_FULL:
        return (emitted){tw_emit_constant(e, (tw_dtype)v->type.dtype, op->attr[1].f, op->attr[2].i), 0};
    case TW_G_IOTA:
        return emit_iota(e, op, at);
    case TW_G_PHILOX:
        return emit_philox(e, op, at);
    }
    if (op->info->class == TW_CLASS_REDUCTION)
        return emit_reduction(e, op, at);
    if (op->info->class == TW_CLASS_CONTRACTION)
        return emit_dot(e, op, at);
    return emit_pulled(e, op, at);
}

emitted tw_emit_value(emitter *e, const tw_value *v, const tw_index *const *at, bool inside)
{
    const value_facts *f = facts_of(e->s, v);
    for (int i = 0; i < v->type.rank; i++)
        if (!at[i])
            tw_emit_fail(e, TW_ERR_MEMORY);
    if (e->status != TW_OK)
        return NOTHING;
    bool own = f->group >= 0 && e->s->groups[f->group] == e->k;
    emitted outer = e->condition;
    tw_hash outer_key = e->condition_key;
    if (own) { /* this very iteration's element: it exists whatever guards the reader, whose variables it may reduce */
        e->condition = NOTHING;
        e->condition_key = (tw_hash){0, 0};
    }
    const emitted *known = find(e, v, v->type.rank, at);
    emitted x = known                                          ? *known
                : inside || own || !(f->stored || f->computed) ? emit_inside(e, v, at)
                                                               : emit_load(e, v, at);
    if (x.v && !known)
        remember(e, v, v->type.rank, at, x);
    e->condition = outer;
    e->condition_key = outer_key;
    return x;
}
