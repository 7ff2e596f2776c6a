/* One tile operation on scalars or vectors of LLVM. Every operation rounds once: f16 and bf16 are computed in f32 and
 * rounded. */
#include "codegen/host/lower.h"

#include <math.h>

LLVMTypeRef cg_type(cg *x, tw_dtype dtype)
{
    switch (dtype) {
    case TW_BOOL:
        return LLVMInt1TypeInContext(x->c);
    case TW_U8:
    case TW_I8:
        return LLVMInt8TypeInContext(x->c);
    case TW_I16:
    case TW_U16:
        return LLVMInt16TypeInContext(x->c);
    case TW_I32:
    case TW_U32:
        return LLVMInt32TypeInContext(x->c);
    case TW_I64:
    case TW_U64:
        return LLVMInt64TypeInContext(x->c);
    case TW_F16:
        return LLVMHalfTypeInContext(x->c);
    case TW_BF16:
        return LLVMBFloatTypeInContext(x->c);
    case TW_F64:
        return LLVMDoubleTypeInContext(x->c);
    default:
        return LLVMFloatTypeInContext(x->c);
    }
}

LLVMTypeRef cg_memory_type(cg *x, tw_dtype dtype)
{
    return dtype == TW_BOOL ? LLVMInt8TypeInContext(x->c) : cg_type(x, dtype);
}

LLVMValueRef cg_constant(cg *x, tw_dtype dtype, double value, int64_t bits)
{
    LLVMTypeRef type = cg_type(x, dtype);
    return tw_dtype_floating(dtype) ? LLVMConstReal(type, value) : LLVMConstInt(type, (unsigned long long)bits, true);
}

LLVMValueRef cg_intrinsic(cg *x, const char *name, LLVMTypeRef *overload, unsigned overloads, LLVMValueRef *arguments,
                          unsigned count)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(x->m, id, overload, overloads);
    LLVMTypeRef type = LLVMIntrinsicGetType(x->c, id, overload, overloads);
    return LLVMBuildCall2(x->b, type, function, arguments, count, "");
}

LLVMValueRef cg_splat(cg *x, LLVMValueRef scalar)
{
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)x->W);
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c);
    LLVMValueRef one = LLVMBuildInsertElement(x->b, LLVMGetPoison(type), scalar, LLVMConstInt(i32, 0, false), "");
    return LLVMBuildShuffleVector(x->b, one, LLVMGetPoison(type), LLVMConstNull(LLVMVectorType(i32, (unsigned)x->W)),
                                  "");
}

LLVMValueRef cg_iota(cg *x, int64_t step)
{
    LLVMValueRef lanes[64];
    for (int i = 0; i < x->W; i++)
        lanes[i] = cg_i64(x, i * step);
    return LLVMConstVector(lanes, (unsigned)x->W);
}

LLVMValueRef cg_vector(cg *x, lane l, tw_dtype dtype)
{
    (void)dtype;
    if (l.form == LANE_VECTOR)
        return l.base ? LLVMBuildAdd(x->b, l.v, cg_splat(x, l.base), "") : l.v;
    LLVMValueRef v = cg_splat(x, l.v);
    return l.form == LANE_AFFINE ? LLVMBuildAdd(x->b, v, cg_iota(x, l.step), "") : v;
}

LLVMValueRef cg_all_lanes(cg *x)
{
    LLVMValueRef lanes[64];
    for (int i = 0; i < x->W; i++)
        lanes[i] = LLVMConstInt(LLVMInt1TypeInContext(x->c), 1, false);
    return LLVMConstVector(lanes, (unsigned)x->W);
}

static bool is_vector(LLVMValueRef v)
{
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

static LLVMTypeRef like(LLVMValueRef v, LLVMTypeRef scalar)
{
    return is_vector(v) ? LLVMVectorType(scalar, LLVMGetVectorSize(LLVMTypeOf(v))) : scalar;
}

LLVMValueRef cg_extend(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    LLVMTypeRef wide = like(v, LLVMInt64TypeInContext(x->c));
    if (tw_dtype_size(dtype) == 8)
        return v;
    return tw_dtype_signed(dtype) ? LLVMBuildSExt(x->b, v, wide, "") : LLVMBuildZExt(x->b, v, wide, "");
}

static LLVMValueRef constant_like(cg *x, LLVMValueRef v, tw_dtype dtype, double value, int64_t bits)
{
    LLVMValueRef c = cg_constant(x, dtype, value, bits), lanes[64];
    if (!is_vector(v))
        return c;
    unsigned n = LLVMGetVectorSize(LLVMTypeOf(v));
    for (unsigned i = 0; i < n; i++)
        lanes[i] = c;
    return LLVMConstVector(lanes, n);
}

static bool half(tw_dtype dtype)
{
    return dtype == TW_F16 || dtype == TW_BF16;
}

LLVMValueRef cg_widen(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    return half(dtype) ? LLVMBuildFPExt(x->b, v, like(v, LLVMFloatTypeInContext(x->c)), "") : v;
}

/* f32 to bf16, to nearest even, by the bits: AVX-512's instruction takes subnormal numbers for zeros. */
static LLVMValueRef to_bf16(cg *x, LLVMValueRef v)
{
    LLVMTypeRef i32 = like(v, LLVMInt32TypeInContext(x->c)), i16 = like(v, LLVMInt16TypeInContext(x->c));
    LLVMValueRef bits = LLVMBuildBitCast(x->b, v, i32, ""), by = constant_like(x, v, TW_I32, 0, 16);
    LLVMValueRef high = LLVMBuildLShr(x->b, bits, by, "");
    LLVMValueRef up = LLVMBuildAnd(x->b, high, constant_like(x, v, TW_I32, 0, 1), "");
    up = LLVMBuildAdd(x->b, up, constant_like(x, v, TW_I32, 0, 0x7fff), "");
    LLVMValueRef rounded = LLVMBuildLShr(x->b, LLVMBuildAdd(x->b, bits, up, ""), by, "");
    LLVMValueRef quiet = LLVMBuildOr(x->b, high, constant_like(x, v, TW_I32, 0, 0x40), "");
    LLVMValueRef result = LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealUNO, v, v, ""), quiet, rounded, "");
    return LLVMBuildBitCast(x->b, LLVMBuildTrunc(x->b, result, i16, ""), like(v, cg_type(x, TW_BF16)), "");
}

LLVMValueRef cg_round_to(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    if (dtype == TW_BF16)
        return to_bf16(x, v);
    return half(dtype) ? LLVMBuildFPTrunc(x->b, v, like(v, cg_type(x, dtype)), "") : v;
}

static LLVMValueRef unary_intrinsic(cg *x, const char *name, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    return cg_intrinsic(x, name, &type, 1, &v, 1);
}

static LLVMValueRef binary_intrinsic(cg *x, const char *name, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef arguments[] = {a, b};
    return cg_intrinsic(x, name, &type, 1, arguments, 2);
}

static bool harmless_divisor(LLVMValueRef c)
{
    return c && LLVMIsAConstantInt(c) && LLVMConstIntGetSExtValue(c) != 0 && LLVMConstIntGetSExtValue(c) != -1;
}

/* Constants, none of them 0 or -1. */
static bool divides_safely(LLVMValueRef b)
{
    if (!is_vector(b))
        return harmless_divisor(b);
    for (unsigned i = 0; i < LLVMGetVectorSize(LLVMTypeOf(b)); i++)
        if (!LLVMIsConstant(b) || !harmless_divisor(LLVMGetAggregateElement(b, i)))
            return false;
    return true;
}

/* Integer division never traps: x / 0 = 0, x rem 0 = 0, and the one overflow wraps. */
static LLVMValueRef divide_integers(cg *x, bool remainder, tw_dtype dtype, LLVMValueRef a, LLVMValueRef b)
{
    bool sign = tw_dtype_signed(dtype);
    LLVMValueRef one = constant_like(x, b, dtype, 0, 1), zero = constant_like(x, b, dtype, 0, 0), safe = b, bad = NULL,
                 minus = NULL;
    if (!divides_safely(b)) {
        bad = LLVMBuildICmp(x->b, LLVMIntEQ, b, zero, "");
        safe = LLVMBuildSelect(x->b, bad, one, b, "");
        if (sign) {
            minus = LLVMBuildICmp(x->b, LLVMIntEQ, b, constant_like(x, b, dtype, 0, -1), "");
            safe = LLVMBuildSelect(x->b, minus, one, safe, "");
        }
    }
    LLVMValueRef q = remainder ? (sign ? LLVMBuildSRem(x->b, a, safe, "") : LLVMBuildURem(x->b, a, safe, ""))
                               : (sign ? LLVMBuildSDiv(x->b, a, safe, "") : LLVMBuildUDiv(x->b, a, safe, ""));
    if (minus && !remainder)
        q = LLVMBuildSelect(x->b, minus, LLVMBuildNeg(x->b, a, ""), q, "");
    return bad ? LLVMBuildSelect(x->b, bad, zero, q, "") : q;
}

static LLVMValueRef shift(cg *x, int code, tw_dtype dtype, LLVMValueRef a, LLVMValueRef b)
{
    int64_t width = (int64_t)tw_dtype_size(dtype) * 8;
    bool sign = tw_dtype_signed(dtype);
    LLVMValueRef most = constant_like(x, b, dtype, 0, width - 1);
    LLVMValueRef over = LLVMBuildICmp(x->b, LLVMIntUGT, b, most, "");
    LLVMValueRef safe = LLVMBuildSelect(x->b, over, most, b, "");
    if (code == TW_T_SHR && sign)
        return LLVMBuildAShr(x->b, a, safe, "");
    LLVMValueRef y = code == TW_T_SHL ? LLVMBuildShl(x->b, a, safe, "") : LLVMBuildLShr(x->b, a, safe, "");
    return LLVMBuildSelect(x->b, over, constant_like(x, a, dtype, 0, 0), y, "");
}

/* Fenced from what follows: where bf16 is computed in f32, LLVM 19 narrows the remainder of a constant that half can
 * hold to half, and takes the bits for bf16 (InstCombine, visitFPTrunc: the two have the same width). */
static LLVMValueRef remainder_of(cg *x, LLVMValueRef a, LLVMValueRef b)
{
    return unary_intrinsic(x, "llvm.arithmetic.fence", LLVMBuildFRem(x->b, a, b, ""));
}

LLVMValueRef cg_binary(cg *x, int code, tw_dtype dtype, LLVMValueRef a, LLVMValueRef b)
{
    bool floating = tw_dtype_floating(dtype), sign = tw_dtype_signed(dtype);
    switch (code) {
    case TW_T_ADD:
        return floating ? LLVMBuildFAdd(x->b, a, b, "") : LLVMBuildAdd(x->b, a, b, "");
    case TW_T_SUB:
        return floating ? LLVMBuildFSub(x->b, a, b, "") : LLVMBuildSub(x->b, a, b, "");
    case TW_T_MUL:
        return floating ? LLVMBuildFMul(x->b, a, b, "") : LLVMBuildMul(x->b, a, b, "");
    case TW_T_DIV:
        return floating ? LLVMBuildFDiv(x->b, a, b, "") : divide_integers(x, false, dtype, a, b);
    case TW_T_REM:
        return floating ? remainder_of(x, a, b) : divide_integers(x, true, dtype, a, b);
    case TW_T_MIN:
        return binary_intrinsic(x, floating ? "llvm.minimum" : sign ? "llvm.smin" : "llvm.umin", a, b);
    case TW_T_MAX:
        return binary_intrinsic(x, floating ? "llvm.maximum" : sign ? "llvm.smax" : "llvm.umax", a, b);
    case TW_T_AND:
        return LLVMBuildAnd(x->b, a, b, "");
    case TW_T_OR:
        return LLVMBuildOr(x->b, a, b, "");
    case TW_T_XOR:
        return LLVMBuildXor(x->b, a, b, "");
    case TW_T_SHL:
    case TW_T_SHR:
        return shift(x, code, dtype, a, b);
    default:
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: operation %d", code));
        return a;
    }
}

static LLVMValueRef mul_high(cg *x, tw_dtype dtype, LLVMValueRef a, LLVMValueRef b)
{
    unsigned width = (unsigned)tw_dtype_size(dtype) * 8;
    LLVMTypeRef wide = like(a, LLVMIntTypeInContext(x->c, 2 * width));
    LLVMValueRef p = LLVMBuildMul(x->b, LLVMBuildZExt(x->b, a, wide, ""), LLVMBuildZExt(x->b, b, wide, ""), "");
    LLVMValueRef by = LLVMConstInt(LLVMIntTypeInContext(x->c, 2 * width), width, false), lanes[64];
    if (is_vector(a)) {
        for (unsigned i = 0; i < LLVMGetVectorSize(LLVMTypeOf(a)); i++)
            lanes[i] = by;
        by = LLVMConstVector(lanes, LLVMGetVectorSize(LLVMTypeOf(a)));
    }
    return LLVMBuildTrunc(x->b, LLVMBuildLShr(x->b, p, by, ""), LLVMTypeOf(a), "");
}

static LLVMValueRef compare(cg *x, int kind, tw_dtype dtype, LLVMValueRef a, LLVMValueRef b)
{
    static const LLVMRealPredicate real[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT,
                                             LLVMRealOLE, LLVMRealOGT, LLVMRealOGE};
    static const LLVMIntPredicate with_sign[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE};
    static const LLVMIntPredicate without[] = {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE};
    if (tw_dtype_floating(dtype))
        return LLVMBuildFCmp(x->b, real[kind], a, b, "");
    return LLVMBuildICmp(x->b, (tw_dtype_signed(dtype) ? with_sign : without)[kind], a, b, "");
}

/* double to f32, rounded to odd, so that rounding on to f16 or bf16 is as if rounded once (Boldo and Melquiond). */
static LLVMValueRef to_odd(cg *x, LLVMValueRef v)
{
    LLVMTypeRef i32 = like(v, LLVMInt32TypeInContext(x->c)), f32 = like(v, LLVMFloatTypeInContext(x->c));
    LLVMValueRef single = LLVMBuildFPTrunc(x->b, v, f32, ""), bits = LLVMBuildBitCast(x->b, single, i32, "");
    LLVMValueRef back = LLVMBuildFPExt(x->b, single, LLVMTypeOf(v), "");
    LLVMValueRef size = unary_intrinsic(x, "llvm.fabs", back);
    LLVMValueRef inexact = LLVMBuildFCmp(x->b, LLVMRealONE, back, v, "");
    LLVMValueRef finite = LLVMBuildFCmp(x->b, LLVMRealOLT, size, constant_like(x, v, TW_F64, INFINITY, 0), "");
    LLVMValueRef beyond = LLVMBuildFCmp(x->b, LLVMRealOGT, size, unary_intrinsic(x, "llvm.fabs", v), "");
    LLVMValueRef odd = LLVMBuildAdd(x->b, bits, LLVMBuildSExt(x->b, beyond, i32, ""), "");
    odd = LLVMBuildOr(x->b, odd, constant_like(x, v, TW_I32, 0, 1), "");
    odd = LLVMBuildSelect(x->b, LLVMBuildAnd(x->b, inexact, finite, ""), odd, bits, "");
    return LLVMBuildBitCast(x->b, odd, f32, "");
}

/* Truncates; beyond the integers' range the nearest one, NaN becomes 0: the same on every machine. */
static LLVMValueRef to_integer(cg *x, LLVMValueRef v, LLVMTypeRef type)
{
    return cg_intrinsic(x, "llvm.fptosi.sat", (LLVMTypeRef[]){type, LLVMTypeOf(v)}, 2, &v, 1);
}

static LLVMValueRef cast(cg *x, LLVMValueRef v, tw_dtype from, tw_dtype to)
{
    if (from == to)
        return v;
    LLVMTypeRef type = like(v, cg_type(x, to));
    size_t had = from == TW_BOOL ? 0 : tw_dtype_size(from), wants = to == TW_BOOL ? 0 : tw_dtype_size(to);
    if (to == TW_BOOL)
        return tw_dtype_floating(from) ? LLVMBuildFCmp(x->b, LLVMRealUNE, v, LLVMConstNull(LLVMTypeOf(v)), "")
                                       : LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    if (tw_dtype_floating(from) && tw_dtype_floating(to)) {
        if (half(from) && half(to)) /* f16 and bf16 meet in f32 */
            return cg_round_to(x, cg_widen(x, v, from), to);
        if (from == TW_F64 && half(to))
            return cg_round_to(x, to_odd(x, v), to);
        if (half(to))
            return cg_round_to(x, v, to);
        return had < wants ? LLVMBuildFPExt(x->b, v, type, "") : LLVMBuildFPTrunc(x->b, v, type, "");
    }
    if (tw_dtype_floating(from)) {
        LLVMTypeRef i64 = like(v, LLVMInt64TypeInContext(x->c));
        if (wants >= 4 && tw_dtype_signed(to))
            return to_integer(x, cg_widen(x, v, from), type);
        LLVMValueRef whole = to_integer(x, cg_widen(x, v, from), i64);
        return wants < 8 ? LLVMBuildTrunc(x->b, whole, type, "") : whole;
    }
    if (tw_dtype_floating(to)) {
        bool via = half(to);
        LLVMTypeRef target = via ? like(v, LLVMFloatTypeInContext(x->c)) : type;
        LLVMValueRef f =
            tw_dtype_signed(from) ? LLVMBuildSIToFP(x->b, v, target, "") : LLVMBuildUIToFP(x->b, v, target, "");
        return via ? cg_round_to(x, f, to) : f;
    }
    if (wants == had)
        return v;
    if (wants < had)
        return LLVMBuildTrunc(x->b, v, type, "");
    return tw_dtype_signed(from) ? LLVMBuildSExt(x->b, v, type, "") : LLVMBuildZExt(x->b, v, type, "");
}

/* x * 2^k. AVX-512 has an instruction for it; elsewhere two exact steps of half the exponent each round once at the
 * end. */
static LLVMValueRef ldexp_(cg *x, tw_dtype dtype, LLVMValueRef v, LLVMValueRef k)
{
    if (dtype == TW_F32 && x->vector_bytes == 64 && is_vector(v) && LLVMGetVectorSize(LLVMTypeOf(v)) == 16) {
        LLVMValueRef arguments[] = {v, k, v, LLVMConstInt(LLVMInt16TypeInContext(x->c), 0xffff, false),
                                    LLVMConstInt(LLVMInt32TypeInContext(x->c), 4, false)};
        return cg_intrinsic(x, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0, arguments, 5);
    }
    bool wide = dtype == TW_F64;
    double most = wide ? 2100 : 300;
    int bits = wide ? 52 : 23, bias = wide ? 1023 : 127;
    tw_dtype integer = wide ? TW_I64 : TW_I32;
    LLVMTypeRef itype = like(v, cg_type(x, integer)), ftype = LLVMTypeOf(v);
    LLVMValueRef part = v;
    k = binary_intrinsic(x, "llvm.minnum", k, constant_like(x, k, dtype, most, 0));
    k = binary_intrinsic(x, "llvm.maxnum", k, constant_like(x, k, dtype, -most, 0));
    LLVMValueRef e = LLVMBuildFPToSI(x->b, k, itype, ""),
                 quarter = LLVMBuildAShr(x->b, e, constant_like(x, e, integer, 0, 2), "");
    LLVMValueRef rest = LLVMBuildSub(x->b, e, LLVMBuildMul(x->b, quarter, constant_like(x, e, integer, 0, 3), ""), "");
    for (int i = 0; i < 4; i++) {
        LLVMValueRef power = LLVMBuildAdd(x->b, i < 3 ? quarter : rest, constant_like(x, e, integer, 0, bias), "");
        power = LLVMBuildShl(x->b, power, constant_like(x, e, integer, 0, bits), "");
        part = LLVMBuildFMul(x->b, part, LLVMBuildBitCast(x->b, power, ftype, ""), "");
    }
    return part;
}

static LLVMValueRef round_to_integral(cg *x, int mode, LLVMValueRef v)
{
    static const char *const names[] = {"llvm.roundeven", "llvm.floor", "llvm.ceil", "llvm.trunc"};
    return unary_intrinsic(x, names[mode], v);
}

static LLVMValueRef negate(cg *x, tw_dtype dtype, LLVMValueRef v)
{
    return tw_dtype_floating(dtype) ? LLVMBuildFNeg(x->b, v, "") : LLVMBuildNeg(x->b, v, "");
}

static LLVMValueRef absolute(cg *x, tw_dtype dtype, LLVMValueRef v)
{
    if (tw_dtype_floating(dtype))
        return unary_intrinsic(x, "llvm.fabs", v);
    if (!tw_dtype_signed(dtype))
        return v;
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMValueRef arguments[] = {v, LLVMConstInt(LLVMInt1TypeInContext(x->c), 0, false)};
    return cg_intrinsic(x, "llvm.abs", &type, 1, arguments, 2);
}

/* LLVM would narrow the operation to half precision, where its minimum of x86 (LLVM 19) loses a NaN beside a zero. */
static LLVMValueRef in_single(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    return half(dtype) ? unary_intrinsic(x, "llvm.arithmetic.fence", v) : v;
}

static LLVMValueRef apply(cg *x, const tw_op *op, const LLVMValueRef *given)
{
    tw_dtype dtype = (tw_dtype)op->operand[op->code == TW_T_SELECT ? 1 : 0]->type.dtype;
    LLVMValueRef v[3] = {given[0], op->operands > 1 ? given[1] : NULL, op->operands > 2 ? given[2] : NULL};
    if (op->code == TW_T_SELECT)
        return LLVMBuildSelect(x->b, v[0], v[1], v[2], "");
    if (op->code == TW_T_CAST)
        return cast(x, v[0], dtype, (tw_dtype)op->attr[0].i);
    if (op->code == TW_T_BITCAST)
        return LLVMBuildBitCast(x->b, v[0], like(v[0], cg_type(x, (tw_dtype)op->attr[0].i)), "");
    for (uint32_t i = 0; i < op->operands; i++)
        v[i] = cg_widen(x, v[i], dtype);
    tw_dtype computed = half(dtype) ? TW_F32 : dtype;
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    switch (op->code) {
    case TW_T_COMPARE:
        return compare(x, (int)op->attr[0].i, computed, v[0], v[1]);
    case TW_T_ABS:
        return cg_round_to(x, absolute(x, computed, v[0]), dtype);
    case TW_T_NEG:
        return cg_round_to(x, negate(x, computed, v[0]), dtype);
    case TW_T_ROUND:
        return cg_round_to(x, round_to_integral(x, (int)op->attr[0].i, v[0]), dtype);
    case TW_T_SQRT:
        return cg_round_to(x, unary_intrinsic(x, "llvm.sqrt", v[0]), dtype);
    case TW_T_FMA:
        return cg_round_to(x, cg_intrinsic(x, "llvm.fma", &type, 1, v, 3), dtype);
    case TW_T_LDEXP:
        return cg_round_to(x, ldexp_(x, computed, v[0], v[1]), dtype);
    case TW_T_MULHI:
        return mul_high(x, computed, v[0], v[1]);
    case TW_T_MIN:
    case TW_T_MAX:
        return cg_round_to(x, cg_binary(x, op->code, computed, in_single(x, v[0], dtype), v[1]), dtype);
    default:
        return cg_round_to(x, cg_binary(x, op->code, computed, v[0], v[1]), dtype);
    }
}

/* ---- lazy forms ---- */

static lane uniform(LLVMValueRef v)
{
    return (lane){.form = LANE_UNIFORM, .v = v};
}

static bool lazy(const lane *l)
{
    return l->form == LANE_UNIFORM || l->form == LANE_AFFINE;
}

static bool constant_of(const lane *l, int64_t *value)
{
    if (l->form != LANE_UNIFORM || !LLVMIsAConstantInt(l->v))
        return false;
    *value = LLVMConstIntGetSExtValue(l->v);
    return true;
}

/* i64 arithmetic that keeps base + lane * step. */
static bool affine(cg *x, const tw_op *op, const lane *o, lane *result)
{
    int64_t factor;
    if (op->result[0].type.dtype != TW_I64 || op->operands != 2 || !lazy(&o[0]) || !lazy(&o[1]) ||
        (o[0].form == LANE_UNIFORM && o[1].form == LANE_UNIFORM))
        return false;
    *result = (lane){.form = LANE_AFFINE};
    switch (op->code) {
    case TW_T_ADD:
        result->v = LLVMBuildAdd(x->b, o[0].v, o[1].v, "");
        result->step = o[0].step + o[1].step;
        break;
    case TW_T_SUB:
        result->v = LLVMBuildSub(x->b, o[0].v, o[1].v, "");
        result->step = o[0].step - o[1].step;
        break;
    case TW_T_MUL:
        if (!constant_of(&o[0], &factor) && !constant_of(&o[1], &factor))
            return false;
        result->v = LLVMBuildMul(x->b, o[0].v, o[1].v, "");
        result->step = (o[0].step + o[1].step) * factor;
        break;
    default:
        return false;
    }
    if (result->step == 0)
        result->form = LANE_UNIFORM;
    return true;
}

/* lane index + base < limit: the first (limit - base) lanes. In 32 bits, where it is one comparison of a vector. */
static bool prefix(cg *x, const tw_op *op, const lane *o, lane *result)
{
    int kind = (int)op->attr[0].i;
    if (op->code != TW_T_COMPARE || o[0].form != LANE_AFFINE || o[0].step != 1 || o[1].form != LANE_UNIFORM ||
        op->operand[0]->type.dtype != TW_I64 || kind < TW_T_COMPARE_LT)
        return false;
    static const LLVMIntPredicate predicates[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE};
    LLVMValueRef count = LLVMBuildSub(x->b, o[1].v, o[0].v, "");
    count = binary_intrinsic(x, "llvm.smax", count, cg_i64(x, -1));
    count = binary_intrinsic(x, "llvm.smin", count, cg_i64(x, x->W + 1));
    count = cg_splat(x, LLVMBuildTrunc(x->b, count, LLVMInt32TypeInContext(x->c), ""));
    *result = (lane){.form = LANE_VECTOR, .v = LLVMBuildICmp(x->b, predicates[kind], x->iota32, count, "")};
    return true;
}

/* The i32 numbers of an arange: a narrow sum instead of a wide one that is cut. */
static bool narrowed(cg *x, const tw_op *op, const lane *o, lane *result)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c);
    LLVMValueRef lanes[64];
    if (op->code != TW_T_CAST || o[0].form != LANE_AFFINE || op->result[0].type.dtype != TW_I32)
        return false;
    for (int i = 0; i < x->W; i++)
        lanes[i] = LLVMConstInt(i32, (unsigned long long)(i * o[0].step), true);
    LLVMValueRef first = cg_splat(x, LLVMBuildTrunc(x->b, o[0].v, i32, ""));
    *result = (lane){.form = LANE_VECTOR, .v = LLVMBuildAdd(x->b, first, LLVMConstVector(lanes, (unsigned)x->W), "")};
    return true;
}

/* Pointers are compared as addresses. */
static lane compare_pointers(cg *x, const tw_op *op, const lane *operand)
{
    lane a[2];
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    for (int i = 0; i < 2; i++)
        a[i] = cg_address(x, operand[i], dtype);
    bool all = a[0].form == LANE_UNIFORM && a[1].form == LANE_UNIFORM;
    LLVMValueRef v[2];
    for (int i = 0; i < 2; i++)
        v[i] = all ? a[i].v : cg_vector(x, a[i], TW_I64);
    return (lane){.form = all ? LANE_UNIFORM : LANE_VECTOR, .v = compare(x, (int)op->attr[0].i, TW_U64, v[0], v[1])};
}

lane cg_pointwise(cg *x, const tw_op *op, const lane *operand)
{
    lane result;
    LLVMValueRef v[3];
    bool all = true;
    if (op->code == TW_T_COMPARE && operand[0].pointer)
        return compare_pointers(x, op, operand);
    if (op->code == TW_T_BITCAST && operand[0].pointer)
        return cg_address(x, operand[0], (tw_dtype)op->operand[0]->type.dtype);
    if (operand[0].pointer) { /* pointer + offset */
        lane offsets[2] = {{.form = operand[0].form, .v = operand[0].v, .step = operand[0].step}, operand[1]};
        lane sum;
        tw_value fake = {.type = tw_type_scalar(TW_I64)};
        tw_value *fakes[2] = {&fake, &fake};
        tw_op add = *op;
        add.operand = fakes;
        add.result = &fake;
        if (op->operand[1]->type.dtype != TW_I64) {
            cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: pointer offset of dtype %s",
                                tw_dtype_name((tw_dtype)op->operand[1]->type.dtype)));
            return operand[0];
        }
        sum = cg_pointwise(x, &add, offsets);
        sum.pointer = operand[0].pointer;
        return sum;
    }
    if (affine(x, op, operand, &result) || prefix(x, op, operand, &result) || narrowed(x, op, operand, &result))
        return result;
    for (uint32_t i = 0; i < op->operands; i++)
        all = all && operand[i].form == LANE_UNIFORM;
    for (uint32_t i = 0; i < op->operands && i < 3; i++)
        v[i] = all ? operand[i].v : cg_vector(x, operand[i], (tw_dtype)op->operand[i]->type.dtype);
    return all ? uniform(apply(x, op, v)) : (lane){.form = LANE_VECTOR, .v = apply(x, op, v)};
}
