#!/usr/bin/env python3
"""Writes sweep.bin: what PyTorch gives for every operation, over shapes, dtypes, NaN and infinities.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 numpy && venv/bin/python tests/data/make_sweep.py

The file: "TWSWEEP1", number of cases, then for each case the operation's name, its attributes (as graph.def orders them), its operands,
the result, and the tolerance: in units in the last place of the result's dtype, and absolute. Numbers are little-endian.
"""
import pathlib
import re
import struct

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
DEF = HERE.parent.parent / "src" / "ops" / "graph.def"
DTYPES = [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTS = [torch.int64, torch.int32, torch.uint8]
SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 3, 4), (1, 65), (2, 0, 3)]
ATTRS = {m[1]: [a.split(":") for a in re.findall(r"\w+: \w+", m[2])]
         for m in re.finditer(r"^op (\w+) \([^)]*\) ?\{([^}]*)\}", DEF.read_text(), re.M)}

torch.manual_seed(1)
torch.set_num_threads(1)
cases = []


def tensor(shape, dtype, low=-4.0, high=4.0, special=True):
    """Values between low and high; the first ones are those at which formulas break."""
    if dtype == torch.bool:
        return torch.randint(0, 2, shape).bool()
    if not dtype.is_floating_point:
        bottom = max(int(low) * 4, 0) if dtype == torch.uint8 else int(low) * 4
        return torch.randint(bottom, int(high) * 4 + 1, shape).to(dtype)
    x = (torch.rand(shape, dtype=torch.float64) * (high - low) + low).to(dtype)
    wild = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, -1.0]
    if special and x.numel() >= 5:
        flat = x.view(-1)
        for i, v in enumerate(wild[:min(len(wild), flat.numel() - 2)]):
            flat[i] = v
    return x


def add(name, result, operands, ulp=4.0, size=1.0, **attrs):
    """One case. `size`: how large intermediate values are, for the absolute tolerance."""
    kinds = ATTRS[name]
    if set(attrs) != {k for k, _ in kinds}:
        raise ValueError(f"{name}: attributes {sorted(attrs)}; its row has {kinds}")
    eps = torch.finfo(result.dtype).eps if result.dtype.is_floating_point else 0.0
    cases.append((name, [(kind.strip(), attrs[key]) for key, kind in kinds], operands, result.contiguous(), ulp, 2 * ulp * eps * size))


def packed(x):
    if x is None:
        return b"\0"
    out = b"\1" + struct.pack("<BB", DTYPES.index(x.dtype), x.dim()) + b"".join(struct.pack("<i", n) for n in x.shape)
    return out + x.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if x.numel() else out


def packed_attr(kind, value):
    if kind in ("dims", "ints"):
        return struct.pack("<BB", 2, len(value)) + b"".join(struct.pack("<q", v) for v in value)
    if kind == "float":
        return struct.pack("<Bd", 1, value)
    return struct.pack("<Bq", 0, DTYPES.index(value) if kind == "dtype" else int(value))


def write():
    out = [b"TWSWEEP1", struct.pack("<I", len(cases))]
    for name, attrs, operands, result, ulp, absolute in cases:
        out += [struct.pack("<B", len(name)), name.encode(), struct.pack("<B", len(attrs))]
        out += [packed_attr(k, v) for k, v in attrs]
        out += [struct.pack("<B", len(operands))] + [packed(x) for x in operands]
        out += [packed(result), struct.pack("<dd", ulp, absolute)]
    (HERE / "sweep.bin").write_bytes(b"".join(out))
    print(f"{len(cases)} cases, {len({c[0] for c in cases})} operations, {sum(map(len, out))} bytes")


def unary():
    for name in "exp exp2 expm1 log log2 log1p sqrt rsqrt sin cos tan asin acos atan tanh erf reciprocal log10 sinh cosh asinh acosh atanh " \
                "sigmoid floor ceil round trunc".split():
        for dtype in FLOATS:
            for shape in SHAPES if dtype == torch.float32 else [(7,), (1, 65)]:
                near = 1.2 if name in ("asin", "acos", "atanh") else 4.0
                x = tensor(shape, dtype, -near, near)
                add(name, getattr(torch, name)(x), [x], ulp=16.0 if name == "tan" else 6.0)
    for name in "neg abs sign square".split():
        for dtype in FLOATS + INTS:
            x = tensor((9,), dtype)
            want = getattr(torch, name)(x)
            if name == "sign" and dtype.is_floating_point:  # NumPy's: NaN stays NaN, where PyTorch gives 0
                want = torch.where(torch.isnan(x), x, want)
            add(name, want, [x])
    for name in "isnan isinf isfinite logical_not".split():
        for dtype in FLOATS + [torch.bool]:
            x = tensor((9,), dtype)
            add(name, getattr(torch, name)(x), [x])
    for dtype in INTS + [torch.bool]:
        x = tensor((9,), dtype)
        add("bitwise_not", torch.bitwise_not(x), [x])
    for source in DTYPES:
        for target in DTYPES:
            x = tensor((9,), source, 0.0, 7.0, special=target.is_floating_point or target == torch.bool)
            add("cast", x.to(target), [x], dtype=target)


def activations():
    simple = {"silu": F.silu, "relu": F.relu, "relu6": F.relu6, "softplus": F.softplus, "mish": F.mish, "hardsigmoid": F.hardsigmoid,
              "hardswish": F.hardswish, "softsign": F.softsign, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}
    for dtype in FLOATS:
        for shape in [(), (0,), (7,), (3, 43)]:
            for name, f in simple.items():
                x = tensor(shape, dtype, -8.0, 8.0, special=name not in ("hardswish", "mish", "gelu", "gelu_tanh", "silu", "softsign"))
                add(name, f(x), [x], ulp=8.0, size=8.0)
            x = tensor(shape, dtype)
            add("leaky_relu", F.leaky_relu(x, 0.25), [x], slope=0.25)
            add("elu", F.elu(x, 0.5), [x], alpha=0.5)
            add("hardtanh", F.hardtanh(x, -1.0, 2.0), [x], low=-1.0, high=2.0)
            add("clamp", torch.clamp(x, -1.0, 2.0), [x], low=-1.0, high=2.0)
            add("nan_to_num", torch.nan_to_num(x, 5.0, 6.0, 7.0), [x], nan=5.0, high=6.0, low=7.0)


def binary():
    pairs = [((3, 5), (3, 5)), ((3, 5), (5,)), ((3, 1), (1, 5)), ((), (7,)), ((0, 5), (1, 5)), ((9,), ())]
    for a_shape, b_shape in pairs:
        for dtypes in [(t, t) for t in FLOATS + INTS] + [(torch.float32, torch.int64), (torch.float16, torch.bfloat16), (torch.uint8, torch.int32),
                                                        (torch.int32, torch.float16), (torch.bool, torch.int64), (torch.float32, torch.float64)]:
            a, b = tensor(a_shape, dtypes[0]), tensor(b_shape, dtypes[1], special=False)
            for name in "add sub mul div maximum minimum eq ne lt le gt ge logical_and logical_or logical_xor".split():
                if name == "sub" and torch.bool in dtypes:
                    continue
                f = torch.true_divide if name == "div" else getattr(torch, name)
                add(name, f(a, b), [a, b], ulp=0.5)
            nonzero = torch.where(b == 0, torch.ones_like(b), b)
            whole = not (dtypes[0].is_floating_point or dtypes[1].is_floating_point)
            if torch.bool not in dtypes and dtypes[0] == dtypes[1] and (whole or dtypes[0] in (torch.float32, torch.float64)):
                finite = tensor(a_shape, dtypes[0], special=False)
                add("fmod", torch.fmod(finite, nonzero), [finite, nonzero], ulp=0.5)
                add("remainder", torch.remainder(finite, nonzero), [finite, nonzero], ulp=1.0)
                add("floor_divide", torch.floor_divide(finite, nonzero), [finite, nonzero], ulp=0.5)
            if whole and torch.bool not in dtypes:
                add("idiv", torch.div(a, nonzero, rounding_mode="trunc"), [a, nonzero])
                for name in "bitwise_and bitwise_or bitwise_xor".split():
                    add(name, getattr(torch, name)(a, b), [a, b])
                by = (b.abs() % 5).to(b.dtype)
                add("shift_left", torch.bitwise_left_shift(a, by), [a, by])
                add("shift_right", torch.bitwise_right_shift(a, by), [a, by])
            if dtypes[0] == dtypes[1] and not whole:
                add("pow", torch.pow(a, b), [a, b], ulp=6.0)
                add("atan2", torch.atan2(a, b), [a, b], ulp=6.0)
                w = tensor((1,), dtypes[0], 0.0, 1.0)
                mask = tensor(a_shape, torch.bool)
                add("where", torch.where(mask, a, b), [mask, a, b])
                add("masked_fill", a.masked_fill(mask, 3.0), [a, mask], value=3.0)
                smooth = tensor(a_shape, dtypes[0], special=False)
                add("lerp", torch.lerp(smooth, b.expand(torch.broadcast_shapes(a_shape, b_shape)), w), [smooth, b, w], ulp=8.0, size=8.0)
                add("addcmul", torch.addcmul(smooth, b, b, value=0.5), [smooth, b, b], value=0.5, ulp=8.0, size=16.0)
                two = b + torch.sign(b) + 2
                near = torch.where(two.abs() < 0.5, torch.ones_like(two), two)
                add("addcdiv", torch.addcdiv(smooth, b, near, value=0.5), [smooth, b, near], value=0.5, ulp=8.0, size=16.0)


def reductions():
    shapes = [(5,), (3, 7), (2, 3, 4), (4, 131), (0, 3), (3, 0)]
    for dtype in FLOATS + INTS:
        for shape in shapes:
            for wild in (False, True) if dtype == torch.float32 else (False,):
                x = tensor(shape, dtype, special=wild)
                choices = [[0], [len(shape) - 1], list(range(len(shape)))] if len(shape) > 1 else [[0]]
                for axes in choices:
                    for keep in (False, True):
                        some = all(shape[a] for a in axes)
                        add("sum", x.sum(axes, keep), [x], axes=axes, keepdim=keep, ulp=8.0, size=64.0)
                        add("any", torch.any(x.bool(), axes, keep), [x.bool()], axes=axes, keepdim=keep)
                        add("all", torch.all(x.bool(), axes, keep), [x.bool()], axes=axes, keepdim=keep)
                        if some:
                            add("amax", torch.amax(x, axes, keep), [x], axes=axes, keepdim=keep)
                            add("amin", torch.amin(x, axes, keep), [x], axes=axes, keepdim=keep)
                        if dtype.is_floating_point and some:
                            n = torch.Size([shape[a] for a in axes]).numel()
                            add("mean", x.mean(axes, keep), [x], axes=axes, keepdim=keep, ulp=8.0, size=4.0)
                            add("logsumexp", torch.logsumexp(x, axes, keep), [x], axes=axes, keepdim=keep, ulp=8.0, size=4.0)
                            if not wild and dtype in (torch.float32, torch.float64) and n > 1:
                                add("var", torch.var(x, axes, correction=1, keepdim=keep), [x], axes=axes, keepdim=keep, correction=1, ulp=16.0,
                                    size=16.0)
                                add("std", torch.std(x, axes, correction=0, keepdim=keep), [x], axes=axes, keepdim=keep, correction=0, ulp=16.0,
                                    size=8.0)
                                add("norm", torch.linalg.vector_norm(x, 2, axes, keep), [x], axes=axes, keepdim=keep, ulp=16.0, size=64.0)
                if all(shape):
                    add("argmax", torch.argmax(x.flatten() if len(shape) == 1 else x, -1), [x], axis=len(shape) - 1, keepdim=False)
                    if not wild:
                        distinct = torch.randperm(x.numel()).reshape(shape).to(torch.float32)
                        add("argmin", torch.argmin(distinct, 0, True), [distinct], axis=0, keepdim=True)
                if dtype != torch.uint8 and shape[-1] < 100:
                    add("cumsum", torch.cumsum(x, -1), [x], axis=len(shape) - 1, reverse=False, ulp=8.0, size=16.0)
                if shape[-1] < 6 and not wild:
                    add("prod", torch.prod(x, -1), [x], axes=[len(shape) - 1], keepdim=False, ulp=8.0)
                    add("cumprod", torch.cumprod(x, -1), [x], axis=len(shape) - 1, reverse=False, ulp=8.0)


def views():
    for dtype in DTYPES:
        x, y = tensor((2, 3, 4), dtype), tensor((4, 5), dtype)
        z = tensor((2, 1, 4), dtype)
        add("reshape", x.reshape(4, 6), [x], shape=[4, 6])
        add("reshape", x.reshape(-1, 2), [x], shape=[-1, 2])
        add("permute", x.permute(2, 0, 1), [x], axes=[2, 0, 1])
        add("expand", z.expand(3, 2, 5, 4), [z], shape=[3, 2, 5, 4])
        add("slice", x[:, 1:, ::3], [x], starts=[0, 1, 0], sizes=[2, 2, 2], steps=[1, 1, 3])
        add("slice", x.flip(2)[:, :, ::2], [x], starts=[0, 0, 3], sizes=[2, 3, 2], steps=[1, 1, -2])
        if dtype != torch.bool:
            add("pad", F.pad(x, (1, 2, 0, 1), value=3.0), [x], low=[0, 0, 1], high=[0, 1, 2], value=3.0)
        add("cat", torch.cat([x, z, x], 1), [x, z, x], axis=1)
        add("flatten", x.flatten(1, 2), [x], start=1, end=2)
        add("transpose", x.transpose(-1, 0), [x], first=-1, second=0)
        add("unsqueeze", x.unsqueeze(-1), [x], axis=-1)
        add("squeeze", z.squeeze(1), [z], axis=1)
        add("select", x.select(1, -1), [x], axis=1, index=-1)
        add("flip", x.flip(0, 2), [x], axes=[0, 2])
        add("roll", torch.roll(x, 5, 2), [x], shift=5, axis=2)
        add("repeat", y.repeat(2, 1, 3), [y], times=[2, 1, 3])
        add("stack", torch.stack([y, y.flip(0)], 1), [y, y.flip(0)], axis=1)
        add("diagonal", torch.diagonal(x, 0, -2, -1), [x])
        add("broadcast_to", torch.broadcast_to(z, (2, 3, 4)), [z], shape=[2, 3, 4])
        add("zeros_like", torch.zeros_like(x), [x])
        add("ones_like", torch.ones_like(x), [x])
        for diagonal in (-1, 0, 2):
            add("tril", torch.tril(y, diagonal), [y], diagonal=diagonal)
            add("triu", torch.triu(y, diagonal), [y], diagonal=diagonal)
        add("eye", torch.eye(5, dtype=dtype), [], n=[5], dtype=dtype)
        index = torch.randint(0, 4, (2, 3, 6))
        rows = torch.randint(0, 3, (7,), dtype=torch.int32)
        add("gather", torch.gather(x, 2, index), [x, index], axis=2)
        add("take_along_dim", torch.take_along_dim(x, index, 2), [x, index], axis=2)
        add("index_select", torch.index_select(x, 1, rows), [x, rows], axis=1)
        if dtype != torch.bool:
            source = tensor((2, 3, 6), dtype, special=False)
            calm = tensor((2, 3, 4), dtype, special=False)
            many = tensor((2, 7, 4), dtype, special=False)
            add("scatter_add", calm.scatter_add(2, index, source), [calm, index, source], axis=2, ulp=8.0, size=16.0)
            add("index_add", calm.index_add(1, rows, many), [calm, rows, many], axis=1, ulp=8.0, size=16.0)
        order = torch.randperm(4).repeat(2, 3, 1)[:, :, :3].contiguous()
        written = tensor((2, 3, 3), dtype)
        add("scatter", x.scatter(2, order, written), [x, order, written], axis=2)
        updated = x.clone()
        part = tensor((2, 2, 2), dtype)
        updated[:, 0:3:2, 0:2] = part
        add("slice_update", updated, [x, part], starts=[0, 0, 0], steps=[1, 2, 1])


def products():
    for dtype in FLOATS:
        for a, b in [((3, 5), (5, 4)), ((5,), (5,)), ((3, 5), (5,)), ((5,), (5, 2)), ((2, 3, 5), (5, 4)), ((2, 1, 3, 5), (4, 5, 2)), ((0, 5), (5, 3)),
                     ((3, 0), (0, 2)), ((17, 67), (67, 31))]:
            x, y = tensor(a, dtype, special=False), tensor(b, dtype, special=False)
            add("matmul", x.double().matmul(y.double()).to(dtype), [x, y], ulp=8.0, size=64.0)
        x, w, c = tensor((2, 3, 6), dtype, special=False), tensor((4, 6), dtype, special=False), tensor((4,), dtype, special=False)
        add("linear", F.linear(x.double(), w.double(), c.double()).to(dtype), [x, w, c], ulp=8.0, size=32.0)
        add("linear", F.linear(x.double(), w.double()).to(dtype), [x, w, None], ulp=8.0, size=32.0)
        add("outer", torch.outer(c, c), [c, c])
        q, k, v = (tensor((2, 2, 6, 8), dtype, -1.0, 1.0, special=False) for _ in range(3))
        mask = torch.rand(6, 6) > 0.3
        mask[:, 0] = True
        for causal in (False, True):
            want = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=causal).to(dtype)
            add("attention", want, [q, k, v, None], causal=causal, scale=0.0, ulp=8.0)
        want = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask, scale=0.5).to(dtype)
        add("attention", want, [q, k, v, mask], causal=False, scale=0.5, ulp=8.0)


def normalisation():
    for dtype in FLOATS:
        for shape in [(7,), (3, 5), (2, 3, 65)]:
            x = tensor(shape, dtype, special=False)
            rows = x.clone()
            rows.view(-1)[0] = -float("inf")  # one masked element
            for axis in {0, -1}:
                add("softmax", torch.softmax(rows, axis), [rows], axis=axis, ulp=6.0)
                add("log_softmax", torch.log_softmax(rows, axis), [rows], axis=axis, ulp=6.0, size=8.0)
            n = shape[-1]
            w, b = tensor((n,), dtype, special=False), tensor((n,), dtype, special=False)
            norm = F.layer_norm(x.double(), (n,), w.double(), b.double(), 1e-5).to(dtype)
            add("layer_norm", norm, [x, w, b], dims=1, eps=1e-5, ulp=16.0, size=8.0)
            add("layer_norm", F.layer_norm(x.double(), (n,), None, None, 1e-5).to(dtype), [x, None, None], dims=1, eps=1e-5, ulp=16.0, size=4.0)
            add("rms_norm", F.rms_norm(x.double(), (n,), w.double(), 1e-5).to(dtype), [x, w], dims=1, eps=1e-5, ulp=16.0, size=8.0)
        x, target = tensor((9, 7), dtype, special=False), torch.randint(0, 7, (9,))
        add("cross_entropy", F.cross_entropy(x.double(), target).to(dtype), [x, target], ulp=8.0, size=4.0)
        add("nll_loss", F.nll_loss(x.double(), target).to(dtype), [x, target], ulp=8.0, size=16.0)
        y = tensor((9, 7), dtype, 0.0, 1.0, special=False)
        add("mse_loss", F.mse_loss(x.double(), y.double()).to(dtype), [x, y], ulp=16.0, size=32.0)
        add("l1_loss", F.l1_loss(x.double(), y.double()).to(dtype), [x, y], ulp=16.0, size=8.0)
        add("bce_with_logits", F.binary_cross_entropy_with_logits(x.double(), y.double()).to(dtype), [x, y], ulp=16.0, size=8.0)
        index = torch.randint(0, 9, (2, 3))
        add("embedding", F.embedding(index, x), [x, index])
    index = torch.randint(0, 5, (2, 3))
    add("one_hot", F.one_hot(index, 5), [index], classes=5, dtype=torch.int64)


def later():
    """Operations that came later: at the end, so that the random numbers of those before stay what they were."""
    for dtype in FLOATS:
        for a_shape, b_shape in [((3, 5), (3, 5)), ((3, 1), (7,)), ((), (7,)), ((0, 5), (1, 5)), ((9,), ())]:
            for wild in (False, True):
                a, b = tensor(a_shape, dtype, -8.0, 8.0, special=wild), tensor(b_shape, dtype, -8.0, 8.0, special=False)
                add("logaddexp", torch.logaddexp(a, b), [a, b], ulp=4.0, size=1.0)
        both = torch.tensor([float("inf"), -float("inf"), 0.0, 60.0, -90.0], dtype=dtype)
        add("logaddexp", torch.logaddexp(both, both), [both, both])
        add("logaddexp", torch.logaddexp(both, both.flip(0)), [both, both.flip(0)])
    for dtype in DTYPES:
        for shape in [(7,), (1,), (3, 43), (2, 3, 4), (4, 0)]:
            for axis in {0, -1}:
                x = tensor(shape, dtype)
                for name in ("cummax", "cummin"):
                    add(name, getattr(torch, name)(x, axis)[0], [x], axis=axis, reverse=False)
                    add(name, getattr(torch, name)(x.flip(axis), axis)[0].flip(axis), [x], axis=axis, reverse=True)


for part in (unary, activations, binary, reductions, views, products, normalisation, later):
    part()
write()
