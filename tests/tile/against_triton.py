#!/usr/bin/env python3
"""against_triton.py TW [PART [WAY]]: every case of cases.py in Triton's own interpreter (TRITON_INTERPRET=1) and in `tw
tile run`, interpreted and compiled; prints what differs and how many agree. PART: only kernels whose name contains it;
WAY: only interpreted or compiled."""
import concurrent.futures
import os
import subprocess
import sys
import tempfile

os.environ["TRITON_INTERPRET"] = "1"
import numpy as np  # noqa: E402
import torch  # noqa: E402

import cases  # noqa: E402
import kernels  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
WAYS = {"interpreted": ["--interpret"], "compiled": []}
F8 = {"*f8e4nv": torch.float8_e4m3fn, "*f8e5": torch.float8_e5m2}


def tensor(case, name, value):
    if not isinstance(value, np.ndarray):
        return value
    t = torch.from_numpy(value.copy())
    kind = case.types.get(name)
    return t.view(torch.bfloat16) if kind == "*bf16" else t.view(F8[kind]) if kind in F8 else t


def expected(case):
    if case.reference:
        return case.reference
    args = {n: tensor(case, n, v) for n, v in case.args.items()}
    getattr(kernels, case.kernel)[case.grid](**args, **case.consts)
    out = {}
    for n, v in args.items():
        if isinstance(v, torch.Tensor):
            out[n] = (v.float() if v.dtype == torch.bfloat16 else v.view(torch.uint8) if v.dtype in F8.values() else v).numpy()
    return out


def scalar(value):
    return "float" if isinstance(value, float) else "int"


def run(case, tw, folder, way):
    command = [tw, "tile", "run", os.path.join(HERE, "kernels.py"), "--kernel", case.kernel, *way, "--grid", ",".join(map(str, case.grid))]
    for n, v in case.args.items():
        if isinstance(v, np.ndarray):
            np.save(f"{folder}/{n}.npy", v)
            kind = ":" + case.types[n] if n in case.types else ""
            command += ["--arg", f"{n}{kind}={folder}/{n}.npy:{folder}/{n}.out.npy"]
        else:
            command += ["--arg", f"{n}={v!r}"]
    for n, v in case.consts.items():
        command += ["--const", f"{n}={v!r}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip()
    out = {}
    for n, v in case.args.items():
        if isinstance(v, np.ndarray):
            a = np.load(f"{folder}/{n}.out.npy")
            out[n] = (a.astype(np.uint32) << 16).view(np.float32) if case.types.get(n) == "*bf16" else a
    return out


def difference(case, want, got):
    if isinstance(got, str):
        return got
    for n in want:
        a, b = want[n], got[n]
        if a.dtype.kind not in "f" or case.near == 0:
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                at = np.argwhere(~((a == b) | ((a != a) & (b != b))))[0]
                return f"{n}{list(map(int, at))}: {b[tuple(at)]}, expected {a[tuple(at)]}"
            continue
        a64, b64 = a.astype(np.float64), b.astype(np.float64)
        scale = np.maximum(np.abs(a64), 1.0)
        with np.errstate(invalid="ignore"):
            bad = ~((np.abs(a64 - b64) <= case.near * scale) | (a64 == b64) | (np.isnan(a64) & np.isnan(b64)))
        if bad.any():
            at = tuple(map(int, np.argwhere(bad)[0]))
            return f"{n}{list(at)}: {b[at]}, expected {a[at]} within {case.near}"
    return ""


def main():
    tw, part = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    ways = [w for w in WAYS if len(sys.argv) < 4 or w == sys.argv[3]]
    chosen = [c for c in cases.every() if part in c.kernel]
    failed = 0
    with tempfile.TemporaryDirectory() as root, concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = []
        for i, c in enumerate(chosen):
            for way in ways:
                folder = f"{root}/{i}{way}"
                os.mkdir(folder)
                jobs.append((c, way, pool.submit(run, c, tw, folder, WAYS[way])))
        want = {}
        for c, way, job in jobs:
            try:
                if c not in want:
                    want = {c: expected(c)}
                message = difference(c, want[c], job.result())
            except Exception as e:  # Triton refuses: the case is wrong, or there is nothing to compare with
                message = f"Triton: {str(e)[:300]}"
            if message:
                failed += 1
                print(f"{c.kernel} {way} grid {c.grid} {c.consts} {[str(v.dtype) if isinstance(v, np.ndarray) else v for v in c.args.values()]}: {message}", flush=True)
    print(f"# checks: {len(jobs) - failed}")
    print(f"{len(chosen)} cases of {len({c.kernel for c in chosen})} kernels against Triton's interpreter, {' and '.join(ways)}: {failed} differ")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
