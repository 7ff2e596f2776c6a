/* Element types: sizes, names, promotion, and the conversions that C has no type for. */
#include <math.h>

#include "base/base.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[TW_DTYPES] = {
    [TW_BOOL] = {"bool", 1}, [TW_U8] = {"u8", 1},   [TW_I32] = {"i32", 4}, [TW_I64] = {"i64", 8}, [TW_F16] = {"f16", 2},
    [TW_BF16] = {"bf16", 2}, [TW_F32] = {"f32", 4}, [TW_F64] = {"f64", 8}, [TW_I8] = {"i8", 1},   [TW_I16] = {"i16", 2},
    [TW_U16] = {"u16", 2},   [TW_U32] = {"u32", 4}, [TW_U64] = {"u64", 8},
};

size_t tw_dtype_size(tw_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *tw_dtype_name(tw_dtype dtype)
{
    return (size_t)dtype < TW_DTYPES ? dtypes[dtype].name : "unknown dtype";
}

bool tw_dtype_parse(const char *name, size_t length, tw_dtype *dtype)
{
    for (int i = 0; i < TW_DTYPES; i++) {
        if (strlen(dtypes[i].name) == length && !strncmp(dtypes[i].name, name, length)) {
            *dtype = (tw_dtype)i;
            return true;
        }
    }
    return false;
}

bool tw_dtype_signed(tw_dtype t)
{
    return tw_dtype_floating(t) || t == TW_I8 || t == TW_I16 || t == TW_I32 || t == TW_I64;
}

/* PyTorch's lattice: bool < u8 < i32 < i64 < floating; f16 and bf16 meet in f32. */
tw_dtype tw_dtype_promote(tw_dtype a, tw_dtype b)
{
    if ((a == TW_F16 && b == TW_BF16) || (a == TW_BF16 && b == TW_F16))
        return TW_F32;
    return TW_MAX(a, b);
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float tw_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31)
        return bits_float(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) /* zero or subnormal: fraction * 2^-24 is exact */
        return bits_float(sign | float_bits((float)fraction * 0x1p-24f));
    return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t tw_f32_to_f16(float value)
{
    uint32_t bits = float_bits(value), magnitude = bits & 0x7fffffff;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* subnormal halves: let the addition round */
        float rounded = bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_bits(rounded) - float_bits(0.5f)));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude + 0xfff + odd - (112u << 23)) >> 13));
}

float tw_bf16_to_f32(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

uint16_t tw_f32_to_bf16(float value)
{
    uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#define LOAD(type)                                                                                                     \
    {                                                                                                                  \
        type x;                                                                                                        \
        memcpy(&x, at, sizeof x);                                                                                      \
        return (double)x;                                                                                              \
    }

double tw_dtype_load(tw_dtype dtype, const void *at)
{
    uint16_t half;
    switch (dtype) {
    case TW_BOOL:
    case TW_U8:
        LOAD(uint8_t)
    case TW_I8:
        LOAD(int8_t)
    case TW_I16:
        LOAD(int16_t)
    case TW_U16:
        LOAD(uint16_t)
    case TW_I32:
        LOAD(int32_t)
    case TW_U32:
        LOAD(uint32_t)
    case TW_I64:
        LOAD(int64_t)
    case TW_U64:
        LOAD(uint64_t)
    case TW_F32:
        LOAD(float)
    case TW_F64:
        LOAD(double)
    case TW_F16:
    case TW_BF16:
        memcpy(&half, at, sizeof half);
        return (double)(dtype == TW_F16 ? tw_f16_to_f32(half) : tw_bf16_to_f32(half));
    default:
        return NAN;
    }
}

/* Beyond the range of i64 and i32 the nearest one, NaN becomes 0, the same for every target; narrower dtypes keep the
 * low bits. */
static int64_t truncate(tw_dtype dtype, double value)
{
    if (isnan(value))
        return 0;
    if (dtype == TW_I32)
        value = fmin(fmax(value, INT32_MIN), INT32_MAX);
    return value >= 0x1p63 ? INT64_MAX : value < -0x1p63 ? INT64_MIN : (int64_t)value;
}

/* double to f16/bf16 must round once: round to odd at f32 first (Boldo and Melquiond), then to nearest. */
static float to_odd(double value)
{
    float rounded = (float)value;
    if (isnan(value) || isinf(rounded) || (double)rounded == value)
        return rounded;
    uint32_t bits = float_bits(rounded);
    if ((bits & 1) == 0)
        bits = (fabs((double)rounded) > fabs(value)) ? bits - 1 : bits + 1;
    return bits_float(bits);
}

void tw_dtype_store(tw_dtype dtype, void *at, double value)
{
    int64_t whole = tw_dtype_floating(dtype) ? 0 : truncate(dtype, value);
    float single = (float)value;
    uint16_t half;
    switch (dtype) {
    case TW_BOOL:
        *(uint8_t *)at = value != 0;
        return;
    case TW_F32:
        memcpy(at, &single, sizeof single);
        return;
    case TW_F64:
        memcpy(at, &value, sizeof value);
        return;
    case TW_F16:
    case TW_BF16:
        half = dtype == TW_F16 ? tw_f32_to_f16(to_odd(value)) : tw_f32_to_bf16(to_odd(value));
        memcpy(at, &half, sizeof half);
        return;
    default:
        memcpy(at, &whole, tw_dtype_size(dtype)); /* little-endian hosts: the low bytes come first */
        return;
    }
}
