/* Element-wise operations: one C loop for each operation and class of dtypes. Half precision is computed in f32 and
 * rounded once, as every back end must. */
#include <math.h>

#include "tile/interpret_internal.h"

/* ---- integers: wrap around, never trap ---- */

#define INTEGER_FUNCTION(name, T, U, SIGNED)                                                                           \
    static bool name(int code, int64_t n, void *to, const void *left, int sa, const void *right, int sb)               \
    {                                                                                                                  \
        T *r = to;                                                                                                     \
        const T *a = left, *b = right;                                                                                 \
        const unsigned width = sizeof(T) * 8;                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            T x = a[i * sa], y = b[i * sb];                                                                            \
            switch (code) {                                                                                            \
            case TW_T_ADD:                                                                                             \
                r[i] = (T)((uint64_t)x + (uint64_t)y);                                                                 \
                break;                                                                                                 \
            case TW_T_SUB:                                                                                             \
                r[i] = (T)((uint64_t)x - (uint64_t)y);                                                                 \
                break;                                                                                                 \
            case TW_T_MUL:                                                                                             \
                r[i] = (T)((uint64_t)x * (uint64_t)y);                                                                 \
                break;                                                                                                 \
            case TW_T_DIV:                                                                                             \
                r[i] = (T)(y == 0 ? 0 : SIGNED && y == (T) - 1 ? (T)(0 - (uint64_t)x) : (T)(x / y));                   \
                break;                                                                                                 \
            case TW_T_REM:                                                                                             \
                r[i] = (T)(y == 0 || (SIGNED && y == (T) - 1) ? 0 : x % y);                                            \
                break;                                                                                                 \
            case TW_T_MIN:                                                                                             \
                r[i] = x < y ? x : y;                                                                                  \
                break;                                                                                                 \
            case TW_T_MAX:                                                                                             \
                r[i] = x > y ? x : y;                                                                                  \
                break;                                                                                                 \
            case TW_T_AND:                                                                                             \
                r[i] = (T)(x & y);                                                                                     \
                break;                                                                                                 \
            case TW_T_OR:                                                                                              \
                r[i] = (T)(x | y);                                                                                     \
                break;                                                                                                 \
            case TW_T_XOR:                                                                                             \
                r[i] = (T)(x ^ y);                                                                                     \
                break;                                                                                                 \
            case TW_T_SHL:                                                                                             \
                r[i] = (T)((U)y >= width ? 0 : (uint64_t)x << y);                                                      \
                break;                                                                                                 \
            case TW_T_SHR:                                                                                             \
                r[i] = (T)((U)y >= width ? (SIGNED && (x >> (width - 1) & 1) ? (T) - 1 : (T)0) : x >> y);              \
                break;                                                                                                 \
            case TW_T_MULHI:                                                                                           \
                r[i] = (T)(width == 64 ? high_half((uint64_t)x, (uint64_t)y)                                           \
                                       : (uint64_t)(U)x * (uint64_t)(U)y >> (width & 63));                             \
                break;                                                                                                 \
            default:                                                                                                   \
                return false;                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
        return true;                                                                                                   \
    }

static uint64_t high_half(uint64_t x, uint64_t y)
{
    uint64_t xl = (uint32_t)x, xh = x >> 32, yl = (uint32_t)y, yh = y >> 32;
    uint64_t middle = xh * yl + (xl * yl >> 32), rest = xl * yh + (uint32_t)middle;
    return xh * yh + (middle >> 32) + (rest >> 32);
}

INTEGER_FUNCTION(of_i8, int8_t, uint8_t, 1)
INTEGER_FUNCTION(of_i16, int16_t, uint16_t, 1)
INTEGER_FUNCTION(of_i32, int32_t, uint32_t, 1)
INTEGER_FUNCTION(of_i64, int64_t, uint64_t, 1)
INTEGER_FUNCTION(of_u8, uint8_t, uint8_t, 0)
INTEGER_FUNCTION(of_u16, uint16_t, uint16_t, 0)
INTEGER_FUNCTION(of_u32, uint32_t, uint32_t, 0)
INTEGER_FUNCTION(of_u64, uint64_t, uint64_t, 0)

static bool of_bool(int code, int64_t n, void *to, const void *left, int sa, const void *right, int sb)
{
    uint8_t *r = to;
    const uint8_t *a = left, *b = right;
    for (int64_t i = 0; i < n; i++) {
        bool x = a[i * sa] != 0, y = b[i * sb] != 0;
        switch (code) {
        case TW_T_AND:
        case TW_T_MIN:
        case TW_T_MUL:
            r[i] = x && y;
            break;
        case TW_T_OR:
        case TW_T_MAX:
            r[i] = x || y;
            break;
        case TW_T_XOR:
        case TW_T_ADD:
        case TW_T_SUB:
            r[i] = x != y;
            break;
        default:
            return false;
        }
    }
    return true;
}

/* ---- floating ---- */

#define SMALLER(x, y) (isnan(x) ? (x) : isnan(y) ? (y) : (x) == (y) ? (signbit(x) ? (x) : (y)) : (x) < (y) ? (x) : (y))
#define LARGER(x, y) (isnan(x) ? (x) : isnan(y) ? (y) : (x) == (y) ? (signbit(x) ? (y) : (x)) : (x) > (y) ? (x) : (y))

#define FLOATING_FUNCTION(name, T, MOD, LDEXP)                                                                         \
    static bool name(int code, int64_t n, void *to, const void *left, int sa, const void *right, int sb)               \
    {                                                                                                                  \
        T *r = to;                                                                                                     \
        const T *a = left, *b = right;                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            T x = a[i * sa], y = b[i * sb];                                                                            \
            switch (code) {                                                                                            \
            case TW_T_ADD:                                                                                             \
                r[i] = x + y;                                                                                          \
                break;                                                                                                 \
            case TW_T_SUB:                                                                                             \
                r[i] = x - y;                                                                                          \
                break;                                                                                                 \
            case TW_T_MUL:                                                                                             \
                r[i] = x * y;                                                                                          \
                break;                                                                                                 \
            case TW_T_DIV:                                                                                             \
                r[i] = x / y;                                                                                          \
                break;                                                                                                 \
            case TW_T_REM:                                                                                             \
                r[i] = MOD(x, y);                                                                                      \
                break;                                                                                                 \
            case TW_T_MIN:                                                                                             \
                r[i] = SMALLER(x, y);                                                                                  \
                break;                                                                                                 \
            case TW_T_MAX:                                                                                             \
                r[i] = LARGER(x, y);                                                                                   \
                break;                                                                                                 \
            case TW_T_LDEXP:                                                                                           \
                r[i] = isnan(y) ? y : LDEXP(x, (int)(y < -5000 ? -5000 : y > 5000 ? 5000 : y));                        \
                break;                                                                                                 \
            default:                                                                                                   \
                return false;                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
        return true;                                                                                                   \
    }

FLOATING_FUNCTION(of_f32, float, fmodf, ldexpf)
FLOATING_FUNCTION(of_f64, double, fmod, ldexp)

static bool half(tw_dtype dtype)
{
    return dtype == TW_F16 || dtype == TW_BF16;
}

void tw_tile_widen(tw_dtype dtype, const void *from, int64_t count, float *to)
{
    const uint16_t *bits = from;
    for (int64_t i = 0; i < count; i++)
        to[i] = dtype == TW_F16 ? tw_f16_to_f32(bits[i]) : tw_bf16_to_f32(bits[i]);
}

void tw_tile_narrow(tw_dtype dtype, const float *from, int64_t count, void *to)
{
    uint16_t *bits = to;
    for (int64_t i = 0; i < count; i++)
        bits[i] = dtype == TW_F16 ? tw_f32_to_f16(from[i]) : tw_f32_to_bf16(from[i]);
}

static tw_status in_f32(tw_tile_machine *m, int code, tw_dtype dtype, int64_t n, void *r, const void *a, int sa,
                        const void *b, int sb)
{
    float *x = tw_alloc((size_t)n * 3 * sizeof *x + 16);
    if (!x)
        return TW_ERR_MEMORY;
    float *y = x + n, *z = y + n;
    tw_tile_widen(dtype, a, sa ? n : 1, x);
    tw_tile_widen(dtype, b, sb ? n : 1, y);
    bool known = of_f32(code, n, z, x, sa, y, sb);
    tw_tile_narrow(dtype, z, n, r);
    tw_free(x);
    return known ? TW_OK : tw_tile_fail(m, "no such operation on half-precision numbers");
}

tw_status tw_tile_binary(tw_tile_machine *m, int code, tw_dtype dtype, int64_t n, void *r, const void *a, int sa,
                         const void *b, int sb)
{
    typedef bool function(int code, int64_t n, void *to, const void *left, int sa, const void *right, int sb);
    static function *const functions[TW_DTYPES] = {
        [TW_BOOL] = of_bool, [TW_I8] = of_i8,   [TW_I16] = of_i16, [TW_I32] = of_i32,
        [TW_I64] = of_i64,   [TW_U8] = of_u8,   [TW_U16] = of_u16, [TW_U32] = of_u32,
        [TW_U64] = of_u64,   [TW_F32] = of_f32, [TW_F64] = of_f64};
    if (half(dtype))
        return in_f32(m, code, dtype, n, r, a, sa, b, sb);
    return functions[dtype](code, n, r, a, sa, b, sb)
               ? TW_OK
               : tw_tile_fail(m, "no such operation on %s", tw_dtype_name(dtype));
}

/* ---- comparisons ---- */

#define COMPARE(T)                                                                                                     \
    {                                                                                                                  \
        const T *x = a, *y = b;                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            T p = x[i * sa], q = y[i * sb];                                                                            \
            r[i] = kind == TW_T_COMPARE_EQ   ? p == q                                                                  \
                   : kind == TW_T_COMPARE_NE ? p != q                                                                  \
                   : kind == TW_T_COMPARE_LT ? p < q                                                                   \
                   : kind == TW_T_COMPARE_LE ? p <= q                                                                  \
                   : kind == TW_T_COMPARE_GT ? p > q                                                                   \
                                             : p >= q;                                                                 \
        }                                                                                                              \
        return;                                                                                                        \
    }

static void compare(int kind, tw_dtype dtype, int64_t n, uint8_t *r, const void *a, int sa, const void *b, int sb)
{
    switch (dtype) {
    case TW_I8:
        COMPARE(int8_t)
    case TW_I16:
        COMPARE(int16_t)
    case TW_I32:
        COMPARE(int32_t)
    case TW_I64:
        COMPARE(int64_t)
    case TW_U16:
        COMPARE(uint16_t)
    case TW_U32:
        COMPARE(uint32_t)
    case TW_U64:
        COMPARE(uint64_t)
    case TW_F32:
        COMPARE(float)
    case TW_F64:
        COMPARE(double)
    default:
        COMPARE(uint8_t)
    }
}

static tw_status run_compare(const tw_op *op, int64_t n, void *r, const void *a, int sa, const void *b, int sb)
{
    tw_dtype dtype = op->operand[0]->type.pointer ? TW_I64 : (tw_dtype)op->operand[0]->type.dtype;
    int kind = (int)op->attr[0].i;
    if (!half(dtype)) {
        compare(kind, dtype, n, r, a, sa, b, sb);
        return TW_OK;
    }
    float *x = tw_alloc((size_t)n * 2 * sizeof *x + 16);
    if (!x)
        return TW_ERR_MEMORY;
    tw_tile_widen(dtype, a, sa ? n : 1, x);
    tw_tile_widen(dtype, b, sb ? n : 1, x + n);
    compare(kind, TW_F32, n, r, x, sa, x + n, sb);
    tw_free(x);
    return TW_OK;
}

/* ---- conversions ---- */

static int64_t load_integer(tw_dtype dtype, const void *from, int64_t i)
{
    switch (dtype) {
    case TW_I8:
        return ((const int8_t *)from)[i];
    case TW_I16:
        return ((const int16_t *)from)[i];
    case TW_I32:
        return ((const int32_t *)from)[i];
    case TW_U16:
        return ((const uint16_t *)from)[i];
    case TW_U32:
        return ((const uint32_t *)from)[i];
    case TW_I64:
    case TW_U64:
        return ((const int64_t *)from)[i];
    default:
        return ((const uint8_t *)from)[i];
    }
}

static void store_integer(tw_dtype dtype, void *to, int64_t i, int64_t value)
{
    switch (tw_dtype_size(dtype)) {
    case 1:
        ((uint8_t *)to)[i] = (uint8_t)value;
        return;
    case 2:
        ((uint16_t *)to)[i] = (uint16_t)value;
        return;
    case 4:
        ((uint32_t *)to)[i] = (uint32_t)value;
        return;
    default:
        ((int64_t *)to)[i] = value;
    }
}

/* Half-precision results come from double by rounding to odd first: see dtype.c. */
static void from_integer(tw_dtype from, tw_dtype to, int64_t n, void *r, const void *a)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t x = load_integer(from, a, i);
        bool plain = from == TW_U64;
        if (to == TW_F64) {
            ((double *)r)[i] = plain ? (double)(uint64_t)x : (double)x;
            continue;
        }
        float f = plain ? (float)(uint64_t)x : (float)x;
        if (to == TW_F32)
            ((float *)r)[i] = f;
        else
            tw_tile_narrow(to, &f, 1, (uint16_t *)r + i);
    }
}

static double load_floating(tw_dtype dtype, const void *a, int64_t i)
{
    return tw_dtype_load(dtype, (const char *)a + (size_t)i * tw_dtype_size(dtype));
}

/* Truncates and saturates: at 32 bits for i32, else at 64; narrower ones keep the low bits; NaN is 0. */
static void to_integer(tw_dtype from, tw_dtype to, int64_t n, void *r, const void *a)
{
    for (int64_t i = 0; i < n; i++) {
        double x = load_floating(from, a, i);
        if (to == TW_BOOL) {
            ((uint8_t *)r)[i] = x != 0;
            continue;
        }
        int64_t whole = isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
        if (to == TW_I32)
            whole = TW_MAX(TW_MIN(whole, (int64_t)INT32_MAX), (int64_t)INT32_MIN);
        store_integer(to, r, i, whole);
    }
}

static void run_cast(const tw_op *op, int64_t n, void *r, const void *a)
{
    tw_dtype from = (tw_dtype)op->operand[0]->type.dtype, to = (tw_dtype)op->attr[0].i;
    if (from == to) {
        memcpy(r, a, (size_t)n * tw_dtype_size(to));
    } else if (tw_dtype_floating(from) && tw_dtype_floating(to)) {
        size_t size = tw_dtype_size(to);
        for (int64_t i = 0; i < n; i++)
            tw_dtype_store(to, (char *)r + (size_t)i * size, load_floating(from, a, i));
    } else if (tw_dtype_floating(to)) {
        from_integer(from, to, n, r, a);
    } else if (tw_dtype_floating(from)) {
        to_integer(from, to, n, r, a);
    } else {
        for (int64_t i = 0; i < n; i++)
            store_integer(to, r, i, to == TW_BOOL ? load_integer(from, a, i) != 0 : load_integer(from, a, i));
    }
}

/* ---- one operand ---- */

static double one_f64(const tw_op *op, double x)
{
    switch (op->code) {
    case TW_T_ABS:
        return fabs(x);
    case TW_T_NEG:
        return -x;
    case TW_T_SQRT:
        return sqrt(x);
    default: {
        int64_t mode = op->attr[0].i;
        return mode == TW_T_ROUND_EVEN    ? rint(x)
               : mode == TW_T_ROUND_FLOOR ? floor(x)
               : mode == TW_T_ROUND_CEIL  ? ceil(x)
                                          : trunc(x);
    }
    }
}

/* The same: of a float, each of them is exact in double or (sqrt) rounds to the same float. */
static float one_f32(const tw_op *op, float x)
{
    return (float)one_f64(op, x);
}

static tw_status run_one(tw_tile_machine *m, const tw_op *op, int64_t n, void *r, const void *a)
{
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    for (int64_t i = 0; i < n; i++) {
        if (dtype == TW_F32) {
            ((float *)r)[i] = one_f32(op, ((const float *)a)[i]);
        } else if (dtype == TW_F64) {
            ((double *)r)[i] = one_f64(op, ((const double *)a)[i]);
        } else if (half(dtype)) {
            float x;
            tw_tile_widen(dtype, (const uint16_t *)a + i, 1, &x);
            x = one_f32(op, x);
            tw_tile_narrow(dtype, &x, 1, (uint16_t *)r + i);
        } else {
            int64_t x = load_integer(dtype, a, i);
            if (op->code != TW_T_NEG && op->code != TW_T_ABS)
                return tw_tile_fail(m, "no such operation on integers");
            bool negative = op->code == TW_T_NEG || (x < 0 && tw_dtype_signed(dtype));
            store_integer(dtype, r, i, negative ? (int64_t)(0 - (uint64_t)x) : x);
        }
    }
    return TW_OK;
}

static void run_fma(const tw_op *op, int64_t n, void *r, const void *const *p, const int *s)
{
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    for (int64_t i = 0; i < n; i++) {
        if (dtype == TW_F32) {
            ((float *)r)[i] =
                fmaf(((const float *)p[0])[i * s[0]], ((const float *)p[1])[i * s[1]], ((const float *)p[2])[i * s[2]]);
        } else if (dtype == TW_F64) {
            ((double *)r)[i] = fma(((const double *)p[0])[i * s[0]], ((const double *)p[1])[i * s[1]],
                                   ((const double *)p[2])[i * s[2]]);
        } else if (half(dtype)) {
            float x[3], y;
            for (int k = 0; k < 3; k++)
                tw_tile_widen(dtype, (const uint16_t *)p[k] + i * s[k], 1, &x[k]);
            y = fmaf(x[0], x[1], x[2]);
            tw_tile_narrow(dtype, &y, 1, (uint16_t *)r + i);
        } else {
            uint64_t x = (uint64_t)load_integer(dtype, p[0], i * s[0]) * (uint64_t)load_integer(dtype, p[1], i * s[1]);
            store_integer(dtype, r, i, (int64_t)(x + (uint64_t)load_integer(dtype, p[2], i * s[2])));
        }
    }
}

static void run_select(const tw_op *op, int64_t n, void *r, const void *const *p, const int *s)
{
    size_t size = element_bytes(&op->result[0].type);
    const uint8_t *condition = p[0];
    for (int64_t i = 0; i < n; i++) {
        int from = condition[i * s[0]] ? 1 : 2;
        memcpy((char *)r + (size_t)i * size, (const char *)p[from] + (size_t)(i * s[from]) * size, size);
    }
}

/* base + offset, in elements of what the pointer points to. */
static void run_offset(const tw_op *op, int64_t n, int64_t *r, const void *const *p, const int *s)
{
    int64_t size = (int64_t)tw_dtype_size((tw_dtype)op->operand[0]->type.dtype);
    tw_dtype dtype = (tw_dtype)op->operand[1]->type.dtype;
    for (int64_t i = 0; i < n; i++)
        r[i] = (int64_t)((uint64_t)((const int64_t *)p[0])[i * s[0]] +
                         (uint64_t)load_integer(dtype, p[1], i * s[1]) * (uint64_t)size);
}

static bool any_nan(const tw_type *t, const void *data, int64_t count)
{
    if (!tw_dtype_floating((tw_dtype)t->dtype) || t->pointer)
        return false;
    for (int64_t i = 0; i < count; i++)
        if (isnan(load_floating((tw_dtype)t->dtype, data, i)))
            return true;
    return false;
}

/* The first NaN that comes out of operands without one. */
static tw_status watch_nan(tw_tile_machine *m, const tw_op *op, const void *const *p)
{
    const tw_type *t = &op->result[0].type;
    if (m->returned_nan || !any_nan(t, data_of(m, &op->result[0]), tile_count(t)))
        return TW_OK;
    for (uint32_t i = 0; i < op->operands; i++)
        if (any_nan(&op->operand[i]->type, p[i], tile_count(&op->operand[i]->type)))
            return TW_OK;
    int64_t at = 0;
    while (!isnan(load_floating((tw_dtype)t->dtype, data_of(m, &op->result[0]), at)))
        at++;
    m->returned_nan = true;
    double x[2] = {0, 0};
    for (uint32_t i = 0; i < op->operands && i < 2; i++)
        x[i] = tw_tile_element(&op->operand[i]->type, p[i], op->operand[i]->type.rank ? at : 0);
    if (op->operands == 1)
        return tw_tile_found(m, TW_TILE_NAN, "%s of %g is NaN (element %lld)", op->info->name, x[0], (long long)at);
    return tw_tile_found(m, TW_TILE_NAN, "%s of %g and %g is NaN (element %lld)", op->info->name, x[0], x[1],
                         (long long)at);
}

tw_status tw_tile_run_elementwise(tw_tile_machine *m, const tw_op *op)
{
    const tw_value *v = &op->result[0];
    int64_t n = tile_count(&v->type);
    const void *p[3] = {NULL, NULL, NULL};
    int s[3] = {0, 0, 0};
    void *r = tw_tile_allocate(m, v);
    if (!r)
        return TW_ERR_MEMORY;
    for (uint32_t i = 0; i < op->operands && i < 3; i++) {
        p[i] = data_of(m, op->operand[i]);
        s[i] = op->operand[i]->type.rank > 0;
    }
    tw_status status = TW_OK;
    switch (op->code) {
    case TW_T_COMPARE:
        status = run_compare(op, n, r, p[0], s[0], p[1], s[1]);
        break;
    case TW_T_SELECT:
        run_select(op, n, r, p, s);
        return TW_OK;
    case TW_T_CAST:
        run_cast(op, n, r, p[0]);
        break;
    case TW_T_BITCAST:
        memcpy(r, p[0], (size_t)n * element_bytes(&v->type));
        return TW_OK;
    case TW_T_ABS:
    case TW_T_NEG:
    case TW_T_ROUND:
    case TW_T_SQRT:
        status = run_one(m, op, n, r, p[0]);
        break;
    case TW_T_FMA:
        run_fma(op, n, r, p, s);
        break;
    default:
        if (op->operand[0]->type.pointer)
            run_offset(op, n, r, p, s);
        else
            status = tw_tile_binary(m, op->code, (tw_dtype)v->type.dtype, n, r, p[0], s[0], p[1], s[1]);
    }
    return status == TW_OK && m->run->check_nan ? watch_nan(m, op, p) : status;
}
