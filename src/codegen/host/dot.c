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
    int64_t M, N, K;
    tw_dtype dtype; /* computed in */
    int L;          /* lanes */
    int64_t NR;     /* columns of the packed panel's rows */
    LLVMValueRef panel, tile, into;
    const tw_op *const *stores;
    int count;
} product;

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

static LLVMValueRef tail_mask(cg *x, int64_t lanes)
{
    LLVMValueRef on[64];
    if (lanes >= x->W)
        return NULL;
    for (int i = 0; i < x->W; i++)
        on[i] = LLVMConstInt(LLVMInt1TypeInContext(x->c), i < lanes, false);
    return LLVMConstVector(on, (unsigned)x->W);
}

static LLVMValueRef zeroed(cg *x, LLVMValueRef v, LLVMValueRef mask)
{
    return mask ? LLVMBuildSelect(x->b, mask, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

/* The load behind views, if the tile is nothing else. */
static const tw_op *plain_load(const cg *x, const tw_value *v)
{
    while (v->def && !x->state[v->id].memory &&
           (v->def->code == TW_T_PERMUTE || v->def->code == TW_T_EXPAND_DIMS || v->def->code == TW_T_BROADCAST))
        v = v->def->operand[0];
    return v->def && v->def->code == TW_T_LOAD && !x->state[v->id].memory ? v->def : NULL;
}

/* Do 16 steps of k stand side by side in memory? Found by evaluating into a block that is thrown away. */
static bool contiguous_along_k(cg *x, const product *p)
{
    const tw_op *load = plain_load(x, p->b);
    if (!load || load->operand[1] || p->L != 16 || p->dtype != TW_F32 || p->b->type.dtype != TW_F32)
        return false;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b), probe = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    LLVMPositionBuilderAtEnd(x->b, probe);
    place at[2] = {{cg_i64(x, 0), true}, {cg_i64(x, 1), false}};
    cg_forget(x);
    lane v = cg_eval(x, p->b, at);
    cg_forget(x);
    bool vector = v.form == LANE_VECTOR && LLVMGetInstructionOpcode(v.v) == LLVMLoad;
    LLVMDeleteBasicBlock(probe);
    LLVMPositionBuilderAtEnd(x->b, here);
    return vector;
}

/* Row k of the panel, for columns j.. : vectors of the evaluated operand, zeros beyond N. */
static void pack_row(cg *x, product *p, LLVMValueRef k, LLVMValueRef j, int vectors, int64_t columns)
{
    cg_forget(x);
    for (int v = 0; v < vectors; v++) {
        place at[2] = {{k, false}, {plus(x, j, v * p->L), true}};
        x->tail = tail_mask(x, columns - v * p->L);
        LLVMValueRef e =
            cg_widen(x, cg_vector(x, cg_eval(x, p->b, at), (tw_dtype)p->b->type.dtype), (tw_dtype)p->b->type.dtype);
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

static void pack_transposed(cg *x, product *p, LLVMValueRef k, LLVMValueRef j, int vectors, int64_t columns)
{
    for (int v = 0; v < vectors; v++) {
        LLVMValueRef row[16];
        cg_forget(x);
        for (int i = 0; i < 16; i++) {
            place at[2] = {{k, true}, {plus(x, j, v * 16 + i), false}};
            row[i] =
                v * 16 + i < columns ? cg_vector(x, cg_eval(x, p->b, at), TW_F32) : LLVMConstNull(vector_type(x, p));
        }
        transpose(x, row);
        for (int i = 0; i < 16; i++) {
            LLVMValueRef line = LLVMBuildMul(x->b, plus(x, k, i), cg_i64(x, p->NR), "");
            aligned_store(x, p, row[i], element(x, p, p->panel, plus(x, line, v * 16)));
        }
    }
}

static void pack(cg *x, product *p, LLVMValueRef j, int vectors, int64_t columns)
{
    int64_t blocked = contiguous_along_k(x, p) ? p->K / 16 * 16 : 0;
    if (blocked > 0) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, blocked), 16, 0, NULL);
        pack_transposed(x, p, l.index, j, vectors, columns);
        cg_loop_end(x, &l, NULL);
    }
    if (blocked < p->K) {
        loop l = cg_loop_begin(x, cg_i64(x, blocked), cg_i64(x, p->K), 1, 0, NULL);
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
        place at[2] = {{plus(x, m, i), false}, {k, false}};
        LLVMValueRef a = cg_splat(x, cg_widen(x, cg_eval(x, p->a, at).v, given));
        for (int v = 0; v < vectors; v++)
            sum[i * vectors + v] = multiply_add(x, p, a, b[v], sum[i * vectors + v]);
    }
}

static void initial(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, LLVMValueRef *sum)
{
    cg_forget(x);
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vectors; v++) {
            place at[2] = {{plus(x, m, i), false}, {plus(x, j, v * p->L), true}};
            sum[i * vectors + v] =
                p->c ? cg_vector(x, cg_eval(x, p->c, at), p->dtype) : LLVMConstNull(vector_type(x, p));
        }
    }
}

/* Evaluates the stores on rows m.. of the block that stands in the tile. */
static void epilogue(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, int64_t columns)
{
    const tw_value *dot = &p->op->result[0];
    int64_t full = TW_MIN(columns / p->L, vectors);
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, rows), 1, 0, NULL);
    for (int part = 0; part < 2; part++) {
        bool tail = part == 1;
        loop inner = {0};
        if (tail ? full == vectors : full == 0)
            continue;
        LLVMValueRef v = cg_i64(x, full * p->L);
        if (!tail) {
            inner = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, full * p->L), p->L, 0, NULL);
            v = inner.index;
        }
        cg_forget(x);
        x->tail = tail ? tail_mask(x, columns - full * p->L) : NULL;
        place at[2] = {{LLVMBuildAdd(x->b, m, l.index, ""), false}, {LLVMBuildAdd(x->b, j, v, ""), true}};
        LLVMValueRef offset = LLVMBuildAdd(x->b, LLVMBuildMul(x->b, l.index, cg_i64(x, p->NR), ""), v, "");
        cg_bind(
            x, dot, at,
            (lane){.form = LANE_VECTOR, .v = aligned_load(x, p, vector_type(x, p), element(x, p, p->tile, offset))});
        cg_store_all(x, p->stores, p->count, at);
        x->tail = NULL;
        if (!tail)
            cg_loop_end(x, &inner, NULL);
    }
    cg_loop_end(x, &l, NULL);
}

static void write_out(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, const LLVMValueRef *sum)
{
    const tw_value *dot = &p->op->result[0];
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vectors; v++) {
            place at[2] = {{plus(x, m, i), false}, {plus(x, j, v * p->L), true}};
            LLVMValueRef address =
                p->into ? cg_memory_at(x, dot, p->into, at) : element(x, p, p->tile, cg_i64(x, i * p->NR + v * p->L));
            aligned_store(x, p, sum[i * vectors + v], address);
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
            place at[2] = {{plus(x, m, i), false}, {plus(x, j, v * p->L), true}};
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

static void find_loads(const cg *x, const tw_value *v, const tw_value *dot, const tw_op **load, int *count, int depth)
{
    const tw_op *op = v->def;
    if (!op || v == dot || v->type.rank != 2 || x->state[v->id].memory || depth > 100 || *count == MOST_PREFETCHED)
        return;
    if (op->code == TW_T_LOAD) {
        for (int i = 0; i < *count; i++)
            if (load[i] == op)
                return;
        load[(*count)++] = op;
        return;
    }
    for (uint32_t i = 0; i < op->operands && op->info->class == TW_CLASS_POINTWISE; i++)
        find_loads(x, op->operand[i], dot, load, count, depth + 1);
}

static void prefetch(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors)
{
    const tw_op *load[MOST_PREFETCHED];
    int loads = 0;
    cg_forget(x);
    for (int i = 0; i < p->count; i++)
        find_loads(x, p->stores[i]->operand[1], &p->op->result[0], load, &loads, 0);
    for (int i = 0; i < loads; i++)
        prefetch_rows(x, p, load[i]->operand[0], m, j, rows, vectors, false);
    for (int i = 0; i < p->count && i < MOST_PREFETCHED; i++)
        prefetch_rows(x, p, p->stores[i]->operand[0], m, j, rows, vectors, true);
}

static void block(cg *x, product *p, LLVMValueRef m, LLVMValueRef j, int rows, int vectors, int64_t columns)
{
    enum { UNROLL = 4 };
    LLVMValueRef sum[MOST_PHIS];
    int sums = rows * vectors;
    int64_t unrolled = p->K / UNROLL * UNROLL;
    prefetch(x, p, m, j, rows, vectors);
    initial(x, p, m, j, rows, vectors, sum);
    if (unrolled > 0) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, unrolled), UNROLL, sums, sum);
        memcpy(sum, l.phi, (size_t)sums * sizeof *sum);
        for (int u = 0; u < UNROLL; u++)
            step(x, p, m, plus(x, l.index, u), rows, vectors, sum);
        cg_loop_end(x, &l, sum);
        memcpy(sum, l.phi, (size_t)sums * sizeof *sum);
    }
    for (int64_t k = unrolled; k < p->K; k++)
        step(x, p, m, cg_i64(x, k), rows, vectors, sum);
    write_out(x, p, m, j, rows, vectors, sum);
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

static void panel(cg *x, product *p, LLVMValueRef j, int vectors, int64_t columns)
{
    int rows = rows_for(x, vectors);
    int64_t blocked = p->M / rows * rows;
    pack(x, p, j, vectors, columns);
    if (blocked > 0) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, blocked), rows, 0, NULL);
        block(x, p, l.index, j, rows, vectors, columns);
        cg_loop_end(x, &l, NULL);
    }
    if (blocked < p->M)
        block(x, p, cg_i64(x, blocked), j, (int)(p->M - blocked), vectors, columns);
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

void cg_dot(cg *x, const tw_op *op, const tw_op *const *stores, int count, LLVMValueRef into)
{
    const tw_type *t = &op->result[0].type;
    product p = {.op = op,
                 .a = op->operand[0],
                 .b = op->operand[1],
                 .c = op->operand[2],
                 .stores = stores,
                 .count = count,
                 .into = into};
    if (t->rank != 2) {
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: dot of rank %d; expected 2", t->rank));
        return;
    }
    int width = x->W;
    p.dtype = (tw_dtype)t->dtype;
    p.M = cg_dim(t, 0);
    p.N = cg_dim(t, 1);
    p.K = cg_dim(&p.a->type, 1);
    p.L = TW_MIN(x->vector_bytes / (int)tw_dtype_size(p.dtype), 16);
    if (!count && !p.into)
        p.into = cg_scratch(x, cg_memory_bytes(x, t));
    if (!readable_in_place(x, p.a))
        cg_materialise(x, p.a);
    enum { MOST_VECTORS = 4 };
    int64_t columns = MOST_VECTORS * p.L, full = p.N / columns, rest = p.N - full * columns;
    int rest_vectors = (int)((rest + p.L - 1) / p.L);
    p.NR = full ? columns : rest_vectors * p.L;
    p.panel = cg_scratch(x, p.K * p.NR * (int64_t)tw_dtype_size(p.dtype));
    p.tile = cg_scratch(x, 16 * p.NR * (int64_t)tw_dtype_size(p.dtype));
    cg_set_width(x, p.L);
    if (full > 0) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, full * columns), columns, 0, NULL);
        panel(x, &p, l.index, MOST_VECTORS, columns);
        cg_loop_end(x, &l, NULL);
    }
    if (rest > 0)
        panel(x, &p, cg_i64(x, full * columns), rest_vectors, rest);
    cg_set_width(x, width);
    cg_forget(x);
    if (!count)
        cg_push_memory(x, &op->result[0], p.into);
}
