"""What kernels.py runs on: each case is a kernel, its arguments, a grid, and how near the results must be."""
import numpy as np
import torch

BF16 = "bf16"  # no dtype of numpy: its bits travel as uint16


class Case:
    def __init__(self, kernel, args, grid, consts=None, near=0.0, types=None, reference=None):
        self.kernel, self.args, self.grid, self.consts = kernel, args, grid, consts or {}
        self.near, self.types = near, types or {}  # types: of arrays whose dtype numpy has no name for
        self.reference = reference  # results by name: where this Triton's interpreter has nothing, or is known to be wrong


def rng(seed):
    return np.random.default_rng(seed)


def bf16(x):
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def floats(seed, shape, dtype):
    x = rng(seed).standard_normal(shape).astype(np.float32)
    return bf16(x) if dtype == BF16 else x.astype(dtype)


def empty(shape, dtype):
    return np.zeros(shape, np.uint16 if dtype == BF16 else dtype)


def kinds(names, dtype):
    return {n: "*bf16" for n in names} if dtype == BF16 else {}


def tolerance(dtype, f32=2e-6):
    return {"float16": 2e-3, BF16: 1.6e-2, "float64": 1e-12}.get(dtype, f32)


def cdiv(a, b):
    return -(-a // b)


FLOATS = ["float32", "float16", "float64"]


def elementwise():
    for n in (1, 63, 64, 1000):
        for dtype in FLOATS + ["int32", "int64", "int16", "uint8"]:
            x = rng(n).integers(-100, 100, n).astype(dtype) if "int" in dtype else floats(n, n, dtype)
            y = rng(n + 1).integers(0, 100, n).astype(dtype) if "int" in dtype else floats(n + 1, n, dtype)
            yield Case("add", dict(x_ptr=x, y_ptr=y, out_ptr=empty(n, dtype), n=n), (cdiv(n, 128),), dict(BLOCK=128))
    for dtype in ("int32", "int64", "uint32", "int16", "uint8", "int8"):
        info = np.iinfo(dtype)
        for n in (5, 300):
            x = rng(n).integers(info.min, info.max, n, dtype=dtype)
            y = rng(n + 1).integers(info.min, info.max, n, dtype=dtype)
            yield Case("integers", dict(x_ptr=x, y_ptr=y, out_ptr=empty(n, dtype), n=n), (cdiv(n, 64),), dict(BLOCK=64))
            y = np.where(y == 0, 1, y).astype(dtype)
            if info.min < 0:
                y = np.where(y == -1, 2, y).astype(dtype)
            yield Case("divisions", dict(x_ptr=x, y_ptr=y, quotient_ptr=empty(n, dtype), rest_ptr=empty(n, dtype), n=n), (cdiv(n, 64),), dict(BLOCK=64))
    for which in ("exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "rsqrt", "erf", "sigmoid", "floor", "fma", "clamp", "power"):
        for dtype in ("float32", "float64"):
            x = floats(7, 500, dtype) * 3
            yield Case("functions", dict(x_ptr=x, out_ptr=empty(500, dtype), n=500), (4,), dict(WHICH=which, BLOCK=128), 4e-6 if dtype == "float32" else 1e-13)
    whole = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]
    for a in whole + FLOATS:
        for b in whole + FLOATS:
            if a == b:
                continue
            x = (rng(3).integers(0, 100, 200) if "int" in a else floats(3, 200, a) * 20).astype(a)
            if "uint" in b:
                x = np.abs(x)
            if "int" in b and "float" in a:
                x = np.clip(x, -120, 120)
            yield Case("conversions", dict(x_ptr=x, out_ptr=empty(200, b), n=200), (2,), dict(BLOCK=128))
    for f in ("float32", "float16"):
        for i in ("int32", "int8", "int64"):
            for n in (50, 200):
                yield Case("promotion", dict(f_ptr=floats(1, n, f), i_ptr=rng(2).integers(-9, 9, n).astype(i), out_ptr=empty(n, "float32"), n=n, scale=0.5),
                           (cdiv(n, 64),), dict(BLOCK=64), 2e-3 if f == "float16" else 1e-6)
    for rows, cols in ((3, 40), (5, 128), (2, 1000)):
        for dtype in ("float32", "float16"):
            block = max(16, 1 << (cols - 1).bit_length())
            a, b, dc = (floats(s, (rows, cols), dtype) for s in (1, 2, 3))
            yield Case("swiglu", dict(a_ptr=a, b_ptr=b, c_ptr=empty((rows, cols), dtype), stride=cols, n_cols=cols), (rows,), dict(BLOCK=block), tolerance(dtype))
            yield Case("swiglu_backward", dict(dc_ptr=dc, a_ptr=a, b_ptr=b, stride=cols, n_cols=cols), (rows,), dict(BLOCK=block), tolerance(dtype, 4e-6))


def random_numbers():
    for n in (10, 1000):
        for seed in (0, 123, 2**40 + 5):
            yield Case("dropout", dict(x_ptr=floats(1, n, "float32"), out_ptr=empty(n, "float32"), n=n, p=0.4, seed=seed), (cdiv(n, 256),), dict(BLOCK=256), 1e-7)
            for which in range(4):
                yield Case("random_integers", dict(out_ptr=empty(n, "uint32"), seed=seed, n=n), (cdiv(n, 256),), dict(WHICH=which, BLOCK=256))
            yield Case("random_words", dict(out_ptr=empty(n, "uint64"), seed=seed, n=n), (cdiv(n, 256),), dict(BLOCK=256))
            yield Case("random_floats", dict(out_ptr=empty(n, "float32"), seed=seed, n=n), (cdiv(n, 256),), dict(NORMAL=False, BLOCK=256))
            yield Case("random_floats", dict(out_ptr=empty(n, "float32"), seed=seed, n=n), (cdiv(n, 256),), dict(NORMAL=True, BLOCK=256), 1e-5)


def rows():
    for r, c in ((4, 17), (7, 128), (3, 781)):
        for dtype in ("float32", "float64"):
            block = 1 << (c - 1).bit_length()
            yield Case("softmax", dict(out_ptr=empty((r, c), dtype), in_ptr=floats(5, (r, c), dtype), in_stride=c, out_stride=c, n_rows=r, n_cols=c),
                       (2,), dict(BLOCK=block, num_stages=2), tolerance(dtype, 3e-6))
        for dtype in ("float32", "float16"):
            x, w, b, dy = floats(1, (r, c), dtype), floats(2, c, dtype), floats(3, c, dtype), floats(4, (r, c), dtype)
            block = 1 << (c - 1).bit_length()
            yield Case("layer_norm", dict(X=x, Y=empty((r, c), dtype), W=w, B=b, Mean=empty(r, "float32"), Rstd=empty(r, "float32"), stride=c, N=c, eps=1e-5),
                       (r,), dict(BLOCK=64), tolerance(dtype, 1e-5))
            x32 = x.astype(np.float32)
            yield Case("layer_norm_backward", dict(DX=empty((r, c), dtype), DY=dy, DW=empty((2, c), "float32"), DB=empty((2, c), "float32"), X=x, W=w,
                                                   Mean=x32.mean(1), Rstd=1 / np.sqrt(x32.var(1) + 1e-5), Lock=np.zeros(4, np.int32), stride=c, N=c),
                       (r,), dict(GROUPS=2, BLOCK=block), tolerance(dtype, 1e-5))
            yield Case("rms_norm", dict(X=x, Y=empty((r, c), dtype), W=w, stride=c, N=c, eps=1e-6), (r,), dict(BLOCK=block), tolerance(dtype, 3e-6))
    for batch, channels, spatial, groups in ((2, 8, 36, 4), (1, 6, 100, 2)):
        for dtype in ("float32", "float16"):
            x = floats(1, (batch, channels, spatial), dtype)
            yield Case("group_norm", dict(X=x, Y=empty(x.shape, dtype), W=floats(2, channels, "float32"), B=floats(3, channels, "float32"), channels=channels,
                                          spatial=spatial, eps=1e-5), (batch, groups), dict(GROUPS=groups, BLOCK=32), tolerance(dtype, 1e-5))
    for r, c in ((6, 50), (4, 300)):
        for smoothing in (0.0, 0.1):
            for dtype in ("float32", "float16"):
                y = rng(4).integers(0, c, r).astype(np.int64)
                y[1] = -100
                yield Case("cross_entropy", dict(X=floats(5, (r, c), dtype), stride=c, Y=y, Loss=empty(r, "float32"), n_cols=c, ignore_index=-100, smoothing=smoothing),
                           (r,), dict(BLOCK=64, HAS_SMOOTHING=smoothing > 0), tolerance(dtype, 1e-5))
    for heads, half in ((4, 16), (2, 32), (1, 64)):
        for backward in (False, True):
            for dtype in ("float32", "float16"):
                yield Case("rotary", dict(q_ptr=floats(1, (3, heads, 2 * half), dtype), cos_ptr=floats(2, (3, half), "float32"), sin_ptr=floats(3, (3, half), "float32"),
                                          stride=heads * 2 * half), (3,), dict(heads=heads, half=half, BACKWARD=backward), tolerance(dtype))


def products():
    for m, n, k in ((32, 32, 32), (45, 70, 33), (64, 16, 100)):
        for dtype in ("float32", "float16"):
            for act in ("", "relu", "leaky", "gelu"):
                a, b = floats(1, (m, k), dtype), floats(2, (k, n), dtype)
                yield Case("matmul", dict(a_ptr=a, b_ptr=b, c_ptr=empty((m, n), dtype), M=m, N=n, K=k, stride_am=k, stride_ak=1, stride_bk=n, stride_bn=1,
                                          stride_cm=n, stride_cn=1), (cdiv(m, 32) * cdiv(n, 16),),
                           dict(BLOCK_M=32, BLOCK_N=16, BLOCK_K=16, GROUP_M=2, ACTIVATION=act), 1e-5 if dtype == "float32" else 6e-3)
            yield Case("matmul_block_pointers", dict(a_ptr=a, b_ptr=b, c_ptr=empty((m, n), dtype), M=m, N=n, K=k, stride_am=k, stride_bk=n, stride_cm=n),
                       (cdiv(m, 32), cdiv(n, 16)), dict(BLOCK_M=32, BLOCK_N=16, BLOCK_K=16), 1e-5 if dtype == "float32" else 6e-3,
                       reference={"c_ptr": (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype)})
        for raw in (True, False):
            a, b = rng(1).integers(-128, 128, (m, k)).astype(np.int8), rng(2).integers(-128, 128, (k, n)).astype(np.int8)
            yield Case("matmul_int8", dict(a_ptr=a, b_ptr=b, scale_ptr=floats(3, n, "float32"), c_ptr=empty((m, n), "int32" if raw else "float32"), M=m, N=n, K=k),
                       (cdiv(m, 32), cdiv(n, 16)), dict(BLOCK_M=32, BLOCK_N=16, BLOCK_K=32, RAW=raw), 0 if raw else 1e-7)
    for m, n, k in ((32, 32, 64), (50, 64, 40)):
        for dtype in ("float32", "float16"):
            yield Case("matmul_descriptors", dict(a_ptr=floats(1, (m, k), dtype), b_ptr=floats(2, (n, k), dtype), c_ptr=empty((m, n), dtype), M=m, N=n, K=k),
                       (cdiv(m, 32), cdiv(n, 32)), dict(BLOCK_M=32, BLOCK_N=32, BLOCK_K=16), 1e-5 if dtype == "float32" else 6e-3)
    for kind in ("*f8e4nv", "*f8e5"):
        for m in (16, 20):
            bits = rng(9).integers(0, 256, (64, 32)).astype(np.uint8)
            bits = np.where((bits & 0x7C) == 0x7C, 0x30, bits).astype(np.uint8)  # no NaN, no infinity
            yield Case("matmul_f8_weights", dict(a_ptr=floats(1, (m, 64), "float32"), b_ptr=bits, scale_ptr=np.array([0.25], np.float32),
                                                 c_ptr=empty((m, 32), "float32"), M=m, N=32, K=64), (cdiv(m, 16), 1),
                       dict(BLOCK_M=16, BLOCK_N=32, BLOCK_K=32), 1e-5, {"b_ptr": kind})
    for shape in ((2, 16, 16, 16), (4, 16, 32, 16)):
        z, m, n, k = shape
        for dtype in ("float32", "float16"):
            yield Case("batched_matmul", dict(a_ptr=floats(1, (z, m, k), dtype), b_ptr=floats(2, (z, k, n), dtype), c_ptr=empty((z, m, n), "float32")), (1,),
                       dict(BATCH=z, M=m, N=n, K=k), 1e-5 if dtype == "float32" else 2e-3)
    for t in (32, 50):
        for d in (16, 32):
            for causal in (False, True):
                for dtype in ("float32", "float16"):
                    b, h = 2, 2
                    shape, strides = (b, h, t, d), dict(stride_b=h * t * d, stride_h=t * d, stride_t=d)
                    q, k, v, do = (floats(s, shape, dtype) for s in (1, 2, 3, 4))
                    near = 1e-5 if dtype == "float32" else 6e-3
                    yield Case("attention", dict(Q=q, K=k, V=v, Out=empty(shape, dtype), Lse=empty((b, h, t), "float32"), scale=d**-0.5, heads=h, T=t, **strides),
                               (cdiv(t, 16), b * h), dict(CAUSAL=causal, D=d, BLOCK_M=16, BLOCK_N=16), near)
                    s = (q.astype(np.float64) @ k.astype(np.float64).swapaxes(-1, -2)) * d**-0.5
                    if causal:
                        s = np.where(np.tril(np.ones((t, t), bool)), s, -np.inf)
                    lse = np.log(np.exp(s - s.max(-1, keepdims=True)).sum(-1)) + s.max(-1)
                    out = np.exp(s - lse[..., None]) @ v.astype(np.float64)
                    yield Case("attention_backward", dict(Q=q, K=k, V=v, Out=out.astype(dtype), DO=do, DQ=empty(shape, "float32"), DK=empty(shape, "float32"),
                                                          DV=empty(shape, "float32"), Lse=(lse * 1.4426950408889634).astype(np.float32), scale=d**-0.5,
                                                          heads=h, T=t, **strides), (cdiv(t, 16), b * h), dict(CAUSAL=causal, D=d, BLOCK=16),
                               2e-5 if dtype == "float32" else 2e-2)


def along_axes():
    for m, n in ((4, 8), (16, 32)):
        for axis in (0, 1):
            for kind in ("sum", "max", "min", "argmax", "argmin", "xor"):
                for dtype in ("float32", "int32", "float16", "int8"):
                    if kind == "xor" and "float" in dtype:
                        continue
                    x = rng(m).integers(-9, 9, (m, n)).astype(dtype) if "int" in dtype else floats(m, (m, n), dtype)
                    out = "int32" if kind.startswith("arg") or (dtype == "int8" and kind != "xor") else "float32" if kind in ("max", "min") and "float" in dtype else dtype
                    yield Case("reductions", dict(x_ptr=x, out_ptr=empty(n if axis == 0 else m, out)), (1,), dict(M=m, N=n, AXIS=axis, KIND=kind),
                               (4e-3 if dtype == "float16" else 1e-6) if kind == "sum" and "float" in dtype else 0)
            for reverse in (False, True):
                for product in (False, True):
                    for dtype in ("float32", "int32", "int64"):
                        x = rng(m).integers(-3, 4, (m, n)).astype(dtype) if "int" in dtype else floats(m, (m, n), dtype)
                        yield Case("scans", dict(x_ptr=x, out_ptr=empty((m, n), dtype)), (1,), dict(M=m, N=n, AXIS=axis, REVERSE=reverse, PRODUCT=product),
                                   1e-5 if dtype == "float32" else 0)
        yield Case("welford", dict(x_ptr=floats(m, (m, n), "float32"), mean_ptr=empty(m, "float32"), var_ptr=empty(m, "float32")), (1,), dict(M=m, N=n), 1e-5)
        for dtype in ("float32", "int32", "int16", "uint8"):
            x = rng(n).integers(0, 99, (m, n)).astype(dtype) if "int" in dtype else floats(n, (m, n), dtype)
            for descending in (False, True):
                yield Case("sort_rows", dict(x_ptr=x, out_ptr=empty((m, n), dtype)), (1,), dict(M=m, N=n, DESCENDING=descending))
            yield Case("top", dict(x_ptr=x, out_ptr=empty((m, 4), dtype)), (1,), dict(M=m, N=n, K=4))
            for axis in (0, 1):
                yield Case("pick", dict(x_ptr=x, index_ptr=rng(1).integers(0, m if axis == 0 else n, (m, n)).astype(np.int32), out_ptr=empty((m, n), dtype)), (1,),
                           dict(M=m, N=n, AXIS=axis))
        for kind in ("trans", "flip", "interleave", "join", "sums"):
            for dtype in ("float32", "int32", "int64"):
                x = rng(n).integers(0, 99, (m, n)).astype(dtype)
                yield Case("shapes", dict(x_ptr=x, out_ptr=empty((m, n), dtype)), (1,), dict(M=m, N=n, KIND=kind))
    for n in (16, 128):
        for reverse in (False, True):
            yield Case("linear_recurrence", dict(a_ptr=floats(1, n, "float32") * 0.5, b_ptr=floats(2, n, "float32"), out_ptr=empty(n, "float32")), (1,),
                       dict(N=n, REVERSE=reverse), 1e-5)
    for n in (50, 1000):
        for bins in (8, 32):
            yield Case("count", dict(x_ptr=rng(n).integers(0, bins, n).astype(np.int32), out_ptr=empty(bins, "int32"), n=n), (cdiv(n, 256),), dict(BLOCK=256, BINS=bins))


def memory():
    for kind in ("add", "max", "min", "and", "or", "xor"):
        for dtype in ("int32", "int64", "float32"):
            if kind in ("and", "or", "xor") and dtype == "float32":
                continue
            x = rng(1).integers(-99, 99, 300).astype(dtype)
            yield Case("atomics", dict(x_ptr=x, index_ptr=rng(2).integers(0, 20, 300).astype(np.int32), out_ptr=empty(20, dtype), n=300), (3,), dict(KIND=kind, BLOCK=128))
    yield Case("collatz", dict(x_ptr=np.arange(1, 40, dtype=np.int32), out_ptr=empty(39, "int32"), n=39), (45,))
    for n in (7, 64):
        for dtype in ("float32", "float16"):
            yield Case("embedding", dict(ids_ptr=rng(3).integers(0, 50, n).astype(np.int64), table_ptr=floats(1, (50, 16), dtype), out_ptr=empty((n, 16), dtype), n=n),
                       (cdiv(n, 16),), dict(D=16, BLOCK=16))
        for taps in (1, 4):
            yield Case("unrolled", dict(x_ptr=floats(1, n, "float32"), out_ptr=empty(n, "float32"), n=n), (cdiv(n, 32),), dict(TAPS=taps, BLOCK=32), 1e-6)


def unusual():
    x = np.concatenate([floats(1, 200, "float32") * 50, floats(2, 100, "float32") * 1e-2, np.array([0.0, -0.0, 447.0, 448.0, -448.0, 2.0**-9, 2.0**-10, 3 * 2.0**-11], np.float32)])
    for kind, dtype in (("*f8e4nv", torch.float8_e4m3fn), ("*f8e5", torch.float8_e5m2)):  # Triton's interpreter loses the carry of a rounded mantissa
        f8 = torch.from_numpy(x.astype(np.float32)).to(dtype)
        yield Case("to_f8", dict(x_ptr=x.astype(np.float32), out_ptr=empty(len(x), "uint8"), back_ptr=empty(len(x), "float32"), n=len(x)), (3,), dict(BLOCK=128),
                   types={"out_ptr": kind}, reference={"out_ptr": f8.view(torch.uint8).numpy(), "back_ptr": f8.float().numpy()})
    yield Case("truncated", dict(x_ptr=x.astype(np.float32), out_ptr=empty(len(x), "float32"), n=len(x)), (3,), dict(BLOCK=128))
    for a_format, b_format in (("e4m3", "e4m3"), ("e2m1", "e2m1"), ("e5m2", "e4m3"), ("e2m1", "e4m3")):
        m, n, k = 32, 16, 64
        bits = [np.where((v & 0x7C) == 0x7C, 0x30, v).astype(np.uint8) for v in
                (rng(1).integers(0, 256, (m, k // 2 if a_format == "e2m1" else k)), rng(2).integers(0, 256, (k // 2 if b_format == "e2m1" else k, n)))]
        scales = [rng(s).integers(120, 134, (r, k // 32)).astype(np.uint8) for s, r in ((3, m), (4, n))]
        yield Case("scaled_product", dict(a_ptr=bits[0], a_scale_ptr=scales[0], b_ptr=bits[1], b_scale_ptr=scales[1], c_ptr=empty((m, n), "float32")), (1,),
                   dict(M=m, N=n, K=k, PACK=True, A_FORMAT=a_format, B_FORMAT=b_format), 1e-5)
    for n in (5, 200):
        for dtype in (BF16, "float16"):
            names = kinds(("x_ptr", "y_ptr", "out_ptr"), dtype)
            yield Case("half_precision", dict(x_ptr=floats(1, n, dtype), y_ptr=floats(2, n, dtype), out_ptr=empty(n, dtype), n=n), (cdiv(n, 64),), dict(BLOCK=64), tolerance(dtype), names)
        x, y = floats(1, n, BF16), floats(2, n, BF16)  # Triton's interpreter adds the bits of bf16
        yield Case("add", dict(x_ptr=x, y_ptr=y, out_ptr=empty(n, BF16), n=n), (cdiv(n, 64),), dict(BLOCK=64), 0, kinds(("x_ptr", "y_ptr", "out_ptr"), BF16),
                   {"out_ptr": from_bf16(bf16(from_bf16(x) + from_bf16(y)))})
    a, b = floats(1, (40, 24), BF16), floats(2, (24, 30), BF16)
    yield Case("matmul", dict(a_ptr=a, b_ptr=b, c_ptr=empty((40, 30), BF16), M=40, N=30, K=24, stride_am=24, stride_ak=1, stride_bk=30, stride_bn=1, stride_cm=30, stride_cn=1),
               (cdiv(40, 32) * 2,), dict(BLOCK_M=32, BLOCK_N=16, BLOCK_K=16, GROUP_M=2, ACTIVATION="relu"), 1.6e-2, kinds(("a_ptr", "b_ptr", "c_ptr"), BF16),
               {"c_ptr": np.maximum(from_bf16(a) @ from_bf16(b), 0)})
    for m, n in ((4, 8), (2, 64)):
        for dtype in ("int32", "float32"):
            x = rng(n).integers(0, 30, (m, n)).astype(dtype)
            yield Case("extremes", dict(x_ptr=x, out_ptr=empty((m, 8), dtype)), (1,), dict(M=m, N=n))
    yield Case("exchange", dict(x_ptr=np.arange(3, dtype=np.int32), lock_ptr=np.zeros(1, np.int32), out_ptr=empty(14, "int32"), n=7), (7,))
    for steps in (0, 1, 4):
        for n in (0, 7):
            yield Case("flow", dict(x_ptr=np.array([3, 0, 8, 3, 9, 5, 7, 2], np.int32), out_ptr=empty(8, "int32"), n=n), (8,), dict(STEPS=steps))
    for shape in ((2, 4, 8), (4, 2, 2)):
        for dtype in ("float32", "int32"):
            x = rng(3).integers(-9, 9, shape).astype(dtype)
            yield Case("three_dimensions", dict(x_ptr=x, out_ptr=empty(shape, dtype)), (1,), dict(A=shape[0], B=shape[1], C=shape[2]))
    yield Case("through_addresses", dict(address_ptr=empty(16, "int32"), out_ptr=floats(1, 16, "float32"), n=13), (1,), dict(BLOCK=16))


def toward_zero(q, x, y):
    exact = x.astype(np.longdouble) / y.astype(np.longdouble)
    beyond = np.abs(q.astype(np.longdouble)) > np.abs(exact)
    return np.where(beyond, np.nextafter(q, np.zeros_like(q)), q)


def libdevice():
    n = 200
    bits32 = rng(5).integers(-2**31, 2**31, n).astype(np.int32)
    bits32[:3] = (0, 1, -1)
    strings = [format(int(v) & 0xFFFFFFFF, "032b") for v in bits32]
    whole = {"popc": [s.count("1") for s in strings], "clz": [len(s) - len(s.lstrip("0")) for s in strings],
             "ffs": [0 if "1" not in s else len(s) - s.rindex("1") for s in strings], "brev": [int(s[::-1], 2) - (1 << 32 if s[-1] == "1" else 0) for s in strings]}
    for name, want in whole.items():
        yield Case("libdevice_one", dict(x_ptr=bits32, out_ptr=empty(n, "int32"), n=n), (1,), dict(WHICH=name, BLOCK=256), reference={"out_ptr": np.array(want, np.int32)})
    unit, any_, positive, above = (lambda d: np.tanh(floats(1, n, d))), (lambda d: floats(2, n, d) * 3), (lambda d: np.abs(floats(3, n, d)) + 0.01), (lambda d: np.abs(floats(4, n, d)) + 1)
    half_away = lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5)  # noqa: E731
    with_special = lambda d: np.concatenate([floats(2, n - 6, d) * 3, np.array([0.5, -0.5, 2.5, np.inf, -np.inf, np.nan], d)])  # noqa: E731
    erf = lambda x: torch.erf(torch.from_numpy(x)).numpy()  # noqa: E731
    real = {"tanh": (with_special, np.tanh), "expm1": (with_special, np.expm1), "log1p": (positive, np.log1p), "asin": (unit, np.arcsin), "acos": (unit, np.arccos), "atan": (with_special, np.arctan),
            "tan": (any_, np.tan), "sinh": (with_special, np.sinh), "cosh": (with_special, np.cosh), "asinh": (with_special, np.arcsinh), "acosh": (above, np.arccosh), "atanh": (unit, np.arctanh),
            "exp10": (with_special, lambda x: 10.0**x), "log10": (positive, np.log10), "round": (with_special, half_away), "rint": (with_special, np.rint), "nearbyint": (with_special, np.rint),
            "trunc": (with_special, np.trunc), "cbrt": (with_special, np.cbrt), "exp": (with_special, np.exp), "exp2": (with_special, np.exp2), "log": (positive, np.log), "log2": (positive, np.log2),
            "sqrt": (positive, np.sqrt), "rsqrt": (positive, lambda x: 1 / np.sqrt(x)), "sin": (any_, np.sin), "cos": (any_, np.cos), "erf": (with_special, erf), "erfc": (any_, lambda x: 1 - erf(x)),
            "floor": (with_special, np.floor), "ceil": (with_special, np.ceil), "abs": (any_, np.abs), "saturatef": (any_, lambda x: np.clip(x, 0, 1)), "fast_expf": (any_, np.exp),
            "fast_tanhf": (with_special, np.tanh)}
    for name, (domain, function) in real.items():
        for dtype in ("float32", "float64"):
            x = domain(dtype).astype(dtype)
            want = function(x.astype(np.float64)).astype(dtype)
            near = 0 if name in ("round", "rint", "nearbyint", "trunc", "floor", "ceil", "abs") else 5e-6 if dtype == "float32" else 1e-11
            if name in ("tan", "sinh", "cosh", "exp", "exp10", "expm1"):
                near *= 4
            yield Case("libdevice_one", dict(x_ptr=x, out_ptr=empty(n, dtype), n=n), (1,), dict(WHICH=name, BLOCK=256), near, reference={"out_ptr": want})
    tests = {"isnan": np.isnan, "isinf": np.isinf, "finitef": np.isfinite, "signbit": np.signbit, "llrint": np.rint, "llround": half_away, "float_as_int": None}
    for name, function in tests.items():
        x = with_special("float32") if not name.startswith("ll") else any_("float32")
        out = "int64" if name.startswith("ll") else "int32"
        want = x.view(np.int32) if function is None else function(x).astype(out)
        yield Case("libdevice_one", dict(x_ptr=x, out_ptr=empty(n, out), n=n), (1,), dict(WHICH=name, BLOCK=256), reference={"out_ptr": want})
    two = {"pow": lambda x, y: np.abs(x)**y, "atan2": np.arctan2, "fmod": np.fmod, "copysign": np.copysign, "hypot": np.hypot, "div_rn": np.divide, "div_rz": None,
           "fdim": lambda x, y: np.where(x > y, x - y, 0), "remainder": lambda x, y: x - np.rint(x / y) * y, "add_rn": np.add, "mul_rn": np.multiply}
    for name, function in two.items():
        for dtype in ("float32", "float64"):
            x, y = floats(1, n, dtype), floats(2, n, dtype)
            x = np.abs(x) if name == "pow" else x
            want = toward_zero(x / y, x, y) if function is None else function(x, y).astype(dtype)
            exact = name in ("fmod", "copysign", "div_rn", "add_rn", "mul_rn", "fdim") or (name == "div_rz" and dtype == "float32")
            yield Case("libdevice_two", dict(x_ptr=x, y_ptr=y, out_ptr=empty(n, dtype), n=n), (1,), dict(WHICH=name, BLOCK=256),
                       0 if exact else 5e-6 if dtype == "float32" else 1e-12, reference={"out_ptr": want})


def every():
    for part in (elementwise, random_numbers, rows, products, along_axes, memory, unusual, libdevice):
        yield from part()
