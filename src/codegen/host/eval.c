/* Evaluation by demand: what W lanes of a tile value are at an index. */
#include "codegen/host/lower.h"

void cg_forget(cg *x)
{
    x->memo_count = 0;
}

static bool same_place(const place *a, const place *b, int rank)
{
    for (int i = 0; i < rank; i++)
        if (a[i].lanes != b[i].lanes || (!a[i].lanes && (a[i].v != b[i].v || a[i].vector != b[i].vector)))
            return false;
    return true;
}

static const lane *find(const cg *x, const tw_value *v, const place *at, bool offset)
{
    for (int i = x->memo_count - 1; i >= 0; i--)
        if (x->memo[i].value == v && x->memo[i].offset == offset && same_place(x->memo[i].at, at, v->type.rank))
            return &x->memo[i].result;
    return NULL;
}

static void bind(cg *x, const tw_value *v, const place *at, bool offset, lane result)
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
    e->offset = offset;
    e->result = result;
    memcpy(e->at, at, v->type.rank * sizeof *at);
}

void cg_bind(cg *x, const tw_value *v, const place *at, lane result)
{
    bind(x, v, at, false, result);
}

const lane *cg_find_offset(const cg *x, const tw_value *v, const place *at)
{
    return v->type.rank ? find(x, v, at, true) : NULL;
}

void cg_bind_offset(cg *x, const tw_value *v, const place *at, lane result)
{
    bind(x, v, at, true, result);
}

/* ---- materialised tiles ---- */

LLVMValueRef cg_memory_at(cg *x, const tw_value *v, LLVMValueRef memory, const place *at)
{
    const tw_type *t = &v->type;
    LLVMTypeRef element = cg_element_type(x, t);
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

static lane from_memory(cg *x, LLVMValueRef v, const tw_type *t, bool vector)
{
    if (t->pointer)
        return cg_from_address(x, v);
    if (t->dtype == TW_BOOL)
        v = LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    return (lane){.form = vector ? LANE_VECTOR : LANE_UNIFORM, .v = v};
}

/* Each lane its own element. */
static lane gather_memory(cg *x, const tw_value *v, const place *at)
{
    const tw_type *t = &v->type;
    LLVMTypeRef element = cg_element_type(x, t), pointers = LLVMPointerTypeInContext(x->c, 0);
    LLVMTypeRef overload[] = {LLVMVectorType(element, (unsigned)x->W), LLVMVectorType(pointers, (unsigned)x->W)};
    LLVMValueRef offset = LLVMConstNull(LLVMTypeOf(cg_iota(x, 1)));
    for (int i = 0; i < t->rank; i++) {
        LLVMValueRef stride = cg_splat(x, cg_tile_stride(x, t, i));
        offset = LLVMBuildAdd(x->b, offset, LLVMBuildMul(x->b, cg_lanes(x, &at[i]), stride, ""), "");
    }
    LLVMValueRef address = LLVMBuildGEP2(x->b, element, x->state[v->id].memory, &offset, 1, "");
    unsigned size = t->pointer ? 8 : (unsigned)tw_dtype_size((tw_dtype)t->dtype);
    LLVMValueRef arguments[] = {address, LLVMConstInt(LLVMInt32TypeInContext(x->c), size, false),
                                x->tail ? x->tail : cg_all_lanes(x), LLVMConstNull(overload[0])};
    return from_memory(x, cg_intrinsic(x, "llvm.masked.gather", overload, 2, arguments, 4), t, true);
}

/* Down a column: lane by lane. */
static LLVMValueRef load_column(cg *x, const tw_type *t, LLVMValueRef address, const place *at, int vector)
{
    LLVMTypeRef element = cg_element_type(x, t), type = LLVMVectorType(element, (unsigned)x->W);
    LLVMValueRef stride = cg_tile_stride(x, t, vector), rows = cg_size(x, t->dims[vector]);
    LLVMValueRef gathered = LLVMGetPoison(type);
    for (int i = 0; i < x->W; i++) {
        LLVMValueRef row = LLVMBuildAdd(x->b, at[vector].v, cg_i64(x, i), "");
        LLVMValueRef inside = LLVMBuildICmp(x->b, LLVMIntSLT, row, rows, "");
        LLVMValueRef step =
            LLVMBuildSelect(x->b, inside, LLVMBuildMul(x->b, cg_i64(x, i), stride, ""), cg_i64(x, 0), "");
        LLVMValueRef one = LLVMBuildLoad2(x->b, element, LLVMBuildGEP2(x->b, element, address, &step, 1, ""), "");
        gathered = LLVMBuildInsertElement(x->b, gathered, one,
                                          LLVMConstInt(LLVMInt32TypeInContext(x->c), (unsigned)i, false), "");
    }
    return gathered;
}

static lane eval_memory(cg *x, const tw_value *v, const place *at)
{
    const tw_type *t = &v->type;
    LLVMTypeRef element = cg_element_type(x, t);
    int vector = -1;
    for (int i = 0; i < t->rank; i++) {
        if (at[i].lanes || (at[i].vector && vector >= 0))
            return gather_memory(x, v, at);
        vector = at[i].vector ? i : vector;
    }
    LLVMValueRef address = cg_memory_at(x, v, x->state[v->id].memory, at);
    if (x->probed)
        *x->probed = vector == t->rank - 1;
    if (vector < 0)
        return from_memory(x, LLVMBuildLoad2(x->b, element, address, ""), t, false);
    if (vector == t->rank - 1) {
        LLVMValueRef loaded = LLVMBuildLoad2(x->b, LLVMVectorType(element, (unsigned)x->W), address, "");
        LLVMSetAlignment(loaded, t->pointer ? 8 : (unsigned)tw_dtype_size((tw_dtype)t->dtype));
        return from_memory(x, loaded, t, true);
    }
    return from_memory(x, load_column(x, t, address, at, vector), t, true);
}

void cg_push_memory(cg *x, const tw_value *v, LLVMValueRef memory)
{
    x->state[v->id].memory = memory;
    if (x->pushed_count == x->pushed_room) {
        int room = TW_MAX(64, 2 * x->pushed_room);
        const tw_value **grown = tw_arena_alloc(x->arena, (size_t)room * sizeof *grown);
        if (!grown) {
            cg_fail(x, TW_ERR_MEMORY);
            return;
        }
        if (x->pushed_count)
            memcpy(grown, x->pushed, (size_t)x->pushed_count * sizeof *grown);
        x->pushed = grown;
        x->pushed_room = room;
    }
    x->pushed[x->pushed_count++] = v;
}

void cg_pop_memory(cg *x, int count)
{
    while (x->pushed_count > count)
        x->state[x->pushed[--x->pushed_count]->id].memory = NULL;
}

/* ---- one operation ---- */

/* result[i.., j, k..] = x[i.., index[i.., j, k..], k..]; an index beyond the tile reads its last element. */
static lane eval_gather(cg *x, const tw_op *op, const place *at)
{
    const tw_value *source = op->operand[0];
    int axis = (int)op->attr[0].i;
    tw_dtype dtype = (tw_dtype)op->operand[1]->type.dtype;
    place inner[TW_MAX_RANK];
    lane index = cg_eval(x, op->operand[1], at);
    bool vector = index.form != LANE_UNIFORM;
    LLVMValueRef v = cg_extend(x, vector ? cg_vector(x, index, dtype) : index.v, dtype),
                 last = LLVMBuildSub(x->b, cg_size(x, source->type.dims[axis]), cg_i64(x, 1), "");
    if (vector)
        last = cg_splat(x, last);
    LLVMTypeRef type = LLVMTypeOf(v);
    v = cg_intrinsic(x, "llvm.umin", &type, 1, (LLVMValueRef[]){v, last}, 2);
    memcpy(inner, at, source->type.rank * sizeof *at);
    inner[axis] = vector ? (place){.lanes = v} : (place){.v = v};
    return cg_eval(x, source, inner);
}

static lane eval_op(cg *x, const tw_op *op, const place *at)
{
    lane operand[4];
    switch (op->info->class) {
    case TW_CLASS_VIEW:
        return cg_view(x, op, at);
    case TW_CLASS_GATHER:
        return eval_gather(x, op, at);
    case TW_CLASS_CREATION: /* arange */
        if (at[0].lanes)
            return (lane){.form = LANE_VECTOR, .v = at[0].lanes};
        return (lane){.form = at[0].vector ? LANE_AFFINE : LANE_UNIFORM, .v = at[0].v, .step = at[0].vector};
    case TW_CLASS_MEMORY:
        return cg_load(x, op, at);
    case TW_CLASS_POINTWISE:
        if (op->result[0].type.pointer)
            return cg_pointer(x, op, at);
        if (cg_rare(x, op))
            return cg_eval_rare(x, op, at);
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

/* Becomes readable when the loop is over: see cg_finish_kept. */
static void keep(cg *x, const tw_value *v, const place *at, lane l)
{
    value_state *s = &x->state[v->id];
    if (!s->scalar) { /* else the tail of the loop that stores it */
        if (x->kept_count == MOST_KEPT)
            return;
        x->kept[x->kept_count++] = v;
        s->scalar = cg_scratch(x, cg_tile_size(&v->type));
    }
    cg_write_memory(x, v, s->scalar, at, l);
}

lane cg_eval(cg *x, const tw_value *v, const place *at)
{
    value_state *s = &x->state[v->id];
    if (x->status != TW_OK)
        return (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0)};
    if (v->type.rank == 0)
        return v->type.pointer ? s->pointer : (lane){.form = LANE_UNIFORM, .v = s->scalar};
    const lane *known = find(x, v, at, false);
    if (known)
        return *known;
    lane result;
    if (s->memory) {
        result = eval_memory(x, v, at);
    } else if (!v->def) {
        cg_fail(x, tw_error(TW_ERR_INTERNAL, "host: a region argument without a value"));
        return (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0)};
    } else {
        result = v->def->code == TW_T_SPLIT ? cg_split_half(x, v, at) : eval_op(x, v->def, at);
        if (s->keep && result.form != LANE_UNIFORM && whole_space(x, v, at) && x->status == TW_OK)
            keep(x, v, at, result);
    }
    if (x->status == TW_OK)
        cg_bind(x, v, at, result);
    return result;
}
