/* One tile program a group: loop variables to program ids and tiles, arguments, then pulling and storing each value.
 *
 * kind      programs                         a program holds
 * FLAT      blocks of the last dimension     a tile of up to FLAT_BLOCK elements
 * ROWS      rows                             a whole row: its statistics are reductions of one tile
 * COLUMNS   [a] x blocks of b                all r of COLUMN_BLOCK columns
 * DOT       batch x blocks of n x of m       [m block, k] x [k, n block]; the contraction's loop belongs to the back
 * end PANEL     batch x blocks of rows           the panel [rows, n]; when something sums over rows, one program a
 * batch loops over the blocks */
#include <stdlib.h>

#include "schedule/internal.h"
#include "tile/tile.h"

enum {
    FLAT_BLOCK = 4096,
    SMALL_INNER = 64,
    COLUMN_BLOCK = 64,
    DOT_ROWS = 512,
    DOT_COLUMNS = 64,
    MOST_COLUMNS = 512,
    MOST_WHOLE_ROWS = 1 << 14,
    PANEL_ROWS = 64
};

static tw_value *check(emitter *e, tw_value *v)
{
    return v ? v : tw_emit_fail(e, tw_error_code());
}

/* ---- blocks ---- */

/* A block that divides the extent, if one of at least half the wanted size exists: no masks then. */
static int64_t even_block(int64_t extent, int64_t wanted)
{
    if (extent <= wanted)
        return TW_MAX(extent, 1);
    for (int64_t block = wanted; 2 * block >= wanted; block--)
        if (extent % block == 0)
            return block;
    return wanted;
}

/* What a row of so many columns costs in whole vectors, relative to its columns. */
static double padding(int64_t columns)
{
    enum { LANES = 16 };
    return (double)((columns + LANES - 1) / LANES * LANES) / (double)columns;
}

/* Columns of a contraction that one program makes, panel by panel: a block that divides them and fills its vectors. */
static int64_t column_block(int64_t extent)
{
    int64_t best = even_block(extent, DOT_COLUMNS);
    if (extent % best != 0)
        return best;
    for (int64_t block = DOT_COLUMNS; block <= MOST_COLUMNS; block++)
        if (extent % block == 0 && padding(block) < padding(best) - 0.05)
            best = block;
    return best;
}

/* Where the extent varies, the blocks' layout must not: what is cut is always cut. */
static void tile_var(frame *f, int v, int64_t wanted)
{
    var *x = &f->var[v];
    x->kind = x->extent > 1 || x->varies ? VAR_TILE : VAR_GRID;
    x->cut = x->varies;
    x->block = x->varies ? TW_MIN(x->extent, wanted) : x->kind == VAR_TILE ? even_block(x->extent, wanted) : 1;
}

static void choose_blocks(const group *k, frame *f)
{
    for (int i = 0; i < f->vars; i++) {
        if (f->var[i].kind == VAR_GRID)
            f->var[i].block = 1;
        else if (f->var[i].extent == 1 && !f->var[i].varies)
            tile_var(f, i, 1);
    }
    int last = k->dims - 1;
    switch (k->kind) {
    case GROUP_FLAT:
        if (last >= 0)
            tile_var(f, last, FLAT_BLOCK);
        if (last > 0 && k->dim[last] < SMALL_INNER && !k->dim_varies[last])
            tile_var(f, last - 1, TW_MAX(FLAT_BLOCK / 4 / k->dim[last], 1));
        break;
    case GROUP_COLUMNS:
        tile_var(f, 2, COLUMN_BLOCK);
        break;
    case GROUP_DOT: /* rows that vary stay whole up to a size: what is cut would be copied */
        if (!f->var[1].varies || f->var[1].extent > MOST_WHOLE_ROWS)
            tile_var(f, 1, DOT_ROWS);
        tile_var(f, 2, f->var[2].varies ? DOT_COLUMNS : column_block(f->var[2].extent));
        break;
    case GROUP_PANEL: /* the loop over the rows is compiled for its step */
        tile_var(f, f->row, PANEL_ROWS);
        f->var[f->row].block = f->var[f->row].varies ? PANEL_ROWS : f->var[f->row].block;
        break;
    default:
        break;
    }
}

/* ---- variables ---- */

static tw_value *scaled(emitter *e, tw_value *x, int64_t factor)
{
    return !x || factor == 1 ? x : check(e, tw_t_mul(e->g, x, tw_emit_i64(e, factor)));
}

/* A variable's value: a scalar for grid variables; for tiles, base (NULL: 0) + arange. */
static void set_variable(emitter *e, int v, tw_value *base)
{
    const var *x = &e->f.var[v];
    tw_dim block = x->block;
    if (x->kind == VAR_GRID) {
        e->base[v] = (emitted){base ? base : tw_emit_i64(e, 0), 0};
        return;
    }
    tw_value *tile = check(e, tw_t_arange(e->g, 1, &block));
    if (tile && base)
        tile = check(e, tw_t_add(e->g, tile, base));
    e->base[v] = (emitted){tile, 1u << v};
}

/* Program id to variables, the last one fastest; returns the number of programs. */
static int64_t lay_out_grid(emitter *e, const bool *looped)
{
    int64_t programs = 1;
    tw_value *id = check(e, tw_t_program_id(e->g, 0));
    for (int v = e->f.vars - 1; v >= 0; v--) {
        const var *x = &e->f.var[v];
        int64_t blocks = (x->extent + x->block - 1) / TW_MAX(x->block, 1);
        if (looped[v])
            continue;
        bool several = blocks > 1 || (x->varies && (x->kind == VAR_GRID || x->cut));
        if (!several) {
            set_variable(e, v, NULL);
            continue;
        }
        tw_value *mine = id;
        bool outermost = true;
        for (int w = 0; w < v; w++)
            outermost = outermost && (looped[w] || (e->f.var[w].extent <= e->f.var[w].block && !e->f.var[w].varies));
        if (!outermost && id) {
            mine = check(e, tw_t_rem(e->g, id, tw_emit_i64(e, blocks)));
            id = check(e, tw_t_div(e->g, id, tw_emit_i64(e, blocks)));
        }
        set_variable(e, v, scaled(e, mine, x->block));
        programs *= blocks;
    }
    return programs;
}

/* ---- arguments ---- */

static void add_argument(emitter *e, const tw_value *v, bool written)
{
    for (int i = 0; i < e->buffers; i++)
        if (e->buffer[i] == v && e->written[i] == written)
            return;
    if (e->buffers == (int)TW_COUNT(e->buffer)) {
        tw_emit_fail(e, tw_error(TW_ERR_INTERNAL, "schedule: a kernel of more than %zu buffers", TW_COUNT(e->buffer)));
        return;
    }
    e->buffer[e->buffers] = v;
    e->written[e->buffers] = written;
    e->pointer[e->buffers] = check(e, tw_tile_pointer(e->g, e->buffers, (tw_dtype)v->type.dtype));
    e->buffers++;
}

/* How many elements of an argument are read at this index: no more than the variables in it have values. */
static int64_t elements_read(const emitter *e, const frame *f, const trace_entry *load)
{
    int64_t all = facts_of(e->s, load->value)->count, some = 1;
    if (e->k->kind == GROUP_SCAN || e->k->kind == GROUP_SCATTER) /* not traced by index */
        return all;
    for (int v = 0; v < f->vars && some < all; v++)
        some *= tw_ix_uses(load->linear, v) ? f->var[v].extent : 1;
    return TW_MIN(some, all);
}

static void count_bytes_read(emitter *e, const frame *f, const trace *t)
{
    for (int i = 0; i < e->buffers; i++) {
        int64_t elements = 0, all = facts_of(e->s, e->buffer[i])->count;
        for (int k = 0; k < t->entries; k++)
            if (t->entry[k].kind == TRACE_LOAD && t->entry[k].value == e->buffer[i])
                elements += elements_read(e, f, &t->entry[k]);
        e->bytes_read += TW_MIN(elements, all) * (int64_t)tw_dtype_size((tw_dtype)e->buffer[i]->type.dtype);
    }
}

static int by_place(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The operations that this kernel computes, each once, in the graph's order. */
static tw_status note_inside(emitter *e, const trace *t)
{
    const scheduler *s = e->s;
    uint64_t *seen = tw_arena_zero(s->arena, s->values / 64 + 1, sizeof *seen);
    uint64_t *order = tw_arena_alloc(s->arena, ((size_t)t->entries + (size_t)e->k->values) * sizeof *order);
    int n = 0;
    if (!seen || !order)
        return TW_ERR_MEMORY;
    for (int i = 0; i < t->entries + e->k->values; i++) {
        const tw_value *v = i < t->entries ? t->entry[i].value : e->k->value[i - t->entries];
        bool here = i >= t->entries || t->entry[i].kind == TRACE_PULLED || t->entry[i].kind == TRACE_OWN;
        if (!v || !here || seen[v->id / 64] >> (v->id % 64) & 1)
            continue;
        seen[v->id / 64] |= (uint64_t)1 << (v->id % 64);
        order[n++] = (uint64_t)facts_of(s, v)->place << 32 | v->id;
    }
    qsort(order, (size_t)n, sizeof *order, by_place);
    uint32_t *inside = tw_arena_alloc(s->arena, ((size_t)n + 1) * sizeof *inside);
    const tw_op **op = tw_arena_alloc(s->arena, ((size_t)n + 1) * sizeof *op);
    for (int i = 0; inside && op && i < n; i++) {
        inside[i] = (uint32_t)order[i];
        op[i] = s->facts[inside[i]].op;
    }
    e->inside = inside;
    e->insides = n;
    e->flops = inside && op ? tw_flops_of(op, n, s->arena, NULL) : -1;
    return e->flops < 0 ? TW_ERR_MEMORY : TW_OK;
}

static tw_status add_arguments(emitter *e, int number)
{
    const group *k = e->k;
    trace t;
    frame f = e->f;
    tw_trace_init(&t, e->s, &f, number);
    for (int i = 0; i < k->values; i++) {
        const tw_index *at[TW_MAX_RANK];
        TW_TRY(tw_group_at(e->s, k, &f, k->value[i], at));
        tw_trace_value(&t, k->value[i], at, true);
    }
    TW_TRY(t.status);
    for (int i = 0; i < t.entries; i++) {
        if (t.entry[i].kind == TRACE_LOAD)
            add_argument(e, t.entry[i].value, false);
    }
    count_bytes_read(e, &f, &t);
    e->bytes = e->bytes_read;
    e->reads = e->buffers;
    TW_TRY(note_inside(e, &t));
    for (int i = 0; i < k->values; i++) {
        if (!facts_of(e->s, k->value[i])->stored)
            continue;
        add_argument(e, k->value[i], true);
        e->bytes += facts_of(e->s, k->value[i])->count * (int64_t)tw_dtype_size((tw_dtype)k->value[i]->type.dtype);
    }
    e->f = f; /* inner variables that tracing found: emission finds the same ones */
    return e->status;
}

/* ---- bodies ---- */

static tw_status store_value(emitter *e, const tw_value *v)
{
    const tw_index *at[TW_MAX_RANK];
    TW_TRY(tw_group_at(e->s, e->k, &e->f, v, at));
    tw_emit_store(e, v, at, tw_emit_value(e, v, at, true));
    return e->status;
}

static tw_status emit_straight(emitter *e)
{
    for (int i = 0; i < e->k->values; i++)
        if (facts_of(e->s, e->k->value[i])->stored)
            TW_TRY(store_value(e, e->k->value[i]));
    return e->status;
}

static const tw_op *dot_of(const scheduler *s, const tw_value *v)
{
    const value_facts *f = facts_of(s, v);
    return f->class == TW_CLASS_CONTRACTION ? f->op : f->dot;
}

/* Does this contraction sum over the panel's rows? */
static bool sums_rows(const scheduler *s, const tw_op *dot)
{
    const value_facts *a = facts_of(s, dot->operand[0]), *b = facts_of(s, dot->operand[1]);
    return a->panel ? a->transposed : b->panel && !b->transposed;
}

/* The element of the contraction inside value v (v itself or what its epilogue is made from). */
static tw_status dot_at(emitter *e, const tw_op *dot, const tw_index **at)
{
    return tw_group_at(e->s, e->k, &e->f, &dot->result[0], at);
}

static tw_value *zero_matrix(emitter *e, const tw_op *dot, const tw_index *const *at)
{
    int rank = dot->result[0].type.rank;
    tw_dim dims[2];
    tw_dtype dtype = (tw_dtype)dot->result[0].type.dtype;
    for (int i = 0; i < 2; i++)
        dims[i] = at[rank - 2 + i]->terms ? e->f.var[at[rank - 2 + i]->term[0].atom->var].block : 1;
    if (dtype == TW_F16 || dtype == TW_BF16)
        dtype = TW_F32;
    return check(e, tw_t_broadcast(e->g, tw_emit_constant(e, dtype, 0, 0), 2, dims));
}

/* for rows: panels; store what belongs to these rows; add to what sums over rows. Then store the sums. */
static tw_status emit_looped(emitter *e)
{
    const group *k = e->k;
    tw_value *init[3 + MOST_OUTPUTS] = {tw_emit_i64(e, 0), tw_emit_i64(e, e->f.var[e->f.row].extent),
                                        tw_emit_i64(e, e->f.var[e->f.row].block)};
    const tw_op *summed[MOST_OUTPUTS];
    tw_value *carried[MOST_OUTPUTS];
    int sums = 0, rows[MOST_OUTPUTS], columns[MOST_OUTPUTS];
    const tw_index *at[TW_MAX_RANK];
    for (int i = 0; i < k->values; i++) {
        const tw_op *dot = dot_of(e->s, k->value[i]);
        bool known = !sums_rows(e->s, dot);
        for (int j = 0; j < sums; j++)
            known = known || summed[j] == dot;
        if (known)
            continue;
        TW_TRY(dot_at(e, dot, at));
        init[3 + sums] = zero_matrix(e, dot, at);
        summed[sums++] = dot;
    }
    TW_TRY(e->status);
    tw_op *loop = tw_t_for(e->g, init[0], init[1], init[2], sums, init + 3);
    tw_value *row = loop ? tw_block_add_arg(e->g, loop->region[0], tw_type_scalar(TW_I64)) : NULL;
    for (int i = 0; i < sums && loop; i++)
        carried[i] = tw_block_add_arg(e->g, loop->region[0], init[3 + i]->type);
    if (!row || (sums && !carried[sums - 1]))
        return tw_error_code() ? tw_error_code() : TW_ERR_MEMORY;
    tw_graph_insert_at_end(e->g, loop->region[0]);
    tw_emit_forget(e);
    set_variable(e, e->f.row, row);
    for (int i = 0; i < k->values; i++)
        if (facts_of(e->s, k->value[i])->stored && !sums_rows(e->s, dot_of(e->s, k->value[i])))
            TW_TRY(store_value(e, k->value[i]));
    for (int i = 0; i < sums; i++) {
        TW_TRY(dot_at(e, summed[i], at));
        carried[i] = tw_emit_dot_tile(e, summed[i], at, carried[i], &rows[i], &columns[i]);
        TW_TRY(e->status);
    }
    if (!tw_t_yield(e->g, sums, carried))
        return tw_error_code();
    tw_graph_insert_at_end(e->g, e->g->body);
    tw_emit_forget(e);
    TW_TRY(tw_op_finish(e->g, loop));
    for (int i = 0; i < sums; i++) {
        TW_TRY(dot_at(e, summed[i], at));
        emitted x = tw_emit_from_matrix(e, &loop->result[i], rows[i], columns[i]);
        tw_dtype dtype = (tw_dtype)summed[i]->result[0].type.dtype;
        if (x.v && x.v->type.dtype != dtype)
            x.v = check(e, tw_t_cast(e->g, x.v, dtype));
        tw_emit_remember(e, &summed[i]->result[0], at, x);
    }
    for (int i = 0; i < k->values; i++) {
        const tw_value *v = k->value[i];
        if (!facts_of(e->s, v)->stored || !sums_rows(e->s, dot_of(e->s, v)))
            continue;
        TW_TRY(tw_group_at(e->s, k, &e->f, v, at));
        tw_emit_store(e, v, at, tw_emit_value(e, v, at, v != &dot_of(e->s, v)->result[0]));
    }
    return e->status;
}

/* ---- scans and scatters ---- */

static int scan_kind(int code)
{
    return code == TW_G_CUMSUM    ? TW_T_SCAN_SUM
           : code == TW_G_CUMPROD ? TW_T_SCAN_PROD
           : code == TW_G_CUMMAX  ? TW_T_SCAN_MAX
                                  : TW_T_SCAN_MIN;
}

static tw_status emit_scan(emitter *e, int number, int64_t *programs)
{
    TW_TRY(add_arguments(e, number));
    const tw_value *y = e->k->value[0];
    const tw_op *op = y->def;
    const tw_value *x = op->operand[0];
    int64_t a, r, b, axis = op->attr[0].i;
    tw_schedule_axis_form(facts_of(e->s, y), (int)axis, &a, &r, &b);
    int varies = tw_schedule_axis_varies(facts_of(e->s, y), (int)axis);
    int outer = tw_frame_add(&e->f, (var){.kind = VAR_GRID, .extent = a, .block = 1, .varies = varies & VARIES_A});
    int along =
        tw_frame_add(&e->f, (var){.kind = VAR_TILE, .role = ROLE_INNER, .extent = r, .varies = varies & VARIES_R});
    int inner = tw_frame_add(&e->f, (var){.kind = VAR_TILE, .extent = b, .varies = varies & VARIES_B});
    choose_blocks(e->k, &e->f);
    tile_var(&e->f, inner, COLUMN_BLOCK);
    bool none[MOST_VARS] = {false};
    *programs = lay_out_grid(e, none);
    tw_arena *m = e->s->arena;
    const tw_index *at[TW_MAX_RANK], *linear = tw_ix_scale(m, tw_ix_var(m, outer, a), r);
    linear = tw_ix_scale(m, tw_ix_add(m, linear, tw_ix_var(m, along, r)), b);
    linear = tw_ix_add(m, linear, tw_ix_var(m, inner, b));
    tw_ix_unravel(m, linear, y->type.rank, facts_of(e->s, y)->shape, at);
    emitted v = tw_emit_value(e, x, at, false);
    TW_TRY(e->status);
    if (r > 1) {
        v = tw_emit_align(e, v, v.set | 1u << along);
        v.v = v.v ? check(e, tw_t_scan(e->g, v.v, 0, scan_kind(op->code), op->attr[1].i != 0)) : NULL;
    }
    tw_emit_store(e, y, at, v);
    return e->status;
}

typedef struct scattering {
    const tw_value *y, *index, *source;
    int axis, outer, place, inner, step; /* variables: before, along and behind the axis; along the index */
    int64_t places, steps;
} scattering;

static int64_t lay_out_scatter(emitter *e, scattering *w)
{
    const value_facts *f = facts_of(e->s, w->y);
    int64_t a, b;
    tw_schedule_axis_form(f, w->axis, &a, &w->places, &b);
    w->steps = facts_of(e->s, w->index)->shape[w->index->type.rank > 1 ? w->axis : 0];
    int varies = tw_schedule_axis_varies(f, w->axis);
    w->outer = tw_frame_add(&e->f, (var){.kind = VAR_GRID, .extent = a, .block = 1, .varies = varies & VARIES_A});
    w->place = tw_frame_add(
        &e->f, (var){.kind = VAR_TILE, .role = ROLE_INNER, .extent = w->places, .varies = varies & VARIES_R});
    w->inner = tw_frame_add(&e->f, (var){.kind = VAR_TILE, .extent = b, .varies = varies & VARIES_B});
    w->step = tw_frame_add(&e->f, (var){.kind = VAR_GRID, .extent = TW_MAX(w->steps, 2), .block = 1});
    choose_blocks(e->k, &e->f);
    tile_var(&e->f, w->inner, COLUMN_BLOCK);
    bool looped[MOST_VARS] = {false};
    looped[w->step] = true;
    return lay_out_grid(e, looped);
}

static const tw_index *frame_var(const emitter *e, int v)
{
    return tw_ix_var(e->s->arena, v, e->f.var[v].extent);
}

/* One step of the index: `at` is the program's columns, whose place along the axis the index names. */
static void scatter_step(emitter *e, const scattering *w, const tw_index **at)
{
    const tw_index *from[TW_MAX_RANK], *step = frame_var(e, w->step);
    const tw_op *op = w->y->def;
    memcpy(from, at, sizeof from);
    from[w->axis] = step;
    at[w->axis] =
        tw_ix_read(e->s->arena, w->index, w->index->type.rank, op->code == TW_G_INDEX_ADD ? &step : from, w->places);
    emitted v = tw_emit_value(e, w->source, from, false);
    if (op->code != TW_G_SCATTER) { /* what this program wrote is read back through the same argument */
        emitted old = tw_emit_load_stored(e, w->y, at);
        uint32_t set = old.set | v.set;
        old = set ? tw_emit_align(e, old, set) : old;
        v = set ? tw_emit_align(e, v, set) : v;
        v = (emitted){old.v && v.v ? check(e, tw_t_add(e->g, old.v, v.v)) : NULL, set};
    }
    tw_emit_store(e, w->y, at, v);
}

/* A program owns columns of the result: it copies x there, then adds or writes the sources in order, so that repeated
 * indices are safe. Columns beside which the index ends get x only. */
static tw_status emit_scatter(emitter *e, int number, int64_t *programs)
{
    TW_TRY(add_arguments(e, number));
    const tw_value *y = e->k->value[0];
    const tw_op *op = y->def;
    scattering w = {.y = y, .index = op->operand[1], .source = op->operand[2], .axis = (int)op->attr[0].i};
    *programs = lay_out_scatter(e, &w);
    const int64_t *shape = facts_of(e->s, y)->shape, *size = facts_of(e->s, w.index)->shape;
    const tw_index *at[TW_MAX_RANK] = {NULL};
    tw_ix_unravel(e->s->arena, frame_var(e, w.outer), w.axis, shape, at);
    at[w.axis] = frame_var(e, w.place);
    tw_ix_unravel(e->s->arena, frame_var(e, w.inner), y->type.rank - w.axis - 1, shape + w.axis + 1, at + w.axis + 1);
    tw_emit_store(e, y, at, tw_emit_value(e, op->operand[0], at, false));
    for (int d = 0; d < y->type.rank && op->code != TW_G_INDEX_ADD; d++)
        if (d != w.axis && size[d] != shape[d])
            tw_emit_only_where(e, at[d], size[d]);
    TW_TRY(e->status);
    tw_value *bounds[] = {tw_emit_i64(e, 0), tw_emit_i64(e, w.steps), tw_emit_i64(e, 1)};
    tw_op *loop = tw_t_for(e->g, bounds[0], bounds[1], bounds[2], 0, NULL);
    tw_value *i = loop ? tw_block_add_arg(e->g, loop->region[0], tw_type_scalar(TW_I64)) : NULL;
    if (!i)
        return tw_error_code();
    tw_graph_insert_at_end(e->g, loop->region[0]);
    tw_emit_forget(e);
    e->base[w.step] = (emitted){i, 0};
    scatter_step(e, &w, at);
    TW_TRY(e->status);
    if (!tw_t_yield(e->g, 0, NULL))
        return tw_error_code();
    tw_graph_insert_at_end(e->g, e->g->body);
    return tw_op_finish(e->g, loop);
}

/* ---- names for people ---- */

static tw_kernel_kind kind_of(const scheduler *s, const group *k)
{
    if (k->kind == GROUP_DOT)
        return TW_KIND_MATMUL;
    if (k->kind == GROUP_PANEL)
        return TW_KIND_ATTENTION;
    if (k->kind == GROUP_ROWS)
        return TW_KIND_NORM_SOFTMAX;
    if (k->kind == GROUP_FLAT)
        return TW_KIND_POINTWISE;
    (void)s;
    return TW_KIND_OTHER;
}

static tw_status describe(emitter *e, const trace *t, tw_plan *plan, tw_plan_kernel *kernel)
{
    static const char *const kinds[] = {"pointwise", "rows", "columns", "matmul", "attention", "scan", "scatter"};
    tw_text contents = {0}, name = {0};
    tw_text_add(&name, "%s", kinds[e->k->kind]);
    for (int i = 0; i < e->k->values; i++)
        tw_text_add(&name, "_%s", e->k->value[i]->def->info->name);
    for (int i = 0; i < t->entries; i++)
        if (t->entry[i].kind == TRACE_PULLED || t->entry[i].kind == TRACE_OWN)
            tw_text_add(&contents, "%s ", t->entry[i].value->def->info->name);
    for (int i = 0; i < e->k->values; i++)
        tw_text_add(&contents, "%s ", e->k->value[i]->def->info->name);
    kernel->name = tw_arena_text(plan->arena, "%.60s", tw_text_string(&name));
    kernel->contents = tw_arena_text(plan->arena, "%s", tw_text_string(&contents));
    kernel->kind = kind_of(e->s, e->k);
    tw_text_free(&contents);
    tw_text_free(&name);
    return kernel->name && kernel->contents ? TW_OK : TW_ERR_MEMORY;
}

static tw_status trace_contents(emitter *e, int number, trace *t)
{
    frame f;
    TW_TRY(tw_group_frame(e->s, e->k, &f));
    tw_trace_init(t, e->s, &f, number);
    for (int i = 0; i < e->k->values && e->k->kind < GROUP_SCAN; i++) {
        const tw_index *at[TW_MAX_RANK];
        TW_TRY(tw_group_at(e->s, e->k, &f, e->k->value[i], at));
        tw_trace_value(t, e->k->value[i], at, true);
    }
    t->f = NULL;
    return t->status;
}

/* ---- the whole ---- */

static tw_status emit_body(emitter *e, int number, int64_t *programs)
{
    const group *k = e->k;
    bool looped[MOST_VARS] = {false};
    if (k->kind == GROUP_SCAN)
        return emit_scan(e, number, programs);
    if (k->kind == GROUP_SCATTER)
        return emit_scatter(e, number, programs);
    TW_TRY(add_arguments(e, number));
    choose_blocks(k, &e->f);
    bool loops = false;
    for (int i = 0; k->kind == GROUP_PANEL && i < k->values; i++)
        loops = loops || sums_rows(e->s, dot_of(e->s, k->value[i]));
    if (loops)
        looped[e->f.row] = true;
    *programs = lay_out_grid(e, looped);
    TW_TRY(e->status);
    return loops ? emit_looped(e) : emit_straight(e);
}

/* A size-free program counts its elements at run time: the extent is its one scalar argument. */
static tw_status emit_size_free(emitter *e, int number, int64_t *programs)
{
    TW_TRY(add_arguments(e, number));
    tw_value *n = check(e, tw_tile_scalar(e->g, e->buffers, TW_I64));
    e->f.var[0] = (var){.kind = VAR_TILE, .extent = e->k->dim[0], .block = FLAT_BLOCK};
    e->size = n;
    set_variable(e, 0, scaled(e, check(e, tw_t_program_id(e->g, 0)), FLAT_BLOCK));
    *programs = (e->k->dim[0] + FLAT_BLOCK - 1) / FLAT_BLOCK;
    TW_TRY(e->status);
    return emit_straight(e);
}

tw_status tw_schedule_emit(scheduler *s, int number, tw_plan *plan, tw_plan_kernel *kernel, tw_plan_launch *launch)
{
    group *k = s->groups[number];
    emitter e = {.s = s, .k = k, .status = TW_OK};
    int64_t programs = 1;
    bool size_free = false;
    trace t;
    if (k->kind == GROUP_FLAT) {
        TW_TRY(tw_schedule_refine(s, k, number));
        TW_TRY(tw_schedule_size_free(s, k, number, &size_free));
    }
    TW_TRY(tw_group_frame(s, k, &e.f));
    if (!(e.g = tw_tile_program_create("kernel")))
        return TW_ERR_MEMORY;
    kernel->program = e.g;
    TW_TRY(size_free ? emit_size_free(&e, number, &programs) : emit_body(&e, number, &programs));
    bool changed;
    TW_TRY(tw_pass_cse(&e.g, &changed));
    TW_TRY(tw_pass_dce(&e.g, &changed));
    TW_TRY(trace_contents(&e, number, &t));
    TW_TRY(describe(&e, &t, plan, kernel));
    if (!(e.g->name = tw_arena_text(e.g->arena, "%s", kernel->name)))
        return TW_ERR_MEMORY;
    TW_TRY(tw_graph_hash(e.g, &kernel->hash));
    *launch = (tw_plan_launch){.arguments = e.buffers,
                               .grid = {programs, 1, 1},
                               .reads = e.reads,
                               .flops = e.flops,
                               .bytes = e.bytes,
                               .bytes_read = e.bytes_read};
    launch->slot = tw_arena_alloc(plan->arena, (size_t)TW_MAX(e.buffers, 1) * sizeof *launch->slot);
    launch->scalar = tw_arena_copy(plan->arena, &k->dim[0], sizeof *launch->scalar);
    launch->scalars = size_free;
    launch->inside = tw_arena_copy(plan->arena, e.inside, (size_t)TW_MAX(e.insides, 1) * sizeof *launch->inside);
    launch->insides = e.insides;
    if (!launch->slot || !launch->scalar || !launch->inside)
        return TW_ERR_MEMORY;
    for (int i = 0; i < e.buffers; i++)
        launch->slot[i] = (int)e.buffer[i]->id;
    return TW_OK;
}
