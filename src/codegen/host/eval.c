/* Evaluation by demand: what W lanes of a tile value are at an index. */
#include "codegen/host/lower.h"

void cg_forget(cg *x)
{
    x->memo_count = 0;
}

static bool same_place(const place *a, const place *b, int rank)
{
    for (int i = 0; i < rank; i++)
        if (a[i].v != b[i].v || a[i].vector != b[i].vector)
            return false;
    return true;
}

static const lane *find(const cg *x, const tw_value *v, const place *at)
{
    for (int i = x->memo_count - 1; i >= 0; i--)
        if (x->memo[i].value == v && same_place(x->memo[i].at, at, v->type.rank))
            return &x->memo[i].result;
    return NULL;
}

void cg_bind(cg *x, const tw_value *v, const place *at, lane result)
{
    if (x->memo_count == x->memo_room) {
        int room = TW_MAX(128, 2 * x->memo_room);
        memo_entry *grown = tw_arena_alloc(x->arena, (size_t)room * sizeof *grown);
        if (!grown) {
            cg_fail(x, TW_ERR_MEMORY);
            return;
        }
        if (x->memo_count)
            memcpy(grown, x->memo, (size_t)x->memo_count * sizeof *grown);
        x->memo = grown;
        x->memo_room = room;
    }
    memo_entry *e = &x->memo[x->memo_count++];
    e->value = v;
    e->result = result;
    memcpy(e->at, at, v->type.rank * sizeof *at);
}

/* ---- materialised tiles ---- */

LLVMValueRef cg_memory_at(cg *x, const tw_value *v, LLVMValueRef memory, const place *at)
{
    const tw_type *t = &v->type;
    LLVMTypeRef element = cg_memory_type(x, (tw_dtype)t->dtype);
    LLVMValueRef offset = cg_i64(x, 0);
    bool known = true;
    for (int i = 0; i < t->rank; i++) {
        if (i == t->rank - 1 && !known) { /* the row is one unknown to LSR, like a size: see sizes.c */
            memory = LLVMBuildFreeze(x->b, LLVMBuildGEP2(x->b, element, memory, &offset, 1, ""), "");
            offset = cg_i64(x, 0);
        }
        LLVMValueRef stride = cg_tile_stride(x, t, i);
        known = known && LLVMIsAConstantInt(stride);
        offset = LLVMBuildAdd(x->b, offset, LLVMBuildMul(x->b, at[i].v, stride, ""), "");
    }
    return LLVMBuildGEP2(x->b, element, memory, &offset, 1, "");
}

static LLVMValueRef from_memory(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    return dtype == TW_BOOL ? LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static lane eval_memory(cg *x, const tw_value *v, const place *at)
{
    const tw_type *t = &v->type;
    tw_dtype dtype = (tw_dtype)t->dtype;
    LLVMTypeRef element = cg_memory_type(x, dtype);
    LLVMValueRef address = cg_memory_at(x, v, x->state[v->id].memory, at);
    int vector = -1;
    for (int i = 0; i < t->rank; i++)
        vector = at[i].vector ? i : vector;
    if (vector < 0) {
        LLVMValueRef loaded = LLVMBuildLoad2(x->b, element, address, "");
        return (lane){.form = LANE_UNIFORM, .v = from_memory(x, loaded, dtype)};
    }
    if (vector == t->rank - 1) {
        LLVMValueRef loaded = LLVMBuildLoad2(x->b, LLVMVectorType(element, (unsigned)x->W), address, "");
        LLVMSetAlignment(loaded, (unsigned)tw_dtype_size(dtype));
        return (lane){.form = LANE_VECTOR, .v = from_memory(x, loaded, dtype)};
    }
    LLVMValueRef stride = cg_tile_stride(x, t, vector); /* down a column: lane by lane */
    LLVMTypeRef type = LLVMVectorType(element, (unsigned)x->W);
    LLVMValueRef gathered = LLVMGetPoison(type), rows = cg_size(x, t->dims[vector]);
    for (int i = 0; i < x->W; i++) {
        LLVMValueRef row = LLVMBuildAdd(x->b, at[vector].v, cg_i64(x, i), "");
        LLVMValueRef inside = LLVMBuildICmp(x->b, LLVMIntSLT, row, rows, "");
        LLVMValueRef step =
            LLVMBuildSelect(x->b, inside, LLVMBuildMul(x->b, cg_i64(x, i), stride, ""), cg_i64(x, 0), "");
        LLVMValueRef one = LLVMBuildLoad2(x->b, element, LLVMBuildGEP2(x->b, element, address, &step, 1, ""), "");
        gathered = LLVMBuildInsertElement(x->b, gathered, one,
                                          LLVMConstInt(LLVMInt32TypeInContext(x->c), (unsigned)i, false), "");
    }
    return (lane){.form = LANE_VECTOR, .v = from_memory(x, gathered, dtype)};
}

void cg_push_memory(cg *x, const tw_value *v, LLVMValueRef memory)
{
    x->state[v->id].memory = memory;
}

/* ---- views ---- */

static lane eval_reshape(cg *x, const tw_op *op, const place *at)
{
    const tw_type *from = &op->operand[0]->type, *to = &op->result[0].type;
    place inner[TW_MAX_RANK];
    int i = 0, j = 0;
    while (i < from->rank || j < to->rank) { /* only dimensions of 1 come and go */
        if (i < from->rank && j < to->rank && from->dims[i] == to->dims[j])
            inner[i++] = at[j++];
        else if (i < from->rank && from->dims[i] == 1)
            inner[i++] = (place){cg_i64(x, 0), false};
        else if (j < to->rank && to->dims[j] == 1)
            j++;
        else {
            cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: a tile reshape that regroups elements"));
            return (lane){.form = LANE_UNIFORM, .v = cg_constant(x, (tw_dtype)to->dtype, 0, 0)};
        }
    }
    return cg_eval(x, op->operand[0], inner);
}

static lane eval_view(cg *x, const tw_op *op, const place *at)
{
    const tw_value *v = op->operand[0];
    place inner[TW_MAX_RANK];
    switch (op->code) {
    case TW_T_BROADCAST:
        for (int i = 0; i < v->type.rank; i++)
            inner[i] = v->type.dims[i] == 1 && op->result[0].type.dims[i] != 1 ? (place){cg_i64(x, 0), false} : at[i];
        break;
    case TW_T_EXPAND_DIMS:
        for (int i = 0, j = 0; j < op->result[0].type.rank; j++)
            if (j != op->attr[0].i)
                inner[i++] = at[j];
        break;
    case TW_T_PERMUTE:
        for (int i = 0; i < v->type.rank; i++)
            inner[op->attr[0].dims.v[i]] = at[i];
        break;
    case TW_T_RESHAPE:
        return eval_reshape(x, op, at);
    default:
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: tile operation %s", op->info->name));
        return (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0)};
    }
    return cg_eval(x, v, inner);
}

static lane eval_op(cg *x, const tw_op *op, const place *at)
{
    lane operand[4];
    switch (op->info->class) {
    case TW_CLASS_VIEW:
        return eval_view(x, op, at);
    case TW_CLASS_CREATION: /* arange */
        return (lane){.form = at[0].vector ? LANE_AFFINE : LANE_UNIFORM, .v = at[0].v, .step = at[0].vector};
    case TW_CLASS_MEMORY:
        return cg_load(x, op, at);
    case TW_CLASS_POINTWISE:
        for (uint32_t i = 0; i < op->operands; i++)
            operand[i] = cg_eval(x, op->operand[i], at);
        return x->status == TW_OK ? cg_pointwise(x, op, operand) : operand[0];
    default:
        cg_fail(
            x, tw_error(TW_ERR_UNSUPPORTED, "host: tile operation %s is needed before it is computed", op->info->name));
        return (lane){.form = LANE_UNIFORM, .v = cg_constant(x, (tw_dtype)op->result[0].type.dtype, 0, 0)};
    }
}

/* Is the index exactly the running loop's, so that storing here stores every element? */
static bool whole_space(const cg *x, const tw_value *v, const place *at)
{
    return x->space && x->space->rank == v->type.rank && same_place(x->space_at, at, v->type.rank) &&
           at[v->type.rank - 1].vector && !memcmp(x->space->dims, v->type.dims, v->type.rank * sizeof *v->type.dims);
}

static void keep(cg *x, const tw_value *v, const place *at, lane l)
{
    value_state *s = &x->state[v->id];
    tw_dtype dtype = (tw_dtype)v->type.dtype;
    LLVMValueRef memory = cg_scratch(x, cg_tile_size(&v->type));
    LLVMValueRef vector = cg_vector(x, l, dtype);
    if (dtype == TW_BOOL)
        vector = LLVMBuildZExt(x->b, vector, LLVMVectorType(LLVMInt8TypeInContext(x->c), (unsigned)x->W), "");
    LLVMSetAlignment(LLVMBuildStore(x->b, vector, cg_memory_at(x, v, memory, at)), (unsigned)tw_dtype_size(dtype));
    s->scalar = memory; /* becomes readable when the loop is over: see cg_for_each_vector */
}

lane cg_eval(cg *x, const tw_value *v, const place *at)
{
    value_state *s = &x->state[v->id];
    if (x->status != TW_OK)
        return (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0)};
    if (v->type.rank == 0)
        return v->type.pointer ? s->pointer : (lane){.form = LANE_UNIFORM, .v = s->scalar};
    const lane *known = find(x, v, at);
    if (known)
        return *known;
    lane result;
    if (s->memory) {
        result = eval_memory(x, v, at);
    } else if (!v->def) {
        cg_fail(x, tw_error(TW_ERR_INTERNAL, "host: a region argument without a value"));
        return (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0)};
    } else {
        result = eval_op(x, v->def, at);
        if (s->keep && result.form != LANE_UNIFORM && whole_space(x, v, at)) {
            if (s->scalar) { /* the tail of the loop that stores it */
                LLVMValueRef vector = cg_vector(x, result, (tw_dtype)v->type.dtype);
                if (v->type.dtype == TW_BOOL)
                    vector =
                        LLVMBuildZExt(x->b, vector, LLVMVectorType(LLVMInt8TypeInContext(x->c), (unsigned)x->W), "");
                LLVMSetAlignment(LLVMBuildStore(x->b, vector, cg_memory_at(x, v, s->scalar, at)),
                                 (unsigned)tw_dtype_size((tw_dtype)v->type.dtype));
            } else {
                keep(x, v, at, result);
            }
        }
    }
    if (x->status == TW_OK)
        cg_bind(x, v, at, result);
    return result;
}
