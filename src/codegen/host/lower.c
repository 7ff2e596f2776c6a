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

LLVMValueRef cg_i64(cg *x, int64_t value)
{
    return LLVMConstInt(LLVMInt64TypeInContext(x->c), (unsigned long long)value, true);
}

/* ---- which values are dear and asked for by several loops ---- */

static bool is_driver(const tw_op *op)
{
    return op->code == TW_T_STORE || op->code == TW_T_REDUCE || op->code == TW_T_DOT || op->code == TW_T_SCAN ||
           op->code == TW_T_FOR || op->code == TW_T_YIELD;
}

static bool lazy(const tw_op *op)
{
    return !is_driver(op) && op->results == 1 && op->result[0].type.rank > 0;
}

static int own_cost(const tw_op *op)
{
    if (op->code == TW_T_DIV || op->code == TW_T_SQRT || op->code == TW_T_REM)
        return 4;
    return op->info->class == TW_CLASS_POINTWISE && !op->result[0].type.pointer && op->result[0].type.dtype != TW_I64;
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
        if (!lazy(op))
            continue;
        value_state *s = &x->state[op->result[0].id];
        s->cost = own_cost(op);
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] && op->operand[i]->type.rank)
                s->cost += TW_MIN(x->state[op->operand[i]->id].cost, 1000);
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
static bool only_stored(const cg *x, const tw_value *v, const tw_type *shape, const tw_block *block, int depth)
{
    for (const tw_op *op = block->first; op; op = op->next) {
        for (uint32_t i = 0; i < op->operands; i++) {
            if (op->operand[i] != v)
                continue;
            const tw_type *t = op->code == TW_T_STORE ? &op->operand[0]->type
                               : op->results          ? &op->result[0].type
                                                      : NULL;
            bool same = t && t->rank == shape->rank && !memcmp(t->dims, shape->dims, shape->rank * sizeof *shape->dims);
            if (!same || depth > 60)
                return false;
            if (op->code == TW_T_STORE && i == 1)
                continue;
            if (op->info->class != TW_CLASS_POINTWISE || !only_stored(x, &op->result[0], shape, block, depth + 1))
                return false;
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

static void add_store(cg *x, statements *s, const tw_op *op)
{
    const tw_type *t = &op->operand[0]->type;
    bool fits = s->stores == 0 || (tw_type_equal(&(tw_type){.rank = t->rank, .dims = {t->dims[0], t->dims[1]}},
                                                 &(tw_type){.rank = s->store[0]->operand[0]->type.rank,
                                                            .dims = {s->store[0]->operand[0]->type.dims[0],
                                                                     s->store[0]->operand[0]->type.dims[1]}}) &&
                                   t->rank <= 2 && s->stores < MOST_PENDING);
    if (s->dot)
        fits = fits && s->stores < MOST_PENDING && t->rank == 2 &&
               !memcmp(t->dims, s->dot->result[0].type.dims, 2 * sizeof *t->dims);
    if (!fits)
        flush(x, s);
    s->store[s->stores++] = op;
}

static const tw_value *argument_of(const tw_value *pointer)
{
    while (pointer->def && pointer->def->code != TW_T_ARG && pointer->def->operands)
        pointer = pointer->def->operand[0];
    return pointer;
}

/* A load of one element must not overtake a waiting store through the same argument. */
static bool reads_pending(const statements *s, const tw_op *load)
{
    for (int i = 0; i < s->stores; i++)
        if (argument_of(s->store[i]->operand[0]) == argument_of(load->operand[0]))
            return true;
    return false;
}

static LLVMValueRef program_id(cg *x, int64_t axis)
{
    LLVMValueRef id = x->pid;
    for (int i = 0; i < axis; i++)
        id = LLVMBuildUDiv(x->b, id, cg_i64(x, TW_MAX(x->g->grid[i], 1)), "");
    bool outermost = true;
    for (int64_t i = axis + 1; i < 3; i++)
        outermost = outermost && x->g->grid[i] == 1;
    return outermost ? id : LLVMBuildURem(x->b, id, cg_i64(x, TW_MAX(x->g->grid[axis], 1)), "");
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
        s->scalar = program_id(x, op->attr[0].i);
        return;
    case TW_T_NUM_PROGRAMS:
        s->scalar = cg_i64(x, x->g->grid[op->attr[0].i]);
        return;
    case TW_T_LOAD:
        s->scalar = cg_load(x, op, NULL).v;
        return;
    case TW_T_RESHAPE: {
        place zero[TW_MAX_RANK];
        for (int i = 0; i < op->operand[0]->type.rank; i++)
            zero[i] = (place){cg_i64(x, 0), false};
        s->scalar = cg_eval(x, op->operand[0], zero).v;
        return;
    }
    default:
        break;
    }
    if (op->info->class != TW_CLASS_POINTWISE) {
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: tile operation %s", op->info->name));
        return;
    }
    for (uint32_t i = 0; i < op->operands; i++)
        operand[i] = cg_eval(x, op->operand[i], NULL);
    l = cg_pointwise(x, op, operand);
    if (v->type.pointer)
        s->pointer = l;
    else
        s->scalar = l.v;
}

/* ---- loops of the program ---- */

static void lower_for(cg *x, const tw_op *op)
{
    const tw_block *body = op->region[0];
    const tw_op *yield = body->last;
    LLVMValueRef memory[MOST_PHIS], initial[MOST_PHIS], next[MOST_PHIS], step = x->state[op->operand[2]->id].scalar;
    int scalars = 0, carried = (int)op->operands - 3;
    if (carried > MOST_PHIS || !LLVMIsAConstantInt(step)) {
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: a loop with %d carried values and a step known only at run time",
                            carried));
        return;
    }
    for (int i = 0; i < carried; i++) {
        const tw_value *v = op->operand[3 + i];
        if (v->type.rank == 0) {
            initial[scalars++] = x->state[v->id].scalar;
            continue;
        }
        memory[i] = cg_scratch(x, cg_tile_size(&v->type));
        cg_copy_to(x, v, memory[i]);
        cg_push_memory(x, body->arg[1 + i], memory[i]);
        const tw_value *new = yield->operand[i];
        if (new->def &&new->def->code == TW_T_DOT &&new->def->operand[2] == body->arg[1 + i] && x->uses[new->id] == 1)
            x->state[new->id].into = memory[i];
    }
    loop l = cg_loop_begin(x, x->state[op->operand[0]->id].scalar, x->state[op->operand[1]->id].scalar,
                           LLVMConstIntGetSExtValue(step), scalars, initial);
    x->state[body->arg[0]->id].scalar = l.index;
    for (int i = 0, s = 0; i < carried; i++)
        if (op->operand[3 + i]->type.rank == 0)
            x->state[body->arg[1 + i]->id].scalar = l.phi[s++];
    cg_lower_block(x, body);
    for (int i = 0; i < carried; i++) /* evaluate all before any is overwritten */
        if (op->operand[3 + i]->type.rank && !x->state[yield->operand[i]->id].into)
            cg_materialise(x, yield->operand[i]);
    for (int i = 0, s = 0; i < carried; i++) {
        const tw_value *v = yield->operand[i];
        if (v->type.rank == 0)
            next[s++] = x->state[v->id].scalar;
        else if (!x->state[v->id].into)
            cg_copy_to(x, v, memory[i]);
    }
    cg_loop_end(x, &l, next);
    for (int i = 0, s = 0; i < carried; i++) {
        if (op->result[i].type.rank == 0)
            x->state[op->result[i].id].scalar = l.phi[s++];
        else
            cg_push_memory(x, &op->result[i], memory[i]);
    }
}

void cg_lower_block(cg *x, const tw_block *block)
{
    statements s = {.stores = 0};
    mark_kept(x, block);
    for (const tw_op *op = block->first; op && x->status == TW_OK; op = op->next) {
        switch (op->code) {
        case TW_T_STORE:
            add_store(x, &s, op);
            break;
        case TW_T_REDUCE:
            flush(x, &s);
            cg_reduce(x, op);
            break;
        case TW_T_SCAN:
            flush(x, &s);
            cg_scan(x, op);
            break;
        case TW_T_DOT:
            flush(x, &s);
            if (x->state[op->result[0].id].into)
                cg_dot(x, op, NULL, 0, x->state[op->result[0].id].into);
            else if (only_stored(x, &op->result[0], &op->result[0].type, block, 0) && x->uses[op->result[0].id])
                s.dot = op;
            else
                cg_dot(x, op, NULL, 0, NULL);
            break;
        case TW_T_FOR:
            flush(x, &s);
            lower_for(x, op);
            break;
        case TW_T_YIELD:
            flush(x, &s);
            break;
        case TW_T_WHILE:
        case TW_T_IF:
        case TW_T_SPLIT:
        case TW_T_ATOMIC:
        case TW_T_GATHER:
        case TW_T_SORT:
        case TW_T_PRINT:
        case TW_T_ASSERT:
        case TW_T_JOIN:
            cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: tile operation %s", op->info->name));
            break;
        default:
            if (op->result[0].type.rank > 0)
                break;
            if (op->code == TW_T_LOAD && reads_pending(&s, op))
                flush(x, &s);
            lower_scalar(x, op);
            break;
        }
    }
    flush(x, &s);
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
    LLVMTypeRef arguments[] = {pointer, pointer, i64, i64, pointer};
    x->function =
        LLVMAddFunction(x->m, "tw_kernel", LLVMFunctionType(LLVMVoidTypeInContext(x->c), arguments, 5, false));
    add_attribute(x, "prefer-vector-width", x->vector_bytes == 64 ? "512" : "256");
    add_attribute(x, "no-trapping-math", "true");
    x->buffers = LLVMGetParam(x->function, 0);
    x->scalars = LLVMGetParam(x->function, 1);
    x->scratch = LLVMGetParam(x->function, 4);
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
    loop l = cg_loop_begin(x, LLVMGetParam(x->function, 2), LLVMGetParam(x->function, 3), 1, 0, NULL);
    x->pid = l.index;
    cg_lower_block(x, x->g->body);
    cg_loop_end(x, &l, NULL);
    LLVMBuildRetVoid(x->b);
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
    if (x.state && x.uses) {
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
