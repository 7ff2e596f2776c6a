/* Loads and stores of user memory: vectors where lanes are neighbours, broadcasts where they are one, gathers and
 * scatters elsewhere. */
#include "codegen/host/lower.h"

/* The lanes that take part: the operation's mask and the tail's. NULL: all. */
static LLVMValueRef active(cg *x, const lane *mask)
{
    LLVMValueRef m = mask && mask->form != LANE_NONE ? cg_vector(x, *mask, TW_BOOL) : NULL;
    if (m && LLVMIsConstant(m) && m == cg_all_lanes(x))
        m = NULL;
    return !m ? x->tail : x->tail ? LLVMBuildAnd(x->b, m, x->tail, "") : m;
}

LLVMTypeRef cg_element_type(cg *x, const tw_type *t)
{
    return t->pointer ? LLVMInt64TypeInContext(x->c) : cg_memory_type(x, (tw_dtype)t->dtype);
}

LLVMValueRef cg_to_memory(cg *x, const tw_type *t, lane l, bool vector)
{
    tw_dtype dtype = (tw_dtype)t->dtype;
    LLVMTypeRef i8 = LLVMInt8TypeInContext(x->c);
    if (t->pointer)
        l = cg_address(x, l, dtype);
    LLVMValueRef v = vector ? cg_vector(x, l, dtype) : l.v;
    if (dtype != TW_BOOL || t->pointer)
        return v;
    return LLVMBuildZExt(x->b, v, vector ? LLVMVectorType(i8, (unsigned)x->W) : i8, "");
}

static LLVMValueRef from_memory(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    return dtype == TW_BOOL ? LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static LLVMValueRef alignment(cg *x, tw_dtype dtype)
{
    return LLVMConstInt(LLVMInt32TypeInContext(x->c), tw_dtype_size(dtype), false);
}

static LLVMValueRef load_vector(cg *x, tw_dtype dtype, LLVMValueRef address, LLVMValueRef mask, LLVMValueRef other)
{
    LLVMTypeRef type = LLVMVectorType(cg_memory_type(x, dtype), (unsigned)x->W);
    if (!mask) {
        LLVMValueRef v = LLVMBuildLoad2(x->b, type, address, "");
        LLVMSetAlignment(v, (unsigned)tw_dtype_size(dtype));
        return v;
    }
    LLVMTypeRef overload[] = {type, LLVMPointerTypeInContext(x->c, 0)};
    LLVMValueRef arguments[] = {address, alignment(x, dtype), mask, other};
    return cg_intrinsic(x, "llvm.masked.load", overload, 2, arguments, 4);
}

static LLVMValueRef gather(cg *x, tw_dtype dtype, const lane *pointer, LLVMValueRef mask, LLVMValueRef other)
{
    LLVMTypeRef pointers = LLVMVectorType(LLVMPointerTypeInContext(x->c, 0), (unsigned)x->W);
    LLVMTypeRef overload[] = {LLVMVectorType(cg_memory_type(x, dtype), (unsigned)x->W), pointers};
    LLVMValueRef arguments[] = {cg_vector_of_pointers(x, dtype, pointer), alignment(x, dtype),
                                mask ? mask : cg_all_lanes(x), other};
    return cg_intrinsic(x, "llvm.masked.gather", overload, 2, arguments, 4);
}

/* ---- lanes that may be neighbours ---- */

static int64_t neighbour_step(const lane *pointer, tw_dtype dtype)
{
    return pointer->absolute ? (int64_t)tw_dtype_size(dtype) : 1;
}

typedef struct two_ways {
    LLVMBasicBlockRef side[2], from[2], after; /* neighbours; not */
    LLVMValueRef address;                      /* of lane 0 */
} two_ways;

/* Branches on what the lanes are; leaves the builder where they are neighbours. */
static two_ways branch_on_neighbours(cg *x, tw_dtype dtype, const lane *pointer)
{
    two_ways w = {.side = {cg_block(x), cg_block(x)}, .after = cg_block(x)};
    LLVMTypeRef bits = LLVMIntTypeInContext(x->c, (unsigned)x->W);
    LLVMValueRef zero = LLVMConstInt(LLVMInt32TypeInContext(x->c), 0, false);
    LLVMValueRef first = LLVMBuildExtractElement(x->b, pointer->v, zero, "");
    LLVMValueRef expected = LLVMBuildAdd(x->b, cg_splat(x, first), cg_iota(x, neighbour_step(pointer, dtype)), "");
    LLVMValueRef differ = LLVMBuildICmp(x->b, LLVMIntNE, pointer->v, expected, "");
    if (x->tail)
        differ = LLVMBuildAnd(x->b, differ, x->tail, "");
    differ = LLVMBuildBitCast(x->b, differ, bits, "");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntEQ, differ, LLVMConstNull(bits), ""), w.side[0], w.side[1]);
    LLVMPositionBuilderAtEnd(x->b, w.side[0]);
    LLVMValueRef offset = pointer->base ? LLVMBuildAdd(x->b, first, pointer->base, "") : first;
    w.address = cg_element_at(x, dtype, pointer, offset);
    return w;
}

static void end_side(cg *x, two_ways *w, int side)
{
    w->from[side] = LLVMGetInsertBlock(x->b);
    LLVMBuildBr(x->b, w->after);
    LLVMPositionBuilderAtEnd(x->b, side == 0 ? w->side[1] : w->after);
}

static LLVMValueRef load_guessed(cg *x, tw_dtype dtype, const lane *pointer, LLVMValueRef mask, LLVMValueRef other)
{
    LLVMValueRef v[2];
    two_ways w = branch_on_neighbours(x, dtype, pointer);
    v[0] = load_vector(x, dtype, w.address, mask, other);
    end_side(x, &w, 0);
    v[1] = gather(x, dtype, pointer, mask, other);
    end_side(x, &w, 1);
    LLVMValueRef phi = LLVMBuildPhi(x->b, LLVMTypeOf(v[0]), "");
    LLVMAddIncoming(phi, v, w.from, 2);
    return phi;
}

/* ---- loads ---- */

/* A load of one element under a condition: a branch, since the address may be wild. */
static LLVMValueRef load_guarded(cg *x, LLVMTypeRef type, LLVMValueRef address, LLVMValueRef condition,
                                 LLVMValueRef other)
{
    LLVMBasicBlockRef from = LLVMGetInsertBlock(x->b), yes = cg_block(x), after = cg_block(x);
    LLVMBuildCondBr(x->b, condition, yes, after);
    LLVMPositionBuilderAtEnd(x->b, yes);
    LLVMValueRef loaded = LLVMBuildLoad2(x->b, type, address, "");
    LLVMBuildBr(x->b, after);
    LLVMPositionBuilderAtEnd(x->b, after);
    LLVMValueRef phi = LLVMBuildPhi(x->b, type, "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){loaded, other}, (LLVMBasicBlockRef[]){yes, from}, 2);
    return phi;
}

static LLVMValueRef load_one(cg *x, tw_dtype dtype, const lane *pointer, const lane *mask, LLVMValueRef other)
{
    LLVMTypeRef type = cg_memory_type(x, dtype);
    LLVMValueRef address = cg_element_at(x, dtype, pointer, pointer->v), v;
    if (mask->form && LLVMIsAConstantInt(mask->v) && !LLVMConstIntGetZExtValue(mask->v))
        return other;
    if (mask->form == LANE_UNIFORM && !LLVMIsConstant(mask->v))
        return load_guarded(x, type, address, mask->v, other);
    v = LLVMBuildLoad2(x->b, type, address, "");
    LLVMSetAlignment(v, (unsigned)tw_dtype_size(dtype));
    return v;
}

lane cg_load(cg *x, const tw_op *op, const place *at)
{
    const tw_type *t = &op->result[0].type;
    tw_dtype dtype = (tw_dtype)t->dtype;
    LLVMTypeRef type = cg_memory_type(x, dtype);
    lane pointer = cg_eval(x, op->operand[0], at), mask = {0}, other = {0};
    if (x->probed) { /* only what kind of access it is was asked for */
        *x->probed = pointer.form == LANE_AFFINE && pointer.step == neighbour_step(&pointer, dtype);
        return (lane){.form = LANE_UNIFORM, .v = LLVMConstNull(cg_type(x, dtype))};
    }
    if (op->operand[1])
        mask = cg_eval(x, op->operand[1], at);
    if (op->operand[2])
        other = cg_eval(x, op->operand[2], at);
    if (x->status != TW_OK)
        return (lane){.form = LANE_UNIFORM, .v = LLVMConstNull(cg_type(x, dtype))};
    if (pointer.form == LANE_UNIFORM && mask.form != LANE_VECTOR && other.form != LANE_VECTOR) {
        LLVMValueRef rest = other.form ? cg_to_memory(x, t, other, false) : LLVMConstNull(type);
        LLVMValueRef v = load_one(x, dtype, &pointer, &mask, rest);
        return (lane){.form = LANE_UNIFORM, .v = from_memory(x, v, dtype)};
    }
    LLVMValueRef rest =
        other.form ? cg_to_memory(x, t, other, true) : LLVMConstNull(LLVMVectorType(type, (unsigned)x->W));
    LLVMValueRef m = active(x, &mask), v;
    if (pointer.form == LANE_AFFINE && pointer.step == neighbour_step(&pointer, dtype))
        v = load_vector(x, dtype, cg_element_at(x, dtype, &pointer, pointer.v), m, rest);
    else if (pointer.form == LANE_VECTOR && pointer.guessed)
        v = load_guessed(x, dtype, &pointer, m, rest);
    else
        v = gather(x, dtype, &pointer, m, rest);
    return (lane){.form = LANE_VECTOR, .v = from_memory(x, v, dtype)};
}

/* ---- stores ---- */

static void store_vector(cg *x, tw_dtype dtype, LLVMValueRef v, LLVMValueRef address, LLVMValueRef mask)
{
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(x->b, v, address), (unsigned)tw_dtype_size(dtype));
        return;
    }
    LLVMTypeRef overload[] = {LLVMTypeOf(v), LLVMPointerTypeInContext(x->c, 0)};
    LLVMValueRef arguments[] = {v, address, alignment(x, dtype), mask};
    cg_intrinsic(x, "llvm.masked.store", overload, 2, arguments, 4);
}

static void scatter(cg *x, tw_dtype dtype, LLVMValueRef v, const lane *pointer, LLVMValueRef mask)
{
    LLVMTypeRef overload[] = {LLVMTypeOf(v), LLVMVectorType(LLVMPointerTypeInContext(x->c, 0), (unsigned)x->W)};
    LLVMValueRef arguments[] = {v, cg_vector_of_pointers(x, dtype, pointer), alignment(x, dtype),
                                mask ? mask : cg_all_lanes(x)};
    cg_intrinsic(x, "llvm.masked.scatter", overload, 2, arguments, 4);
}

static void store_one(cg *x, tw_dtype dtype, LLVMValueRef v, LLVMValueRef address, LLVMValueRef condition)
{
    LLVMBasicBlockRef yes = NULL, after = NULL;
    if (condition) {
        yes = cg_block(x);
        after = cg_block(x);
        LLVMBuildCondBr(x->b, condition, yes, after);
        LLVMPositionBuilderAtEnd(x->b, yes);
    }
    LLVMSetAlignment(LLVMBuildStore(x->b, v, address), (unsigned)tw_dtype_size(dtype));
    if (condition) {
        LLVMBuildBr(x->b, after);
        LLVMPositionBuilderAtEnd(x->b, after);
    }
}

void cg_store(cg *x, const tw_op *op, const place *at, lane pointer, lane value, lane mask)
{
    const tw_type *t = &op->operand[1]->type;
    tw_dtype dtype = (tw_dtype)t->dtype;
    if (!cg_place_is_vector(at, op->operand[0]->type.rank)) {
        store_one(x, dtype, cg_to_memory(x, t, value, false), cg_element_at(x, dtype, &pointer, pointer.v),
                  mask.form ? mask.v : NULL);
        return;
    }
    LLVMValueRef v = cg_to_memory(x, t, value, true), m = active(x, &mask);
    if (pointer.form == LANE_AFFINE && pointer.step == neighbour_step(&pointer, dtype)) {
        store_vector(x, dtype, v, cg_element_at(x, dtype, &pointer, pointer.v), m);
    } else if (pointer.form == LANE_VECTOR && pointer.guessed) {
        two_ways w = branch_on_neighbours(x, dtype, &pointer);
        store_vector(x, dtype, v, w.address, m);
        end_side(x, &w, 0);
        scatter(x, dtype, v, &pointer, m);
        end_side(x, &w, 1);
    } else {
        scatter(x, dtype, v, &pointer, m);
    }
}
