# Functions of tl and libdevice that the language expresses itself, found there by these names: tl.cdiv, tl.softmax, ...;
# libdevice_NAME is libdevice.NAME. Parsed once for each set of files, inlined like any helper.
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def cdiv(x, div):
    return (x + (div - 1)) // div


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def softmax(x, dim=None, keep_dims=False, ieee_rounding=False):
    axis: tl.constexpr = 0 if dim is None else dim
    e = tl.exp(x - tl.max(x, axis, keep_dims=True))
    return e / tl.sum(e, axis, keep_dims=True)


@triton.jit
def ravel(x, can_reorder=False):
    return tl.reshape(x, [x.numel])


@triton.jit
def squeeze(x, dim: tl.constexpr):
    at: tl.constexpr = dim + len(x.shape) if dim < 0 else dim
    tl.static_assert(x.shape[at] == 1, "squeeze: the dimension is not 1")
    return tl.reshape(x, x.shape[:at] + x.shape[at + 1:])


@triton.jit
def unsqueeze(x, dim: tl.constexpr):
    return tl.expand_dims(x, dim)


@triton.jit
def interleave(a, b):
    c = tl.join(a, b)
    if len(c.shape) == 1:
        return c
    else:
        return tl.reshape(c, c.shape[:-2] + [2 * c.shape[-2]])


# Tiles of size_g rows by size_j columns are walked column by column.
@triton.jit
def swizzle2d(i, j, size_i, size_j, size_g):
    index = i * size_j + j
    group = size_g * size_j
    first = (index // group) * size_g
    rows = tl.minimum(size_i - first, size_g)
    inside = index % group
    return first + inside % rows, inside // rows


@triton.constexpr_function
def _log2(i):
    n = 0
    while i > 1:
        i = i >> 1
        n += 1
    return n


@triton.constexpr_function
def _is_power_of_two(i):
    return i != 0 and (i & (i - 1)) == 0


# ---- random numbers: Philox 4x32 and 4x64 (Salmon et al., SC11), counters in c0..c3, key in k0, k1

@triton.jit
def philox_impl(c0, c1, c2, c3, k0, k1, n_rounds: tl.constexpr = 10):
    if c0.dtype == tl.uint32:
        step0: tl.constexpr = 0x9E3779B9
        step1: tl.constexpr = 0xBB67AE85
        first: tl.constexpr = 0xD2511F53
        second: tl.constexpr = 0xCD9E8D57
    else:
        tl.static_assert(c0.dtype == tl.uint64, "philox: counters must be 32 or 64 bits wide")
        step0: tl.constexpr = 0x9E3779B97F4A7C15
        step1: tl.constexpr = 0xBB67AE8584CAA73B
        first: tl.constexpr = 0xD2E7470EE14C6C93
        second: tl.constexpr = 0xCA5A826395121157
    for _ in tl.static_range(n_rounds):
        old0 = c0
        old2 = c2
        c0 = tl.umulhi(old2, second) ^ c1 ^ k0
        c2 = tl.umulhi(old0, first) ^ c3 ^ k1
        c1 = old2 * second
        c3 = old0 * first
        k0 = k0 + step0
        k1 = k1 + step1
    return c0, c1, c2, c3


@triton.jit
def philox(seed, c0, c1, c2, c3, n_rounds: tl.constexpr = 10):
    key = tl.to_tensor(seed).to(tl.uint64)
    c0 = tl.to_tensor(c0)
    c1 = tl.to_tensor(c1)
    c2 = tl.to_tensor(c2)
    c3 = tl.to_tensor(c3)
    if c0.dtype.primitive_bitwidth == 32:
        word: tl.constexpr = tl.uint32
        low = (key & 0xFFFFFFFF).to(tl.uint32)
        high = ((key >> 32) & 0xFFFFFFFF).to(tl.uint32)
    else:
        word: tl.constexpr = tl.uint64
        low = key
        high = tl.full((1, ), 0, dtype=tl.uint64)
    return philox_impl(c0.to(word, bitcast=True), c1.to(word, bitcast=True), c2.to(word, bitcast=True),
                       c3.to(word, bitcast=True), low, high, n_rounds)


@triton.jit
def randint4x(seed, offset, n_rounds: tl.constexpr = 10):
    offset = tl.to_tensor(offset)
    low = offset.to(tl.uint32)
    zero = low * 0
    if offset.dtype.primitive_bitwidth > 32:
        high = (offset >> 32).to(tl.uint32)
    else:
        high = zero
    return philox(seed, low, high, zero, zero, n_rounds)


@triton.jit
def randint(seed, offset, n_rounds: tl.constexpr = 10):
    word, _1, _2, _3 = randint4x(seed, offset, n_rounds)
    return word


# Symmetric around 0, then folded: every result is below 1 after rounding.
@triton.jit
def uint_to_uniform_float(x):
    if x.dtype.primitive_bitwidth == 32:
        whole = x.to(tl.int32, bitcast=True)
        scale = 4.6566127342e-10
    else:
        whole = x.to(tl.int64, bitcast=True)
        scale = 1.0842020432385337e-19
    return tl.where(whole < 0, ~whole, whole) * scale


@triton.jit
def rand(seed, offset, n_rounds: tl.constexpr = 10):
    return uint_to_uniform_float(randint(seed, offset, n_rounds))


@triton.jit
def rand4x(seed, offsets, n_rounds: tl.constexpr = 10):
    a, b, c, d = randint4x(seed, offsets, n_rounds)
    return uint_to_uniform_float(a), uint_to_uniform_float(b), uint_to_uniform_float(c), uint_to_uniform_float(d)


# Box and Muller's transform.
@triton.jit
def pair_uniform_to_normal(u1, u2):
    u1 = tl.maximum(1.0e-7, u1)
    angle = 6.283185307179586 * u2
    radius = tl.sqrt(-2.0 * tl.log(u1))
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def randn(seed, offset, n_rounds: tl.constexpr = 10):
    a, b, _2, _3 = randint4x(seed, offset, n_rounds)
    x, _y = pair_uniform_to_normal(uint_to_uniform_float(a), uint_to_uniform_float(b))
    return x


@triton.jit
def randn4x(seed, offset, n_rounds: tl.constexpr = 10):
    a, b, c, d = rand4x(seed, offset, n_rounds)
    x, y = pair_uniform_to_normal(a, b)
    z, w = pair_uniform_to_normal(c, d)
    return x, y, z, w


# ---- 8-bit floating formats, by their bits. A format is (exponent bits, mantissa bits, bias).

# Subnormal numbers by multiplication, the rest by moving exponent and mantissa into place.
@triton.jit
def _f8_to_f32(x, mantissa: tl.constexpr, bias: tl.constexpr):
    bits = x.to(tl.uint32)
    sign = (bits & 0x80) << 24
    rest = bits & 0x7F
    fraction = rest & ((1 << mantissa) - 1)
    small = fraction.to(tl.float32) * 2.0**(1 - bias - mantissa)
    normal = (rest << (23 - mantissa)) + ((127 - bias) << 23)
    size = tl.where(rest < (1 << mantissa), small.to(tl.uint32, bitcast=True), normal)
    return (size | sign).to(tl.float32, bitcast=True)


@triton.jit
def _f8e5_to_f32(x):
    return (x.to(tl.uint16) << 8).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _f8e4nv_to_f32(x):
    return tl.where((x & 0x7F) == 0x7F, float("nan"), _f8_to_f32(x, 3, 7))


@triton.jit
def _f8e4b15_to_f32(x):
    return _f8_to_f32(x, 3, 15)


@triton.jit
def _f8e4b8_to_f32(x):
    return tl.where(x == 0x80, float("nan"), _f8_to_f32(x, 3, 8))


@triton.jit
def _f8e5b16_to_f32(x):
    return tl.where(x == 0x80, float("nan"), _f8_to_f32(x, 2, 16))


# Rounds to nearest even (or towards 0) at the format's last mantissa bit; below the smallest normal number the distance
# of the smallest subnormal one rules: adding and subtracting a large number rounds there.
@triton.jit
def _f32_to_f8_size(x, mantissa: tl.constexpr, bias: tl.constexpr, truncates: tl.constexpr):
    size = x.to(tl.uint32, bitcast=True) & 0x7FFFFFFF
    kept: tl.constexpr = 23 - mantissa
    if truncates:
        normal = (size >> kept) - ((127 - bias) << mantissa)
        steps = size.to(tl.float32, bitcast=True) * 2.0**(bias + mantissa - 1)
        small = tl.floor(tl.minimum(steps, 64.0)).to(tl.uint32)
    else:
        normal = ((size + ((1 << (kept - 1)) - 1) + ((size >> kept) & 1)) >> kept) - ((127 - bias) << mantissa)
        magic: tl.constexpr = 2.0**(24 - bias - mantissa)
        shifted = size.to(tl.float32, bitcast=True) + magic
        small = shifted.to(tl.uint32, bitcast=True) - ((127 + 24 - bias - mantissa) << 23)
    return tl.where(size < ((128 - bias) << 23), small, normal)


@triton.jit
def _f32_to_f8(x, mantissa: tl.constexpr, bias: tl.constexpr, largest: tl.constexpr, nan: tl.constexpr,
               unsigned_zero: tl.constexpr, truncates: tl.constexpr):
    bits = x.to(tl.uint32, bitcast=True)
    size = _f32_to_f8_size(x, mantissa, bias, truncates)
    huge = (bits & 0x7FFFFFFF) >= ((128 + 127 - bias) << 23)
    size = tl.where(huge, largest, tl.minimum(size, largest))
    sign = (bits >> 24) & 0x80
    if unsigned_zero:
        sign = tl.where(size == 0, 0, sign)
    return tl.where(x != x, nan, size | sign).to(tl.uint8)


@triton.jit
def _f32_to_f8e4nv(x, truncates: tl.constexpr):
    return _f32_to_f8(x, 3, 7, 0x7E, 0x7F, False, truncates)


@triton.jit
def _f32_to_f8e5(x, truncates: tl.constexpr):
    return _f32_to_f8(x, 2, 15, 0x7B, 0x7F, False, truncates)


@triton.jit
def _f32_to_f8e4b15(x, truncates: tl.constexpr):
    return _f32_to_f8(x, 3, 15, 0x7E, 0x7F, False, truncates)


@triton.jit
def _f32_to_f8e4b8(x, truncates: tl.constexpr):
    return _f32_to_f8(x, 3, 8, 0x7F, 0x80, True, truncates)


@triton.jit
def _f32_to_f8e5b16(x, truncates: tl.constexpr):
    return _f32_to_f8(x, 2, 16, 0x7F, 0x80, True, truncates)


# Two numbers of 4 bits a byte, the lower one first: sign, 2 bits of exponent, 1 of mantissa.
@triton.jit
def _e2m1_to_f32(x):
    code = (x & 7).to(tl.int32)
    size = tl.where(code < 4, code.to(tl.float32) * 0.5,
                    tl.where(code == 4, 2.0, tl.where(code == 5, 3.0, tl.where(code == 6, 4.0, 6.0))))
    return tl.where((x & 8) != 0, -size, size)


# A scale of 8 bits is 2^(x - 127).
@triton.jit
def _e8m0_to_f32(x):
    bits = tl.where(x == 0, 0x00400000, x.to(tl.uint32) << 23)
    return tl.where(x == 0xFF, float("nan"), bits.to(tl.float32, bitcast=True))


@triton.jit
def _round_f32_to_bf16_to_zero(x):
    return (x.to(tl.uint32, bitcast=True) >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)


@triton.jit
def _round_f32_to_f16_to_zero(x):
    half = x.to(tl.float16)
    larger = tl.abs(half.to(tl.float32)) > tl.abs(x)
    bits = half.to(tl.uint16, bitcast=True)
    return tl.where(larger, bits - 1, bits).to(tl.float16, bitcast=True)


# ---- libdevice

@triton.jit
def libdevice_isnan(x):
    return (x != x).to(tl.int32)


@triton.jit
def libdevice_isinf(x):
    return (tl.abs(x) == float("inf")).to(tl.int32)


@triton.jit
def libdevice_finitef(x):
    return (tl.abs(x) < float("inf")).to(tl.int32)


@triton.jit
def libdevice_isfinited(x):
    return (tl.abs(x) < float("inf")).to(tl.int32)


@triton.jit
def libdevice_isfinite(x):
    return tl.abs(x) < float("inf")


@triton.jit
def libdevice_signbit(x):
    if x.dtype.primitive_bitwidth == 64:
        return (x.to(tl.int64, bitcast=True) < 0).to(tl.int32)
    else:
        return (x.to(tl.int32, bitcast=True) < 0).to(tl.int32)


@triton.jit
def libdevice_sinh(x):
    t = libdevice.expm1(tl.abs(x))
    return libdevice.copysign(tl.where(t == float("inf"), t, 0.5 * (t + t / (t + 1.0))), x)


@triton.jit
def libdevice_cosh(x):
    e = tl.exp(tl.abs(x) - 0.6931471805599453)
    return e + 0.25 / e


@triton.jit
def libdevice_asinh(x):
    a = tl.abs(x)
    near = libdevice.log1p(a + a * a / (1.0 + tl.sqrt(a * a + 1.0)))
    return libdevice.copysign(tl.where(a > 1e9, tl.log(a) + 0.6931471805599453, near), x)


@triton.jit
def libdevice_acosh(x):
    t = x - 1.0
    near = libdevice.log1p(t + tl.sqrt(2.0 * t + t * t))
    return tl.where(x > 1e9, tl.log(x) + 0.6931471805599453, near)


@triton.jit
def libdevice_atanh(x):
    return 0.5 * libdevice.log1p(2.0 * x / (1.0 - x))


@triton.jit
def libdevice_exp10(x):
    return libdevice.pow(tl.full(x.shape, 10.0, x.dtype), x)


@triton.jit
def libdevice_fast_exp10f(x):
    return libdevice_exp10(x)


@triton.jit
def libdevice_log10(x):
    return tl.log2(x) * 0.30102999566398119521


@triton.jit
def libdevice_fast_log10f(x):
    return tl.log2(x) * 0.30102999566398119521


# Halves away from 0.
@triton.jit
def libdevice_round(x):
    whole = libdevice.trunc(x)
    return libdevice.copysign(tl.where(tl.abs(x - whole) >= 0.5, tl.abs(whole) + 1.0, tl.abs(whole)), x)


@triton.jit
def libdevice_llround(x):
    return libdevice_round(x).to(tl.int64)


@triton.jit
def libdevice_llrint(x):
    return libdevice.rint(x).to(tl.int64)


@triton.jit
def libdevice_remainder(x, y):
    return x - libdevice.rint(x / y) * y


@triton.jit
def libdevice_hypot(x, y):
    larger = tl.maximum(tl.abs(x), tl.abs(y))
    ratio = tl.minimum(tl.abs(x), tl.abs(y)) / larger
    plain = (larger == 0) | (larger == float("inf"))
    return tl.where(plain, larger, larger * tl.sqrt(1.0 + ratio * ratio))


@triton.jit
def libdevice_erfc(x):
    return 1.0 - tl.erf(x)


@triton.jit
def libdevice_cbrt(x):
    return libdevice.copysign(libdevice.pow(tl.abs(x), tl.full(x.shape, 0.3333333333333333, x.dtype)), x)


@triton.jit
def libdevice_fdim(x, y):
    return tl.where(x > y, x - y, 0.0)


@triton.jit
def libdevice_saturatef(x):
    return tl.clamp(x, 0.0, 1.0)


@triton.jit
def libdevice_rcp_rn(x):
    return 1.0 / x


@triton.jit
def libdevice_fast_sigmoid(x):
    return sigmoid(x)


@triton.jit
def libdevice_fast_gelu(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def libdevice_ilogb(x):
    return tl.floor(tl.log2(tl.abs(x))).to(tl.int32)


@triton.jit
def libdevice_logb(x):
    return tl.floor(tl.log2(tl.abs(x)))


@triton.jit
def libdevice_popc(x):
    v = x.to(tl.uint32, bitcast=True)
    v = v - ((v >> 1) & 0x55555555)
    v = (v & 0x33333333) + ((v >> 2) & 0x33333333)
    v = (v + (v >> 4)) & 0x0F0F0F0F
    return ((v * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def libdevice_clz(x):
    v = x.to(tl.uint32, bitcast=True)
    v = v | (v >> 1)
    v = v | (v >> 2)
    v = v | (v >> 4)
    v = v | (v >> 8)
    v = v | (v >> 16)
    return 32 - libdevice_popc(v)


@triton.jit
def libdevice_ffs(x):
    v = x.to(tl.uint32, bitcast=True)
    return tl.where(v == 0, 0, libdevice_popc(v ^ (v - 1)))


@triton.jit
def libdevice_brev(x):
    v = x.to(tl.uint32, bitcast=True)
    v = ((v >> 1) & 0x55555555) | ((v & 0x55555555) << 1)
    v = ((v >> 2) & 0x33333333) | ((v & 0x33333333) << 2)
    v = ((v >> 4) & 0x0F0F0F0F) | ((v & 0x0F0F0F0F) << 4)
    v = ((v >> 8) & 0x00FF00FF) | ((v & 0x00FF00FF) << 8)
    return ((v >> 16) | (v << 16)).to(x.dtype, bitcast=True)


@triton.jit
def libdevice_int_as_float(x):
    return x.to(tl.float32, bitcast=True)


@triton.jit
def libdevice_uint_as_float(x):
    return x.to(tl.float32, bitcast=True)


@triton.jit
def libdevice_float_as_int(x):
    return x.to(tl.int32, bitcast=True)


@triton.jit
def libdevice_float_as_uint(x):
    return x.to(tl.uint32, bitcast=True)


@triton.jit
def libdevice_longlong_as_double(x):
    return x.to(tl.float64, bitcast=True)


@triton.jit
def libdevice_double_as_longlong(x):
    return x.to(tl.int64, bitcast=True)


@triton.jit
def libdevice_int2float_rn(x):
    return x.to(tl.float32)


@triton.jit
def libdevice_uint2float_rn(x):
    return x.to(tl.float32)


@triton.jit
def libdevice_ll2float_rn(x):
    return x.to(tl.float32)


@triton.jit
def libdevice_int2double_rn(x):
    return x.to(tl.float64)


@triton.jit
def libdevice_float2int_rn(x):
    return libdevice.rint(x).to(tl.int32)


@triton.jit
def libdevice_float2int_rz(x):
    return x.to(tl.int32)


@triton.jit
def libdevice_float2int_rd(x):
    return tl.floor(x).to(tl.int32)


@triton.jit
def libdevice_float2int_ru(x):
    return tl.ceil(x).to(tl.int32)


@triton.jit
def libdevice_double2float_rn(x):
    return x.to(tl.float32)


@triton.jit
def libdevice_float2ll_rn(x):
    return libdevice.rint(x).to(tl.int64)


@triton.jit
def libdevice_xpu_trunc_div(x, y):
    return libdevice.trunc(x / y)
