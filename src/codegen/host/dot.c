/* Products: packed panels of the right operand, a register-blocked micro-kernel, an epilogue on its results.
 *
 *            n ->  one panel: NR columns                 for each panel of NR columns
 *        k  +--------+                                       pack it: [K][NR], evaluating the operand (prologues,
 * transposes) |  | panel  |                                       for each block of MR rows v  +--------+ MR x NR
 * accumulators in registers, one chain of FMAs over k each
 *   +-----+ +--------+                                           write the block to a tile in L1; evaluate the stores
 * on it MR| A   | | block  |
 *   +-----+ +--------+
 * The left operand is read in place, one broadcast element at a time, when it is a plain load; else it is evaluated
 * into scratch. Aim: the FMA peak; 6 x 64 f32 on AVX-512 uses 24 accumulators, 4 registers of the panel and one
 * broadcast (measured at 95-98 %). Each element's chain runs over k ascending whatever the blocking, so results don't
 * depend on it. */
#include "codegen/host/lower.h"

typedef struct product {
    const tw_op *op;
    const tw_value *a, *b, *c;
    tw_dim M, N, K;
    LLVMValueRef m, n, k; /* the same, or where they end early ... */
    unsigned cut;         /* ... which of them (CUT_M ...) */
    tw_dtype dtype;       /* computed in */
    int L;                /* lanes */
    int64_t NR;           /* columns of the packed panel's rows */
    LLVMValueRef panel, tile, into;
    const tw_op *const *stores;
    int count;
    int outer; /* dimensions before the matrices' own: which matrix it is now */
    place at[TW_MAX_RANK];
} product;

/* Element (i, j) of the matrices that it is about now. */
static void index_of(const product *p, place i, place j, place *at)
{
    memcpy(at, p->at, (size_t)p->outer * sizeof *at);
    at[p->outer] = i;
    at[p->outer + 1] = j;
}

static place one(LLVMValueRef v)
{
    return (place){.v = v};
}

static place run(LLVMValueRef v)
{
    return (place){.v = v, .vector = true};
}

/* Operands as what is multiplied: half precision in f32, bytes in i32. */
static LLVMValueRef widen(cg *x, const product *p, LLVMValueRef v, tw_dtype dtype)
{
    LLVMTypeRef type = cg_type(x, p->dtype);
    if (tw_dtype_floating(dtype) || tw_dtype_size(dtype) == tw_dtype_size(p->dtype))
        return cg_widen(x, v, dtype);
    if (LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind)
        type = LLVMVectorType(type, LLVMGetVectorSize(LLVMTypeOf(v)));
    return tw_dtype_signed(dtype) ? LLVMBuildSExt(x->b, v, type, "") : LLVMBuildZExt(x->b, v, type, "");
}

static LLVMTypeRef vector_type(cg *x, const product *p)
{
    return LLVMVectorType(cg_type(x, p->dtype), (unsigned)p->L);
}

static LLVMValueRef element(cg *x, const product *p, LLVMValueRef base, LLVMValueRef offset)
{
    return LLVMBuildGEP2(x->b, cg_type(x, p->dtype), base, &offset, 1, "");
}

static LLVMValueRef plus(cg *x, LLVMValueRef a, int64_t b)
{
    return b ? LLVMBuildAdd(x->b, a, cg_i64(x, b), "") : a;
}

static LLVMValueRef aligned_load(cg *x, const product *p, LLVMTypeRef type, LLVMValueRef address)
{
    LLVMValueRef v = LLVMBuildLoad2(x->b, type, address, "");
    LLVMSetAlignment(v, (unsigned)tw_dtype_size(p->dtype));
    return v;
}

static void aligned_store(cg *x, const product *p, LLVMValueRef v, LLVMValueRef address)
{
    LLVMSetAlignment(LLVMBuildStore(x->b, v, address), (unsigned)tw_dtype_size(p->dtype));
}

/* ---- packing ---- */

static LLVMValueRef minus(cg *x, LLVMValueRef a, int64_t b)
{
    return b ? LLVMBuildSub(x->b, a, cg_i64(x, b), "") : a;
}

static LLVMValueRef zeroed(cg *x, LLVMValueRef v, LLVMValueRef mask)
{
    return mask ? LLVMBuildSelect(x->b, mask, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static const tw_value *behind_views(const cg *x, const tw_value *v)
{
    while (v->def && !x->state[v->id].memory &&
           (v->def->code == TW_T_PERMUTE || v->def->code == TW_T_EXPAND_DIMS || v->def->code == TW_T_BROADCAST))
        v = v->def->operand[0];
    return v;
}

/* The load behind views, if the tile is nothing else. */
static const tw_op *plain_load(const cg *x, const tw_value *v)
{
    v = behind_views(x, v);
    return v->def && v->def->code == TW_T_LOAD && !x->state[v->id].memory ? v->def : NULL;
}

/* Do 16 steps of k stand side by side in memory? Found by evaluating into a block that is thrown away. */
static bool contiguous_along_k(cg *x, const product *p)
{
    const tw_value *source = behind_views(x, p->b);
    if ((!plain_load(x, p->b) && !x->state[source->id].memory) || p->L != 16 || p->dtype != TW_F32)
        return false;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b), probe = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    LLVMPositionBuilderAtEnd(x->b, probe);
    place at[TW_MAX_RANK];
    index_of(p, run(cg_i64(x, 0)), one(cg_i64(x, 1)), at);
    bool vector = false;
    cg_forget(x);
    x->probed = &vector;
    cg_eval(x, p->b, at);
    x->probed = NULL;
    cg_forget(x);
    LLVMDeleteBasicBlock(probe);
    LLVMPositionBuilderAtEnd(x->b, here);
    return vector;
}

/* Row k of the panel, for columns j.. : vectors of the evaluated operand, zeros beyond N. */
static void pack_row(cg *x, product *p, LLVMValueRef k, LLVMValueRef j, int vectors, LLVMValueRef columns)
{
    cg_forget(x);
    for (int v = 0; v < vectors; v++) {
        place at[TW_MAX_RANK];
        index_of(p, one(k), run(plus(x, j, v * p->L)), at);
        x->tail = cg_first_lanes(x, minus(x, columns, v * p->L));
        tw_dtype given = (tw_dtype)p->b->type.dtype;
        LLVMValueRef e = widen(x, p, cg_vector(x, cg_eval(x, p->b, at), given), given);
        e = zeroed(x, e, x->tail);
        x->tail = NULL;
        LLVMValueRef row = LLVMBuildMul(x->b, k, cg_i64(x, p->NR), "");
        aligned_store(x, p, e, element(x, p, p->panel, plus(x, row, v * p->L)));
    }
}

/* 16 x 16 transposed in registers: four rounds of interleaving rows that are 8, 4, 2, 1 apart. */
static void transpose(cg *x, LLVMValueRef *row)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c);
    for (int round = 0; round < 4; round++) {
        LLVMValueRef next[16], low[16], high[16];
        for (int i = 0; i < 16; i++) {
            low[i] = LLVMConstInt(i32, (unsigned)(i / 2 + (i % 2) * 16), false);
            high[i] = LLVMConstInt(i32, (unsigned)(8 + i / 2 + (i % 2) * 16), false);
        }
        for (int i = 0; i < 8; i++) { /* the perfect shuffle, four times, is the transposition */
            next[2 * i] = LLVMBuildShuffleVector(x->b, row[i], row[i + 8], LLVMConstVector(low, 16), "");
            next[2 * i + 1] = LLVMBuildShuffleVector(x->b, row[i], row[i + 8], LLVMConstVector(high, 16), "");
        }
        memcpy(row, next, sizeof next);
    }
}

/* Where the number of columns isn't known, those beyond it are read from the last one: nobody uses them. Frozen, so
 * that the analysis of loops (LSR) doesn't look into sixteen minima. */
static LLVMValueRef column(cg *x, LLVMValueRef j, LLVMValueRef i, LLVMValueRef columns)
{
    LLVMTypeRef i64 = LLVMInt64TypeInContext(x->c);
    LLVMValueRef both[] = {i, minus(x, columns, 1)};
    if (LLVMIsAConstantInt(columns))
        return LLVMBuildAdd(x->b, j, i, "");
    return LLVMBuildAdd(x->b, j, LLVMBuildFreeze(x->b, cg_intrinsic(x, "llvm.smin", &i64, 1, both, 2), ""), "");
}

/* 16 steps of k for columns v .. v + 15 behind j, of which there are so many. */
static void pack_square(cg *x, product *p, LLVMValueRef k, LLVMValueRef j, LLVMValueRef v, int wanted,
                        LLVMValueRef columns)
{
    LLVMValueRef row[16];
    tw_dtype given = (tw_dtype)p->b->type.dtype;
    cg_forget(x);
    for (int i = 0; i < 16; i++) {
        place at[TW_MAX_RANK];
        index_of(p, run(k), one(column(x, j, plus(x, v, i), columns)), at);
        row[i] = i < wanted ? widen(x, p, cg_vector(x, cg_eval(x, p->b, at), given), given)
                            : LLVMConstNull(vector_type(x, p));
    }
    transpose(x, row);
    for (int i = 0; i < 16; i++) {
        LLVMValueRef line = LLVMBuildMul(x->b, plus(x, k, i), cg_i64(x, p->NR), "");
        aligned_store(x, p, row[i], element(x, p, p->panel, LLVMBuildAdd(x->b, line, v, "")));
    }
}

static void pack_transposed(cg *x, product *p, LLVMValueRef k, LLVMValueRef j, int vectors, LLVMValueRef columns)
{
    int64_t room = vectors * 16, known = LLVMIsAConstantInt(columns) ? LLVMConstIntGetSExtValue(columns) : room;
    int64_t whole = TW_MIN(known, room) / 16 * 16;
    if (whole > 16) { /* a loop: unrolled, its code is most of what there is to compile */
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, whole), 16, 0, NULL);
        pack_square(x, p, k, j, l.index, 16, columns);
        cg_loop_end(x, &l, NULL);
    } else if (whole == 16) {
        pack_square(x, p, k, j, cg_i64(x, 0), 16, columns);
    }
    for (int64_t v = whole; v < room; v += 16)
        pack_square(x, p, k, j, cg_i64(x, v), (int)(known - v), columns);
}

static void pack(cg *x, product *p, LLVMValueRef j, int vectors, LLVMValueRef columns)
{
    LLVMValueRef K = p->k, blocked = cg_i64(x, 0);
    if (contiguous_along_k(x, p)) {
        blocked = p->cut & CUT_K ? K : cg_rounded_down(x, K, 16);
        loop l = cg_loop_begin(x, cg_i64(x, 0), blocked, 16, 0, NULL);
        pack_transposed(x, p, l.index, j, vectors, columns);
        cg_loop_end(x, &l, NULL);
    }
    if (blocked != K) {
        loop l = cg_loop_begin(x, blocked, K, 1, 0, NULL);
        pack_row(x, p, l.index, j, vectors, columns);
        cg_loop_end(x, &l, NULL);
    }
}

/* ---- the micro-kernel ---- */

static LLVMValueRef multiply_add(cg *x, const product *p, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMTypeRef type = LLVMTypeOf(c);
    LLVMValueRef arguments[] = {a, b, c};
    if (tw_dtype_floating(p->dtype))
        return cg_intrinsic(x, "llvm.fma", &type, 1, arguments, 3);
    return LLVMBuildAdd(x->b, LLVMBuildMul(x->b, a, b, ""), c, "");
}

static void step(cg *x, product *p, LLVMValueRef m, LLVMValueRef k, int rows, int vectors, LLVMValueRef *sum)
{
    LLVMValueRef b[8], line = LLVMBuildMul(x->b, k, cg_i64(x, p->NR), "");
    tw_dtype given = (tw_dtype)p->a->type.dtype;
    for (int v = 0; v < vectors; v++)
        b[v] = aligned_load(x, p, vector_type(x, p), element(x, p, p->panel, plus(x, line, v * p->L)));
    cg_forget(x);
    for (int i = 0; i < rows; i++) {
        place at[TW_MAX_RANK];
        index_of(p, one(plus(x, m, i)), one(k), at);
        LLVMValueRef a = cg_splat(x, widen(x, p, cg_eval(x, p->a, at).v, given));
        for (int v = 0; v < vectors; v++)
            sum[i * vectors + v] = multiply_add(x, p, a, b[v], sum[i * vectors + v]);
    }
}

static void initial(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, LLVMValueRef *sum)
{
    cg_forget(x);
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vectors; v++) {
            place at[TW_MAX_RANK];
            index_of(p, one(plus(x, m, i)), run(plus(x, j, v * p->L)), at);
            sum[i * vectors + v] =
                p->c ? cg_vector(x, cg_eval(x, p->c, at), p->dtype) : LLVMConstNull(vector_type(x, p));
        }
    }
}

/* Evaluates the stores on rows m.. of the block that stands in the tile. */
static void epilogue(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, LLVMValueRef columns)
{
    const tw_value *dot = &p->op->result[0];
    bool known = LLVMIsAConstantInt(columns) != NULL;
    int64_t most = (int64_t)vectors * p->L,
            whole = known ? TW_MIN(LLVMConstIntGetSExtValue(columns), most) / p->L * p->L : -1;
    LLVMValueRef full = known ? cg_i64(x, whole) : cg_rounded_down(x, columns, p->L);
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, rows), 1, 0, NULL);
    for (int part = 0; part < 2; part++) {
        bool tail = part == 1;
        if (tail ? whole == most : whole == 0)
            continue;
        LLVMValueRef v = full;
        loop inner = {0};
        if (!tail || !known) { /* the tail of a number that isn't known: once or not at all */
            inner = cg_loop_begin(x, tail ? full : cg_i64(x, 0), tail ? columns : full, p->L, 0, NULL);
            v = inner.index;
        }
        cg_forget(x);
        x->tail = tail ? cg_first_lanes(x, LLVMBuildSub(x->b, columns, full, "")) : NULL;
        place at[TW_MAX_RANK];
        index_of(p, one(LLVMBuildAdd(x->b, m, l.index, "")), run(LLVMBuildAdd(x->b, j, v, "")), at);
        LLVMValueRef offset = LLVMBuildAdd(x->b, LLVMBuildMul(x->b, l.index, cg_i64(x, p->NR), ""), v, "");
        cg_bind(
            x, dot, at,
            (lane){.form = LANE_VECTOR, .v = aligned_load(x, p, vector_type(x, p), element(x, p, p->tile, offset))});
        cg_store_all(x, p->stores, p->count, at);
        x->tail = NULL;
        if (!tail || !known)
            cg_loop_end(x, &inner, NULL);
    }
    cg_loop_end(x, &l, NULL);
}

/* To the tile, or to where the product goes: there, lanes beyond an unknown number of columns are the next row's. */
static void write_out(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, LLVMValueRef columns,
                      const LLVMValueRef *sum)
{
    const tw_value *dot = &p->op->result[0];
    LLVMTypeRef overload[] = {vector_type(x, p), LLVMPointerTypeInContext(x->c, 0)};
    LLVMValueRef alignment = LLVMConstInt(LLVMInt32TypeInContext(x->c), tw_dtype_size(p->dtype), false);
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vectors; v++) {
            place at[TW_MAX_RANK];
            index_of(p, one(plus(x, m, i)), run(plus(x, j, v * p->L)), at);
            LLVMValueRef e = sum[i * vectors + v];
            if (!p->into) {
                aligned_store(x, p, e, element(x, p, p->tile, cg_i64(x, i * p->NR + v * p->L)));
                continue;
            }
            LLVMValueRef address = cg_memory_at(x, dot, p->into, at);
            LLVMValueRef mask = LLVMIsAConstantInt(columns) ? NULL : cg_first_lanes(x, minus(x, columns, v * p->L));
            if (mask)
                cg_intrinsic(x, "llvm.masked.store", overload, 2, (LLVMValueRef[]){e, address, alignment, mask}, 4);
            else
                aligned_store(x, p, e, address);
        }
    }
}

/* ---- prefetching what the epilogue reads and writes ---- rows of a matrix lie far apart, where no hardware prefetcher
 * looks; asked for before the loop over k, they have arrived after it (a store-heavy epilogue ran four times as fast)
 */

static void prefetch_rows(cg *x, product *p, const tw_value *pointer, LLVMValueRef m, LLVMValueRef j, int rows,
                          int vectors, bool write)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c), overload = LLVMPointerTypeInContext(x->c, 0);
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vectors; v++) {
            place at[TW_MAX_RANK];
            index_of(p, one(plus(x, m, i)), run(plus(x, j, v * p->L)), at);
            lane l = cg_eval(x, pointer, at);
            if (x->status != TW_OK || l.form != LANE_AFFINE || l.step != 1)
                return;
            LLVMValueRef address =
                LLVMBuildGEP2(x->b, cg_memory_type(x, (tw_dtype)pointer->type.dtype), l.pointer, &l.v, 1, "");
            LLVMValueRef arguments[] = {address, LLVMConstInt(i32, write, false), LLVMConstInt(i32, 3, false),
                                        LLVMConstInt(i32, 1, false)};
            cg_intrinsic(x, "llvm.prefetch", &overload, 1, arguments, 4);
        }
    }
}

enum { MOST_PREFETCHED = 12 };

typedef struct loads {
    const tw_op *load[MOST_PREFETCHED];
    int count;
    bool *seen; /* by value id: many ways lead to one value, of which each doubles them */
} loads;

static void find_loads(const cg *x, const tw_value *v, const tw_value *dot, loads *found)
{
    const tw_op *op = v->def;
    if (!op || v == dot || v->type.rank != dot->type.rank || x->state[v->id].memory || found->seen[v->id] ||
        found->count == MOST_PREFETCHED)
        return;
    found->seen[v->id] = true;
    if (op->code == TW_T_LOAD)
        found->load[found->count++] = op;
    for (uint32_t i = 0; i < op->operands && op->info->class == TW_CLASS_POINTWISE; i++)
        find_loads(x, op->operand[i], dot, found);
}

static void prefetch(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors)
{
    loads found = {.seen = tw_arena_zero(x->arena, x->g->values + 1, sizeof(bool))};
    if (!found.seen) {
        x->status = TW_ERR_MEMORY;
        return;
    }
    cg_forget(x);
    for (int i = 0; i < p->count; i++)
        find_loads(x, p->stores[i]->operand[1], &p->op->result[0], &found);
    for (int i = 0; i < found.count; i++)
        prefetch_rows(x, p, found.load[i]->operand[0], m, j, rows, vectors, false);
    for (int i = 0; i < p->count && i < MOST_PREFETCHED; i++)
        prefetch_rows(x, p, p->stores[i]->operand[0], m, j, rows, vectors, true);
}

/* Steps k from `from` on, `by` at a time, with the sums carried. */
static void steps(cg *x, product *p, LLVMValueRef m, LLVMValueRef from, LLVMValueRef limit, int by, int rows,
                  int vectors, LLVMValueRef *sum)
{
    int sums = rows * vectors;
    loop l = cg_loop_begin(x, from, limit, by, sums, sum);
    memcpy(sum, l.phi, (size_t)sums * sizeof *sum);
    for (int u = 0; u < by; u++)
        step(x, p, m, plus(x, l.index, u), rows, vectors, sum);
    cg_loop_end(x, &l, sum);
    memcpy(sum, l.phi, (size_t)sums * sizeof *sum);
}

static void block(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, LLVMValueRef columns)
{
    enum { UNROLL = 4 };
    LLVMValueRef sum[MOST_PHIS], K = p->k, unrolled = p->cut & CUT_K ? K : cg_rounded_down(x, K, UNROLL);
    prefetch(x, p, m, j, rows, vectors);
    initial(x, p, m, j, rows, vectors, sum);
    if (p->K < 0 || p->K >= UNROLL)
        steps(x, p, m, cg_i64(x, 0), unrolled, UNROLL, rows, vectors, sum);
    for (int64_t k = p->K / UNROLL * UNROLL; k < p->K; k++)
        step(x, p, m, cg_i64(x, k), rows, vectors, sum);
    if (p->K < 0)
        steps(x, p, m, unrolled, K, 1, rows, vectors, sum);
    write_out(x, p, m, j, rows, vectors, columns, sum);
    if (!p->into)
        epilogue(x, p, m, j, rows, vectors, columns);
}

/* Accumulators that the registers hold beside one row of the panel and a broadcast. */
static int rows_for(const cg *x, int vectors)
{
    int registers = x->vector_bytes == 64 ? 32 : 16;
    int rows = (registers - vectors - 2) / vectors;
    return TW_MAX(1, TW_MIN(rows, x->vector_bytes == 64 ? 14 : 6));
}

/* Blocks of `rows` rows from row `from` on, as long as whole ones are left; returns the first row behind them. */
static LLVMValueRef blocks(cg *x, product *p, LLVMValueRef from, LLVMValueRef j, int rows, int vectors,
                           LLVMValueRef columns)
{
    loop l = cg_loop_begin(x, from, minus(x, p->m, rows - 1), rows, 0, NULL);
    block(x, p, l.index, j, rows, vectors, columns);
    cg_loop_end(x, &l, NULL);
    return l.index;
}

static void panel(cg *x, product *p, LLVMValueRef j, int vectors, LLVMValueRef columns)
{
    int rows = rows_for(x, vectors), rest = (int)(p->M % rows);
    LLVMValueRef row = cg_i64(x, 0);
    pack(x, p, j, vectors, columns);
    if (p->M < 0 || p->M >= rows)
        row = blocks(x, p, row, j, rows, vectors, columns);
    if (p->M >= 0 && rest > 0)
        block(x, p, cg_i64(x, p->M - rest), j, rest, vectors, columns);
    for (int few = 8; p->M < 0 && few >= 1; few /= 2) /* what is left of a number of rows that isn't known */
        if (few < rows)
            row = blocks(x, p, row, j, few, vectors, columns);
}

/* ---- entry ---- */

static bool readable_in_place(const cg *x, const tw_value *a)
{
    const tw_value *v = a;
    while (v->def && v->def->code == TW_T_PERMUTE && !x->state[v->id].memory)
        v = v->def->operand[0];
    if (x->state[v->id].memory)
        return true;
    const tw_op *load = plain_load(x, a);
    return load && !load->operand[1];
}

/* All panels of one matrix. */
static void multiply(cg *x, product *p)
{
    enum { MOST_VECTORS = 4 };
    int64_t columns = MOST_VECTORS * p->L, rest = p->N % columns;
    int rest_vectors = (int)((rest + p->L - 1) / p->L);
    LLVMValueRef N = p->n, full = p->cut & CUT_N ? N : cg_rounded_down(x, N, columns);
    if (p->N < 0 || p->N >= columns) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), full, columns, 0, NULL);
        panel(x, p, l.index, MOST_VECTORS, cg_i64(x, columns));
        cg_loop_end(x, &l, NULL);
    }
    if (p->N < 0) { /* once or not at all */
        loop l = cg_loop_begin(x, full, N, columns, 0, NULL);
        panel(x, p, l.index, MOST_VECTORS, LLVMBuildSub(x->b, N, l.index, ""));
        cg_loop_end(x, &l, NULL);
    } else if (rest > 0) {
        panel(x, p, full, rest_vectors, cg_i64(x, rest));
    }
}

static void each_matrix(cg *x, product *p, int d)
{
    if (d == p->outer) {
        multiply(x, p);
        return;
    }
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, p->op->result[0].type.dims[d]), 1, 0, NULL);
    p->at[d] = one(l.index);
    each_matrix(x, p, d + 1);
    cg_loop_end(x, &l, NULL);
}

/* Columns and chains end at a multiple of what their loops step by; rows don't. */
static void end_early(cg *x, product *p)
{
    unsigned cut = p->cut;
    LLVMValueRef end = cut ? cg_ragged_columns(x) : NULL;
    p->m = cut & CUT_M ? end : cg_size(x, p->M);
    p->n = cut & CUT_N ? end : cg_size(x, p->N);
    p->k = cut & CUT_K ? end : cg_size(x, p->K);
    if (cut & CUT_M)
        p->M = -1;
}

void cg_dot(cg *x, const tw_op *op, const tw_op *const *stores, int count, LLVMValueRef into)
{
    enum { MOST_VECTORS = 4 };
    const tw_type *t = &op->result[0].type;
    product p = {.op = op,
                 .a = op->operand[0],
                 .b = op->operand[1],
                 .c = op->operand[2],
                 .stores = stores,
                 .count = count,
                 .into = into,
                 .outer = t->rank - 2};
    int width = x->W;
    p.dtype = (tw_dtype)t->dtype;
    p.M = t->dims[p.outer];
    p.N = t->dims[p.outer + 1];
    p.K = p.a->type.dims[p.outer + 1];
    p.L = TW_MIN(x->vector_bytes / (int)tw_dtype_size(p.dtype), 16);
    p.cut = x->state[op->result[0].id].cut;
    end_early(x, &p);
    if (!count && !p.into)
        p.into = cg_scratch(x, cg_tile_size(t));
    if (!readable_in_place(x, p.a))
        cg_materialise(x, p.a);
    int64_t columns = MOST_VECTORS * p.L, bytes = (int64_t)tw_dtype_size(p.dtype);
    p.NR = p.N < 0 || p.N >= columns ? columns : (p.N % columns + p.L - 1) / p.L * p.L;
    p.panel = cg_scratch(x, (block_size){.bytes = p.NR * bytes, .dims = 1, .dim = {p.K}});
    p.tile = cg_scratch(x, (block_size){.bytes = 16 * p.NR * bytes});
    cg_set_width(x, p.L);
    each_matrix(x, &p, 0);
    cg_set_width(x, width);
    cg_forget(x);
    if (!count)
        cg_push_memory(x, &op->result[0], p.into);
}
