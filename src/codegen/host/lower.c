/* A tile program as one LLVM function: the loop over program ids, then its statements in order.
 *
 * Most operations emit nothing by themselves: they are evaluated when a statement that is looped over asks for them. A
 * product whose results only go, element by element, into stores waits for these stores and evaluates them on its
 * register block. */
#include "codegen/host/lower.h"

#include <llvm-c/Analysis.h>

enum { MOST_PENDING = 64, DEAR = 10 };

void cg_fail(cg *x, tw_status status)
{
    if (x->status == TW_OK)
        x->status = status != TW_OK ? status : TW_ERR_INTERNAL;
}

void cg_refuse(cg *x, const char *what)
{
    cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: kernel %s: %s is not supported", x->g->name, what));
}

LLVMBasicBlockRef cg_block(cg *x)
{
    return LLVMAppendBasicBlockInContext(x->c, x->function, "");
}

LLVMValueRef cg_i64(cg *x, int64_t value)
{
    return LLVMConstInt(LLVMInt64TypeInContext(x->c), (unsigned long long)value, true);
}

bool cg_same_shape(const tw_type *a, const tw_type *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

/* ---- which values are dear and asked for by several loops ---- */

static bool is_driver(const tw_op *op)
{
    return op->code == TW_T_STORE || op->code == TW_T_REDUCE || op->code == TW_T_DOT ||
           op->info->class == TW_CLASS_SCAN || op->code == TW_T_ATOMIC || op->code == TW_T_YIELD ||
           op->code == TW_T_PRINT || op->code == TW_T_ASSERT || op->regions;
}

static bool lazy(const tw_op *op)
{
    return !is_driver(op) && op->results == 1 && op->result[0].type.rank > 0;
}

/* Asks for its source at other places than its own: chains of these would evaluate their beginnings again and again. */
static bool scatters_asking(const tw_op *op)
{
    const tw_type *from = op->operands ? &op->operand[0]->type : NULL, *to = &op->result[0].type;
    int i = 0, j = 0;
    if (op->code != TW_T_RESHAPE)
        return op->code == TW_T_GATHER || op->code == TW_T_SPLIT;
    while (i < from->rank || j < to->rank) { /* only dimensions of 1 come and go? */
        if (i < from->rank && j < to->rank && from->dims[i] == to->dims[j])
            i++, j++;
        else if (i < from->rank && from->dims[i] == 1)
            i++;
        else if (j < to->rank && to->dims[j] == 1)
            j++;
        else
            return true;
    }
    return false;
}

static int own_cost(const tw_op *op)
{
    if (scatters_asking(op))
        return DEAR;
    if ((op->code == TW_T_DIV || op->code == TW_T_REM) && op->result[0].type.dtype == TW_I32)
        return DEAR; /* no vector unit has it */
    if (op->code == TW_T_DIV || op->code == TW_T_SQRT || op->code == TW_T_REM)
        return 4;
    return op->info->class == TW_CLASS_POINTWISE && !op->result[0].type.pointer && op->result[0].type.dtype != TW_I64;
}

/* Computes what is dear in v's cone before a loop that asks for it again and again; a value that grows is computed
 * before it grows. Returns what an element costs now. */
int cg_hoist(cg *x, const tw_value *v)
{
    value_state *s = &x->state[v->id];
    const tw_op *op = v->def;
    if (!op || v->type.rank == 0 || s->memory || !lazy(op))
        return 0;
    if (s->hoisted == x->hoisting)
        return s->rest;
    s->hoisted = x->hoisting;
    s->rest = own_cost(op);
    for (uint32_t i = 0; i < op->operands; i++) {
        int cost = op->operand[i] ? cg_hoist(x, op->operand[i]) : 0;
        if (cost && cg_same_shape(&op->operand[i]->type, &v->type))
            s->rest = TW_MIN(s->rest + cost, 1000);
    }
    if (v->type.pointer || (s->rest < DEAR && !(op->code == TW_T_LOAD && op->operand[1])))
        return s->rest;
    cg_materialise(x, v);
    return s->rest = 0;
}

/* reach[v]: drivers (one bit each) that evaluate v; what is kept is evaluated once. */
static void mark_kept(cg *x, const tw_block *block)
{
    uint64_t *reach = tw_arena_zero(x->arena, x->g->values + 1, sizeof *reach);
    uint64_t next = 1;
    if (!reach) {
        cg_fail(x, TW_ERR_MEMORY);
        return;
    }
    for (const tw_op *op = block->first; op; op = op->next) {
        if (!lazy(op) && op->code != TW_T_SPLIT)
            continue;
        value_state *s = &x->state[op->result[0].id];
        s->cost = own_cost(op);
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] && op->operand[i]->type.rank)
                s->cost += TW_MIN(x->state[op->operand[i]->id].cost, 1000);
        if (op->code == TW_T_SPLIT)
            x->state[op->result[1].id].cost = s->cost;
    }
    const tw_op *store = NULL;
    for (const tw_op *op = block->last; op; op = op->prev) {
        uint64_t mine = 0;
        if (is_driver(op)) {
            bool same =
                op->code == TW_T_STORE && store && tw_type_equal(&store->operand[1]->type, &op->operand[1]->type);
            if (!same)
                next = next << 1 | next >> 63;
            mine = next;
            store = op->code == TW_T_STORE ? op : NULL;
        } else if (lazy(op)) {
            const tw_value *v = &op->result[0];
            value_state *s = &x->state[v->id];
            mine = reach[v->id];
            bool several = (mine & (mine - 1)) != 0;
            if (several && s->cost >= DEAR && !v->type.pointer && v->type.rank > 0) {
                s->keep = true;
                mine = next = next << 1 | next >> 63;
            }
        }
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                reach[op->operand[i]->id] |= mine;
    }
}

/* ---- products and their stores ---- */

/* Every use of the product, through element-wise work of its shape, ends in a store of its shape in this block. */
static bool only_stored(cg *x, const tw_value *v, const tw_block *block)
{
    bool *made = tw_arena_zero(x->arena, x->g->values + 1, sizeof *made); /* by value id: from the product */
    if (!made)
        return cg_fail(x, TW_ERR_MEMORY), false;
    made[v->id] = true;
    for (const tw_op *op = block->first; op; op = op->next) {
        const tw_type *t = op->code == TW_T_STORE ? &op->operand[0]->type : op->results ? &op->result[0].type : NULL;
        for (uint32_t i = 0; i < op->operands; i++) {
            if (!op->operand[i] || !made[op->operand[i]->id])
                continue;
            if (!t || !cg_same_shape(t, &v->type))
                return false;
            if (op->code == TW_T_STORE && i == 1)
                continue;
            if (op->info->class != TW_CLASS_POINTWISE)
                return false;
            made[op->result[0].id] = true;
        }
        if (op->regions)
            return false;
    }
    return true;
}

/* ---- statements ---- */

typedef struct statements {
    const tw_op *store[MOST_PENDING]; /* waiting to be looped over together */
    int stores;
    const tw_op *dot; /* product that waits for its stores */
} statements;

static void flush(cg *x, statements *s)
{
    if (s->dot) {
        cg_dot(x, s->dot, s->store, s->stores, NULL);
        s->dot = NULL;
    } else if (s->stores) {
        cg_store_group(x, s->store, s->stores);
    }
    s->stores = 0;
}

/* Stores that may meet are carried out one after the other, unless they meet element by element. */
static bool meets(cg *x, const statements *s, const tw_op *op)
{
    for (int i = 0; i < s->stores; i++)
        if (cg_must_part(x, s->store[i], op))
            return true;
    return false;
}

static void add_store(cg *x, statements *s, const tw_op *op)
{
    const tw_type *t = &op->operand[0]->type;
    bool fits = s->stores == 0 || (cg_same_shape(t, &s->store[0]->operand[0]->type) && t->rank <= 2);
    if (s->dot)
        fits = t->rank == 2 && !memcmp(t->dims, s->dot->result[0].type.dims, 2 * sizeof *t->dims);
    if (!fits || s->stores == MOST_PENDING || meets(x, s, op))
        flush(x, s);
    s->store[s->stores++] = op;
}

/* A load must not overtake a waiting store that may write what it reads. */
static bool reads_pending(const statements *s, const tw_op *load)
{
    for (int i = 0; i < s->stores; i++)
        if (cg_may_alias(s->store[i]->operand[0], load->operand[0]))
            return true;
    return false;
}

static LLVMValueRef slot_of(cg *x, LLVMValueRef array, LLVMTypeRef type, int64_t index)
{
    LLVMValueRef i = cg_i64(x, index);
    return LLVMBuildLoad2(x->b, type, LLVMBuildGEP2(x->b, type, array, &i, 1, ""), "");
}

/* 64 bits of the call as a scalar. */
static LLVMValueRef from_word(cg *x, LLVMValueRef word, tw_dtype dtype)
{
    LLVMTypeRef type = cg_type(x, dtype);
    if (dtype == TW_I64 || dtype == TW_U64)
        return word;
    if (!tw_dtype_floating(dtype))
        return LLVMBuildTrunc(x->b, word, type, "");
    LLVMTypeRef bits = LLVMIntTypeInContext(x->c, (unsigned)tw_dtype_size(dtype) * 8);
    return LLVMBuildBitCast(x->b, dtype == TW_F64 ? word : LLVMBuildTrunc(x->b, word, bits, ""), type, "");
}

static void lower_argument(cg *x, const tw_op *op)
{
    value_state *s = &x->state[op->result[0].id];
    if (op->attr[2].i) {
        LLVMValueRef base = slot_of(x, x->buffers, LLVMPointerTypeInContext(x->c, 0), x->pointers++);
        s->pointer = (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0), .pointer = base};
        return;
    }
    int64_t index = tw_graph_symbols(x->g) + op->attr[0].i - x->pointers; /* symbols come first */
    s->scalar = from_word(x, slot_of(x, x->scalars, LLVMInt64TypeInContext(x->c), index), (tw_dtype)op->attr[1].i);
}

static void lower_scalar(cg *x, const tw_op *op)
{
    const tw_value *v = &op->result[0];
    value_state *s = &x->state[v->id];
    lane operand[4], l;
    place zero[TW_MAX_RANK] = {{0}};
    switch (op->code) {
    case TW_T_ARG:
        return;
    case TW_T_CONSTANT:
        s->scalar = cg_constant(x, (tw_dtype)v->type.dtype, op->attr[0].f, op->attr[1].i);
        return;
    case TW_T_DIM:
        s->scalar = from_word(x, cg_size(x, op->attr[0].dims.v[0]), (tw_dtype)v->type.dtype);
        return;
    case TW_T_PROGRAM_ID:
    case TW_T_NUM_PROGRAMS:
        if (op->attr[0].i < 0 || op->attr[0].i > 2)
            cg_refuse(x, "an axis of the grid beyond 2");
        else if (op->code == TW_T_PROGRAM_ID)
            s->scalar = x->pid[op->attr[0].i];
        else
            s->scalar = slot_of(x, x->call, LLVMInt64TypeInContext(x->c), op->attr[0].i);
        return;
    case TW_T_LOAD:
        s->scalar = cg_load(x, op, NULL).v;
        return;
    case TW_T_BROADCAST:
    case TW_T_RESHAPE: /* of one element */
        for (int i = 0; i < op->operand[0]->type.rank; i++)
            zero[i] = (place){.v = cg_i64(x, 0)};
        l = cg_eval(x, op->operand[0], zero);
        break;
    case TW_T_SPLIT:
        s->scalar = cg_split_half(x, v, zero).v;
        x->state[op->result[1].id].scalar = cg_split_half(x, &op->result[1], zero).v;
        return;
    default:
        if (op->info->class != TW_CLASS_POINTWISE) {
            cg_refuse(x, op->info->name);
            return;
        }
        if (v->type.pointer) {
            l = cg_pointer(x, op, zero);
            break;
        }
        for (uint32_t i = 0; i < op->operands; i++)
            operand[i] = cg_eval(x, op->operand[i], zero);
        l = cg_pointwise(x, op, operand);
    }
    if (v->type.pointer)
        s->pointer = l;
    else
        s->scalar = l.v;
}

static void lower_dot(cg *x, statements *s, const tw_op *op)
{
    const tw_value *v = &op->result[0];
    if (x->state[v->id].into)
        cg_dot(x, op, NULL, 0, x->state[v->id].into);
    else if (v->type.rank == 2 && x->uses[v->id] && only_stored(x, v, op->block) && cg_may_wait(x, op))
        s->dot = op;
    else
        cg_dot(x, op, NULL, 0, NULL);
}

/* What is carried out at its place, once what waits is done. */
static void lower_statement(cg *x, statements *s, const tw_op *op)
{
    flush(x, s);
    switch (op->code) {
    case TW_T_REDUCE:
        cg_reduce(x, op);
        return;
    case TW_T_SCAN:
        cg_scan(x, op);
        return;
    case TW_T_COMBINE:
        cg_combine(x, op);
        return;
    case TW_T_SORT:
        cg_sort(x, op);
        return;
    case TW_T_DOT:
        lower_dot(x, s, op);
        return;
    case TW_T_ATOMIC:
        cg_atomic(x, op);
        return;
    case TW_T_FOR:
        cg_for(x, op);
        return;
    case TW_T_WHILE:
        cg_while(x, op);
        return;
    case TW_T_IF:
        cg_if(x, op);
        return;
    case TW_T_PRINT:
    case TW_T_ASSERT:
        cg_say(x, op);
        return;
    default: /* yield: the operation around it does the rest */
        return;
    }
}

void cg_lower_block(cg *x, const tw_block *block)
{
    statements s = {.stores = 0};
    ragged outer = x->ragged;
    mark_kept(x, block);
    cg_find_ragged(x, block);
    cg_order_loads(x, block);
    for (const tw_op *op = block->first; op && x->status == TW_OK; op = op->next) {
        if (op->code == TW_T_STORE) {
            add_store(x, &s, op);
            continue;
        }
        if (is_driver(op)) {
            lower_statement(x, &s, op);
            continue;
        }
        if (op->code == TW_T_LOAD && reads_pending(&s, op))
            flush(x, &s);
        if (scatters_asking(op) && x->state[op->operand[0]->id].cost >= DEAR)
            cg_materialise(x, op->operand[0]);
        if (op->result[0].type.rank == 0) {
            lower_scalar(x, op);
        } else if (x->state[op->result[0].id].early) {
            flush(x, &s);
            cg_materialise(x, &op->result[0]);
        }
    }
    flush(x, &s);
    x->ragged = outer;
}

/* ---- the function ---- */

static void add_attribute(cg *x, const char *name, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(x->c, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(x->function, (unsigned)LLVMAttributeFunctionIndex, a);
}

static void make_function(cg *x)
{
    LLVMTypeRef pointer = LLVMPointerTypeInContext(x->c, 0), i64 = LLVMInt64TypeInContext(x->c);
    LLVMTypeRef arguments[] = {pointer, pointer, pointer, i64, i64, pointer};
    x->function =
        LLVMAddFunction(x->m, "tw_kernel", LLVMFunctionType(LLVMInt32TypeInContext(x->c), arguments, 6, false));
    add_attribute(x, "prefer-vector-width", x->vector_bytes == 64 ? "512" : "256");
    add_attribute(x, "no-trapping-math", "true");
    x->buffers = LLVMGetParam(x->function, 0);
    x->scalars = LLVMGetParam(x->function, 1);
    x->call = LLVMGetParam(x->function, 2);
    x->scratch = LLVMGetParam(x->function, 5);
}

/* The programs of one row along axis 0, from the linear id `rows->index` on: only here is divided. */
static loop begin_row(cg *x, loop *rows, LLVMValueRef last)
{
    LLVMTypeRef i64 = LLVMInt64TypeInContext(x->c);
    LLVMValueRef grid[2] = {slot_of(x, x->call, i64, 0), slot_of(x, x->call, i64, 1)};
    LLVMValueRef first = LLVMBuildURem(x->b, rows->index, grid[0], ""),
                 row = LLVMBuildUDiv(x->b, rows->index, grid[0], "");
    x->pid[1] = LLVMBuildURem(x->b, row, grid[1], "");
    x->pid[2] = LLVMBuildUDiv(x->b, row, grid[1], "");
    LLVMValueRef left[] = {LLVMBuildSub(x->b, last, rows->index, ""), LLVMBuildSub(x->b, grid[0], first, "")};
    rows->step = cg_intrinsic(x, "llvm.smin", &i64, 1, left, 2);
    loop l = cg_loop_begin(x, first, LLVMBuildAdd(x->b, first, rows->step, ""), 1, 0, NULL);
    x->pid[0] = l.index;
    return l;
}

static void lower_programs(cg *x)
{
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(x->c, x->function, ""),
                      start = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    LLVMPositionBuilderAtEnd(x->b, entry);
    for (const tw_op *op = x->g->body->first; op && op->code == TW_T_ARG; op = op->next)
        lower_argument(x, op);
    x->entry_end = LLVMBuildBr(x->b, start);
    x->scratch_used = cg_i64(x, 0);
    LLVMPositionBuilderAtEnd(x->b, start);
    LLVMValueRef last = LLVMGetParam(x->function, 4);
    loop rows = cg_loop_begin(x, LLVMGetParam(x->function, 3), last, 1, 0, NULL);
    loop l = begin_row(x, &rows, last);
    x->leave = cg_block(x);
    cg_lower_block(x, x->g->body);
    LLVMBuildBr(x->b, x->leave);
    LLVMMoveBasicBlockAfter(x->leave, LLVMGetInsertBlock(x->b));
    LLVMPositionBuilderAtEnd(x->b, x->leave);
    cg_loop_end(x, &l, NULL);
    cg_loop_end(x, &rows, NULL);
    LLVMBuildRet(x->b, LLVMConstInt(LLVMInt32TypeInContext(x->c), TW_OK, false));
}

tw_status tw_host_lower(const tw_graph *program, LLVMContextRef context, LLVMModuleRef *module)
{
    cg x = {.g = program,
            .c = context,
            .vector_bytes = tw_host_target_get()->vector_bytes,
            .arena = tw_arena_create(0),
            .status = TW_OK};
    if (!x.arena)
        return TW_ERR_MEMORY;
    x.state = tw_arena_zero(x.arena, program->values + 1, sizeof *x.state);
    x.uses = tw_graph_use_counts(program, x.arena);
    x.m = LLVMModuleCreateWithNameInContext("tilewright", context);
    x.b = LLVMCreateBuilderInContext(context);
    if (x.state && x.uses && cg_find_rare(&x)) {
        cg_set_width(&x, TW_MAX(x.vector_bytes / 4, 4));
        make_function(&x);
        lower_programs(&x);
        cg_lower_scratch_size(&x);
    } else {
        cg_fail(&x, TW_ERR_MEMORY);
    }
    LLVMDisposeBuilder(x.b);
    tw_arena_destroy(x.arena);
    *module = x.m;
    return x.status;
}
