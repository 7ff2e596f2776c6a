#!/usr/bin/env python3
"""Runs kernels of liger-kernel on both sides: every launch that its own functions make under Triton's interpreter is
made again by `tw tile run` on the same arrays, and the results are compared.

    lift_public.py TW LIGER_FOLDER         where the package is unpacked (tools/parse_public.py --download does that)

Run it with the Python of .venv-tests. Prints a line for each distinct kernel. Not part of make test."""
import collections
import contextlib
import inspect
import os
import subprocess
import sys
import tempfile
import types

os.environ["TRITON_INTERPRET"] = "1"
import numpy as np  # noqa: E402
import torch  # noqa: E402
import triton  # noqa: E402
import triton.language as tl  # noqa: E402
from triton.runtime import interpreter  # noqa: E402

MOST_LAUNCHES = 4  # compared for each kernel
KINDS = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.float64: "f64", torch.int32: "i32", torch.int64: "i64",
         torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "i1"}
results = collections.defaultdict(list)
state = types.SimpleNamespace(tw="", files=[], folder="", count=0)


def memory(t):
    """The tensor's storage from its first element on, as bits that .npy knows."""
    flat = torch.empty(0, dtype=t.dtype).set_(t.untyped_storage(), t.storage_offset(), (t.untyped_storage().nbytes() // t.element_size() - t.storage_offset(),), (1,))
    return flat.view(torch.int16).numpy().copy() if t.dtype == torch.bfloat16 else flat.numpy().copy()


def plain(value):
    return value.value if hasattr(value, "value") and type(value).__name__ == "constexpr" else value


def arguments(bound, constants, folder):
    args, tensors, seen = [], {}, {}
    for name, value in bound.items():
        value = plain(value)
        if isinstance(value, torch.Tensor) and value.data_ptr() in seen:
            args += ["--arg", f"{name}:*{KINDS[value.dtype]}=&{seen[value.data_ptr()]}"]
        elif isinstance(value, torch.Tensor):
            seen[value.data_ptr()] = name
            np.save(f"{folder}/{name}.npy", memory(value).view(np.uint16) if value.dtype == torch.bfloat16 else memory(value))
            args += ["--arg", f"{name}:*{KINDS[value.dtype]}={folder}/{name}.npy:{folder}/{name}.out.npy"]
            tensors[name] = value
        elif isinstance(value, triton.language.dtype):
            args += ["--const", f"{name}=tl.{ {'fp32': 'float32', 'fp16': 'float16', 'bf16': 'bfloat16', 'fp64': 'float64'}.get(value.name, value.name)}"]
        elif name in constants or value is None or isinstance(value, (bool, str, tuple)):
            args += ["--const", f"{name}={value!r}"]
        else:
            args += ["--arg", f"{name}={value!r}"]
    return args, tensors


def near(dtype):
    return {torch.float16: 4e-3, torch.bfloat16: 3e-2}.get(dtype, 1e-4)


def compare(name, t, got):
    want = memory(t)
    if t.dtype == torch.bfloat16:
        want, got = ((x.view(np.uint16).astype(np.uint32) << 16).view(np.float32) for x in (want, got))
    if want.dtype.kind != "f":
        return "" if np.array_equal(want, got) else f"{name} differs"
    a, b = want.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~((np.abs(a - b) <= near(t.dtype) * np.maximum(np.abs(a), 1)) | (a == b) | (np.isnan(a) & np.isnan(b)))
    return f"{name}[{np.argmax(bad)}] is {b[np.argmax(bad)]}, expected {a[np.argmax(bad)]}" if bad.any() else ""


original, convert = interpreter.GridExecutor.__call__, interpreter._implicit_cvt


def with_floats(arg):
    """The interpreter hands numbers on as Python floats, on which `x.to(...)` fails; on a chip they are float32."""
    if isinstance(arg, float):
        return tl.tensor(interpreter.TensorHandle(np.array([arg], dtype=np.float32), tl.float32), tl.float32)
    return convert(arg)


def by_numpy(function):
    def apply(x, **_):
        data = function(x.handle.data.astype(np.float64)).astype(x.handle.data.dtype)
        return tl.tensor(interpreter.TensorHandle(data, x.handle.dtype), x.type)
    return apply


def without_libdevice():
    """Functions of libdevice give None in Triton's interpreter: NumPy's stand in for them."""
    for module in [m for n, m in list(sys.modules.items()) if n.startswith("liger_kernel.ops")]:
        for name, function in (("rsqrt", lambda x: 1 / np.sqrt(x)), ("tanh", np.tanh)):
            if name in vars(module):
                setattr(module, name, by_numpy(function))


class NoDriver:
    """What host code asks a driver for."""
    utils = types.SimpleNamespace(get_device_properties=lambda device: dict(multiprocessor_count=4, max_shared_mem=1 << 16, warpSize=32, max_num_regs=65536))

    def get_current_device(self):
        return 0

    def get_current_target(self):
        return types.SimpleNamespace(backend="cuda", arch=80, warp_size=32)

    def get_benchmarker(self):
        return lambda fn, **kwargs: (fn(), [1.0, 1.0, 1.0])[1]

    def get_active_torch_device(self):
        return torch.device("cpu")

    def get_empty_cache_for_benchmark(self):
        return torch.empty(0)

    def clear_cache(self, cache):
        pass


def call(self, *args_dev, **kwargs):
    key = (os.path.relpath(inspect.getsourcefile(self.fn), state.folder), self.fn.__name__)
    if len(results[key]) >= MOST_LAUNCHES:
        return original(self, *args_dev, **kwargs)
    spec = inspect.getfullargspec(self.fn)
    bound = inspect.getcallargs(self.fn, *args_dev, **{k: v for k, v in kwargs.items() if k in spec.args or k in spec.kwonlyargs})
    grid = self.grid(bound) if callable(self.grid) else self.grid
    with tempfile.TemporaryDirectory() as folder:
        try:
            args, tensors = arguments(bound, self.constexprs, folder)
        except Exception as e:
            results[key].append(f"not tried: {e!r}"[:200])
            return original(self, *args_dev, **kwargs)
        original(self, *args_dev, **kwargs)
        own = inspect.getsourcefile(self.fn)
        command = [state.tw, "tile", "run", own, *[f for f in state.files if f != own], "--kernel", self.fn.__name__, "--grid", ",".join(str(int(g)) for g in grid), *args]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            results[key].append(done.stderr.strip().split("\n")[0][:300])
            return None
        messages = [compare(n, t, np.load(f"{folder}/{n}.out.npy")) for n, t in tensors.items()]
        results[key].append(next((m for m in messages if m), ""))
    return None


def leaf(*shape, dtype=torch.float32):
    state.count += 1
    g = torch.Generator().manual_seed(state.count)
    return torch.randn(*shape, generator=g).to(dtype).requires_grad_()


def backward(*outputs):
    loss = sum((o.float() * torch.linspace(0.5, 1.5, o.numel()).reshape(o.shape)).sum() for o in outputs if isinstance(o, torch.Tensor) and o.requires_grad)
    loss.backward()


def targets(n, vocabulary):
    return torch.arange(n) * 7 % vocabulary


@contextlib.contextmanager
def said(what):
    try:
        yield
    except Exception as e:
        print(f"    {what}: {type(e).__name__} {str(e)[:160]}", file=sys.stderr)


def drive():
    """Calls what liger-kernel offers, forward and backward, on small tensors."""
    import liger_kernel.ops as ops
    from liger_kernel.ops.experimental import embedding, mm_int8int2  # noqa: F401
    without_libdevice()
    f16 = torch.float16

    def each(name, *calls):
        for i, c in enumerate(calls):
            with said(f"{name} {i}"):
                backward(*(lambda r: r if isinstance(r, tuple) else (r,))(c(getattr(ops, name).apply)))

    for dtype in (torch.float32, f16):
        each("LigerRMSNormFunction", *[lambda f, m=m: f(leaf(6, 48, dtype=dtype), leaf(48, dtype=dtype), 1e-6, o, m, False) for m, o in (("llama", 0.0), ("gemma", 1.0), ("none", 0.0))],
             lambda f: f(leaf(300, 48, dtype=dtype), leaf(48, dtype=dtype), 1e-6, 0.0, "llama", False, False), lambda f: f(leaf(4, 48, dtype=dtype), None, 1e-6, 0.0, "llama", False))
        each("LigerFusedAddRMSNormFunction", lambda f: f(leaf(6, 48, dtype=dtype), leaf(6, 48, dtype=dtype), leaf(48, dtype=dtype), 1e-6, 0.0, "llama", False))
        each("LigerModulatedRMSNormFunction", lambda f: f(leaf(2, 3, 48, dtype=dtype), leaf(48, dtype=dtype), leaf(2, 48, dtype=dtype), leaf(2, 48, dtype=dtype), 1e-6, 0.0, "llama", False),
             lambda f: f(leaf(2, 3, 48, dtype=dtype), leaf(48, dtype=dtype), leaf(2, 1, 48, dtype=dtype), leaf(2, 1, 48, dtype=dtype), 1e-6))
        each("LigerLayerNormFunction", lambda f: f(leaf(6, 48, dtype=dtype), leaf(48, dtype=dtype), leaf(48, dtype=dtype), 1e-6))
        each("LigerGroupNormFunction", lambda f: f(leaf(2, 8, 20, dtype=dtype), leaf(8, dtype=dtype), leaf(8, dtype=dtype), 8, 4, 1e-6))
        each("LigerDyTFunction", lambda f: f(leaf(6, 48, dtype=dtype), leaf(1, dtype=dtype), leaf(48, dtype=dtype), leaf(48, dtype=dtype)))
        each("LigerPolyNormFunction", lambda f: f(leaf(6, 48, dtype=dtype), leaf(3, dtype=dtype), leaf(1, dtype=dtype), 1e-6, False))
        each("LigerSiLUMulFunction", lambda f: f(leaf(6, 48, dtype=dtype), leaf(6, 48, dtype=dtype)))
        each("LigerFusedGateUpSiLUMulFunction", lambda f: f(leaf(6, 96, dtype=dtype)))
        each("LigerGELUMulFunction", lambda f: f(leaf(6, 48, dtype=dtype), leaf(6, 48, dtype=dtype)))
        each("LigerReLUSquaredFunction", lambda f: f(leaf(6, 48, dtype=dtype)))
        each("LigerSoftmaxFunction", lambda f: f(leaf(6, 48, dtype=dtype)), lambda f: f(leaf(2, 5000, dtype=dtype)))
        each("LigerSparsemaxFunction", lambda f: f(leaf(6, 48, dtype=dtype), -1))
    for n, vocabulary in ((6, 50), (5, 300)):
        each("LigerCrossEntropyFunction",
             *[lambda f, k=k: f(leaf(n, vocabulary).clone(), targets(n, vocabulary), k.get("w"), -100, k.get("z", 0.0), k.get("s", 0.0), k.get("r", "mean"), k.get("c"), False)
               for k in ({}, {"s": 0.1}, {"z": 1e-3}, {"c": 5.0}, {"r": "sum", "w": torch.rand(vocabulary)}, {"r": "none"})])
    each("LigerFusedLinearCrossEntropyFunction", lambda f: f(leaf(6, 16), leaf(50, 16), targets(6, 50), leaf(50)), lambda f: f(leaf(6, 16), leaf(50, 16), targets(6, 50)))
    for reduction in ("batchmean", "sum", "mean", "none"):
        each("LigerKLDivLossFunction", lambda f: f(torch.log_softmax(leaf(6, 48), -1), torch.softmax(leaf(6, 48), -1), reduction, False),
             lambda f: f(torch.log_softmax(leaf(6, 48), -1), torch.log_softmax(leaf(6, 48), -1), reduction, True))
        each("LigerTVDLossFunction", lambda f: f(torch.softmax(leaf(6, 48), -1), torch.softmax(leaf(6, 48), -1), None, reduction, -100))
    for beta in (0.0, 0.5, 1.0):
        each("LigerJSDFunction", lambda f: f(torch.log_softmax(leaf(6, 48), -1), torch.log_softmax(leaf(6, 48), -1), None, beta, -100))
    each("LigerFusedLinearJSDFunction", lambda f: f(leaf(6, 16), leaf(50, 16), leaf(6, 16), leaf(50, 16)))
    each("LigerFusedLinearKLDivFunction", lambda f: f(leaf(6, 16), leaf(50, 16), torch.softmax(torch.randn(6, 50), -1)))
    each("LigerFusedCETVDFunction", lambda f: f(leaf(6, 50), leaf(6, 50), targets(6, 50)))
    cos, sin = torch.rand(1, 5, 16), torch.rand(1, 5, 16)
    each("LigerRopeFunction", lambda f: f(leaf(2, 4, 5, 16), leaf(2, 2, 5, 16), cos, sin))
    each("LigerQwen2VLMRopeFunction", lambda f: f(leaf(2, 4, 5, 16), leaf(2, 2, 5, 16), torch.rand(3, 2, 5, 16), torch.rand(3, 2, 5, 16), [2, 3, 3]))
    each("LigerLlama4RopeFunction", lambda f: f(leaf(2, 5, 4, 16), leaf(2, 5, 2, 16), torch.polar(torch.ones(5, 8), torch.rand(5, 8))))
    each("LigerMultiTokenAttentionFunction", lambda f: f(leaf(1, 2, 8, 8), leaf(2, 2, 3, 3), leaf(2), 1, 1), lambda f: f(leaf(1, 2, 8, 8), leaf(2, 2, 3, 3), leaf(2), 1, 1, 1, 1, True))
    each("LigerFusedNeighborhoodAttentionFunction", lambda f: f(leaf(1, 2, 16, 16), leaf(1, 2, 16, 16), leaf(1, 2, 16, 16), 5, 1))
    each("LigerAttnResFunction", lambda f: f(leaf(3, 2, 4, 32), leaf(32), leaf(32), 1e-6), lambda f: f(leaf(3, 8, 32), leaf(32), leaf(32), 1e-6))
    each("LigerFusedMoEFunction", lambda f: f(leaf(12, 32), leaf(4, 64, 32), leaf(4, 32, 32), targets(24, 4).reshape(12, 2).int(), torch.rand(12, 2)))
    each("LigerMHCCoeffsFunction", lambda f: f(leaf(2, 3, 4, 16), leaf(64, 24), leaf(24), leaf(1), leaf(1), leaf(1), True, 3, 1e-6, 1e-6, 1e-6, 2.0))
    each("LigerMHCPreFunction", lambda f: f(leaf(6, 4, 16), leaf(6, 4)))
    each("LigerMHCPostResFunction", lambda f: f(leaf(6, 4, 16), leaf(6, 16), leaf(6, 4), leaf(6, 4, 4)))
    with said("grpo"):
        from liger_kernel.ops.grpo_loss import GrpoLossFunction
        for kind in ("token", "sequence"):
            backward(GrpoLossFunction.apply(leaf(2, 6, 50), -torch.rand(2, 5), -torch.rand(2, 5), targets(10, 50).reshape(2, 5), torch.ones(2),
                                            torch.ones(2, 5, dtype=torch.int32), 0.9, 0.04, 0.2, 0.2, False, "grpo", None, True, kind)[0])
    with said("vocabulary in parallel"):
        backward(ops.LigerVocabParallelCEFunction.apply(leaf(3, 2, 50), targets(6, 50).reshape(3, 2), None, -100, 0.0, "huggingface", "local"))
    with said("embedding"):
        from liger_kernel.ops.experimental.embedding import LigerEmbeddingFunction
        backward(LigerEmbeddingFunction.apply(leaf(50, 16), targets(12, 50).reshape(3, 4)))
    with said("int8 by 2 bits"):
        from liger_kernel.ops.experimental.mm_int8int2 import matmul, pack_weights
        weights = torch.randint(0, 3, (512, 64), dtype=torch.int8)
        matmul(torch.randint(-128, 127, (64, 512), dtype=torch.int8), pack_weights(weights.int()))


def main():
    state.tw, state.folder = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    sys.path.insert(0, state.folder)
    for root, _, names in os.walk(os.path.join(state.folder, "liger_kernel", "ops")):
        if "backends" not in root:
            state.files += [os.path.join(root, n) for n in names if n.endswith(".py")]
    interpreter.GridExecutor.__call__, interpreter._implicit_cvt = call, with_floats
    triton.runtime.driver.set_active(NoDriver())
    drive()
    equal = tried = 0
    for (path, name), messages in sorted(results.items()):
        if not messages:  # Triton's interpreter failed
            continue
        tried += 1
        bad = next((m for m in messages if m), "")
        equal += not bad
        print(f"{'equal' if not bad else 'DIFFERS' if 'expected' in bad and 'tw tile' not in bad else 'refused'}\t{name}\t{path}\t{len(messages)} launches\t{bad}")
    print(f"{equal} of {tried} distinct kernels equal to Triton's interpreter")


if __name__ == "__main__":
    main()
