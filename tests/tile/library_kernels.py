#!/usr/bin/env python3
"""library_kernels.py TW: the library's own kernels (kernels/*.py) beside PyTorch, over sizes, strides, dtypes; compiled."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "kernels")
checks = failures = 0


def power(n):
    return 1 << max(4, (n - 1).bit_length())


def launch(tw, folder, file, kernel, grid, arrays, scalars, consts):
    """Runs it on copies; returns the arrays as they are afterwards. bf16 travels as its bits."""
    command = [tw, "tile", "run", os.path.join(FOLDER, file), "--kernel", kernel, "--grid", ",".join(map(str, grid))]
    for name, t in arrays.items():
        np.save(f"{folder}/{name}.npy", t.view(torch.int16).numpy() if t.dtype == torch.bfloat16 else t.numpy())
        command += ["--arg", f"{name}{':*bf16' if t.dtype == torch.bfloat16 else ''}={folder}/{name}.npy:{folder}/{name}.out.npy"]
    command += sum((["--arg", f"{n}={v!r}"] for n, v in scalars.items()), []) + sum((["--const", f"{n}={v!r}"] for n, v in consts.items()), [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.stderr
    out = {}
    for name, t in arrays.items():
        a = torch.from_numpy(np.load(f"{folder}/{name}.out.npy").copy())
        out[name] = a.view(torch.int16).view(torch.bfloat16) if t.dtype == torch.bfloat16 else a
    return out


def near(what, got, want, tolerance):
    global checks, failures
    checks += 1
    if isinstance(got, str) or not torch.allclose(got.double(), want.double(), rtol=tolerance, atol=tolerance, equal_nan=True):
        failures += 1
        print(f"FAILED: {what}: {got if isinstance(got, str) else f'differs by {(got.double() - want.double()).abs().max()}'}")


def products(tw, folder):
    torch.manual_seed(1)
    for (batch, m, n, k), dtype, kind, transposed in [((1, 64, 64, 64), torch.float32, "none", ""), ((1, 1, 1, 1), torch.float32, "none", ""), ((1, 130, 70, 33), torch.float32, "gelu", ""),
                                                      ((3, 96, 64, 64), torch.float32, "relu", ""), ((2, 50, 300, 129), torch.float32, "silu", "a"), ((1, 257, 31, 64), torch.float32, "none", "b"),
                                                      ((1, 33, 65, 17), torch.float32, "none", "ab"), ((1, 100, 90, 80), torch.float16, "none", ""), ((1, 70, 128, 40), torch.bfloat16, "relu", "b"),
                                                      ((1, 20, 20, 0), torch.float32, "none", "")]:
        a = torch.randn((batch, k, m) if "a" in transposed else (batch, m, k)).to(dtype)
        b = torch.randn((batch, n, k) if "b" in transposed else (batch, k, n)).to(dtype)
        bias, c = torch.randn(n).to(dtype), torch.zeros((batch, m, n), dtype=dtype)
        left, right = a.mT if "a" in transposed else a, b.mT if "b" in transposed else b
        strides = {f"stride_a{d}": left.stride(i) for i, d in enumerate("bmk")} | {f"stride_b{d}": right.stride(i) for i, d in enumerate("bkn")}
        strides |= {f"stride_c{d}": c.stride(i) for i, d in enumerate("bmn")}
        for blocks in ((64, 64, 32), (32, 128, 16)):
            consts = dict(BIAS=kind != "none", KIND=kind, BLOCK_M=blocks[0], BLOCK_N=blocks[1], BLOCK_K=blocks[2])
            got = launch(tw, folder, "matmul.py", "matmul", (-(-m // blocks[0]) * -(-n // blocks[1]), batch), dict(a_ptr=a, b_ptr=b, bias_ptr=bias, c_ptr=c),
                         dict(M=m, N=n, K=k, **strides, alpha=0.5), consts)
            want = left.double() @ right.double() * 0.5 + (bias.double() if kind != "none" else 0)
            want = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "silu": torch.nn.functional.silu, "none": lambda x: x}[kind](want)
            near(f"matmul {batch}x{m}x{n}x{k} {dtype} {kind} {transposed} {blocks}", got if isinstance(got, str) else got["c_ptr"], want, 2e-5 if dtype == torch.float32 else 3e-2)


def rows(tw, folder):
    torch.manual_seed(2)
    for r, n in ((3, 1), (4, 17), (5, 128), (2, 1000)):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            tolerance = 1e-2 if dtype == torch.bfloat16 else 2e-6
            x, dy, consts = torch.randn(r, n).to(dtype), torch.randn(r, n).to(dtype), dict(BLOCK=power(n))
            y = torch.softmax(x.double(), 1)
            for kernel, want in (("softmax", y), ("log_softmax", torch.log_softmax(x.double(), 1))):
                got = launch(tw, folder, "softmax.py", kernel, (r,), dict(x_ptr=x, y_ptr=torch.zeros_like(x)), dict(n=n, stride_x=n, stride_y=n), consts)
                near(f"{kernel} {r}x{n} {dtype}", got if isinstance(got, str) else got["y_ptr"], want, tolerance)
            got = launch(tw, folder, "softmax.py", "softmax_backward", (r,), dict(y_ptr=y.to(dtype), dy_ptr=dy, dx_ptr=torch.zeros_like(x)), dict(n=n, stride_y=n, stride_dy=n, stride_dx=n), consts)
            near(f"softmax_backward {r}x{n} {dtype}", got if isinstance(got, str) else got["dx_ptr"], y * (dy - (y * dy).sum(1, keepdim=True)), tolerance)
            w, b, mean, rstd = torch.randn(n).to(dtype), torch.randn(n).to(dtype), torch.zeros(r), torch.zeros(r)
            got = launch(tw, folder, "norm.py", "layer_norm", (r,), dict(x_ptr=x, weight_ptr=w, bias_ptr=b, y_ptr=torch.zeros_like(x), mean_ptr=mean, rstd_ptr=rstd),
                         dict(n=n, stride_x=n, stride_y=n, eps=1e-5), consts)
            want = torch.nn.functional.layer_norm(x.double(), (n,), w.double(), b.double(), 1e-5)
            near(f"layer_norm {r}x{n} {dtype}", got if isinstance(got, str) else got["y_ptr"], want, 5 * tolerance)
            got = launch(tw, folder, "norm.py", "rms_norm", (r,), dict(x_ptr=x, weight_ptr=w, y_ptr=torch.zeros_like(x), rstd_ptr=rstd), dict(n=n, stride_x=n, stride_y=n, eps=1e-5), consts)
            near(f"rms_norm {r}x{n} {dtype}", got if isinstance(got, str) else got["y_ptr"], torch.nn.functional.rms_norm(x.double(), (n,), w.double(), 1e-5), 5 * tolerance)


def main():
    tw = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        products(tw, folder)
        rows(tw, folder)
    print(f"# checks: {checks - failures}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
