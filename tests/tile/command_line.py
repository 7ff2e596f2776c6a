#!/usr/bin/env python3
"""command_line.py TW: `tw tile parse, compile, run, check, step` as a person would call them."""
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
checks = failures = 0


def run(tw, *args, text=None):
    return subprocess.run([tw, "tile", *args], capture_output=True, text=True, input=text, timeout=300)


def expect(what, holds, done=None):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAILED: {what}")
        if done:
            print(done.stdout[-1500:], done.stderr[-1500:])


def mistake_line(kernel):
    lines = open(os.path.join(HERE, "wrong.py"), encoding="utf-8").read().split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith(f"def {kernel}("))
    helper = {"first_nan": "logarithm"}.get(kernel)
    if helper:
        first = next(i for i, line in enumerate(lines) if line.startswith(f"def {helper}("))
    return next(i for i in range(first, len(lines)) if "MISTAKE" in lines[i]) + 1


def check_finds_mistakes(tw, folder):
    x = np.linspace(-1, 1, 100).astype(np.float32)
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/zero.npy", np.zeros(1, np.float32))
    np.save(f"{folder}/lock.npy", np.zeros(1, np.int32))
    wrong = os.path.join(HERE, "wrong.py")
    common = ["--arg", f"x_ptr={folder}/x.npy", "--arg", "n=100", "--const", "BLOCK=32", "--grid", "4"]
    for kernel, extra, name in (("wrong_mask", ["--arg", "out_ptr=@100,f32"], "out of bounds"), ("race", ["--arg", f"out_ptr={folder}/zero.npy"], "race"),
                                ("never_written", ["--arg", "scratch_ptr=@100,f32", "--arg", "out_ptr=@100,f32"], "read of unwritten memory"),
                                ("first_nan", ["--arg", "out_ptr=@100,f32"], "NaN")):
        done = run(tw, "check", wrong, "--kernel", kernel, *common, *extra)
        found = re.findall(r"^\S*wrong\.py:(\d+): ([a-zA-Z ]+):", done.stdout, re.M)
        expect(f"check {kernel}: {name} at line {mistake_line(kernel)}", done.returncode == 1 and (str(mistake_line(kernel)), name) in found, done)
        expect(f"check {kernel}: one kind of finding", {n for _, n in found} == {name}, done)
    for kernel, extra in (("atomic_sum", []), ("locked_sum", ["--arg", f"lock_ptr={folder}/lock.npy"])):
        done = run(tw, "check", wrong, "--kernel", kernel, *common, "--arg", f"out_ptr={folder}/zero.npy", *extra)
        expect(f"check {kernel}: nothing found", done.returncode == 0, done)
    done = run(tw, "check", wrong, "--kernel", "first_nan", *common, "--arg", "out_ptr=@100,f32")
    expect("a finding in a helper names the chain of calls", "called from" in done.stdout and "in first_nan" in done.stdout, done)


def run_and_parse(tw, folder):
    kernels = os.path.join(HERE, "kernels.py")
    x, y = np.arange(300, dtype=np.float32), np.ones(300, np.float32)
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/y.npy", y)
    args = ["--arg", f"x_ptr={folder}/x.npy", "--arg", f"y_ptr={folder}/y.npy", "--arg", f"out_ptr=@300,f32:{folder}/out.npy", "--arg", "n=300"]
    done = run(tw, "run", kernels, "--kernel", "add", *args, "--const", "BLOCK=128", "--grid", "3")
    expect("run add", done.returncode == 0 and np.array_equal(np.load(f"{folder}/out.npy"), x + y), done)
    done = run(tw, "bench", kernels, "--kernel", "add", *args, "--const", "BLOCK=128", "--grid", "3")
    expect("bench says a time and a limit", done.returncode == 0 and re.search(r"median +[\d.]+ ms of \d+ launches", done.stdout) and "GB/s" in done.stdout, done)
    for stage, word in (("llvm", "define i32 @tw_kernel"), ("asm", "tw_kernel:")):
        types = ["--arg", "x_ptr:*f32", "--arg", "y_ptr:*f32", "--arg", "out_ptr:*f32", "--arg", "n:i32", "--const", "BLOCK=128"]
        done = run(tw, "compile", kernels, "--kernel", "add", *types, "--emit", stage)
        expect(f"compile --emit {stage}", done.returncode == 0 and word in done.stdout and "gather" not in done.stdout, done)
    done = run(tw, "run", kernels, "--kernel", "addd", *args, "--const", "BLOCK=128", "--grid", "3")
    expect("an unknown kernel is guessed", done.returncode == 1 and "did you mean 'add'" in done.stderr, done)
    done = run(tw, "run", kernels, "--kernel", "add", *args, "--grid", "3")
    expect("a missing constant is named", done.returncode == 1 and "'BLOCK' is missing" in done.stderr, done)
    done = run(tw, "run", kernels, "--kernel", "add", *args, "--const", "BLOCK=128", "--grid", "4x")
    expect("a wrong grid is said", done.returncode == 2 and "--grid" in done.stderr, done)
    done = run(tw, "run", kernels, "--kernel", "add", "--arg", "x_ptr=missing.npy", *args[2:], "--const", "BLOCK=128")
    expect("a missing file is said", done.returncode == 1 and "missing.npy" in done.stderr, done)
    done = run(tw, "parse", kernels, os.path.join(HERE, "wrong.py"))
    lines = done.stdout.strip().split("\n")
    expect("parse: a line a kernel", done.returncode == 0 and re.fullmatch(r"\d+ ok, 0 failed", lines[-1]) and len(lines) - 1 == int(lines[-1].split()[0]), done)
    expect("parse: four columns", all(len(line.split("\t")) == 4 for line in lines[:-1]), done)
    with open(f"{folder}/bad.py", "w", encoding="utf-8") as f:
        f.write("import triton\nimport triton.language as tl\n\n@triton.jit\ndef bad(x):\n    y = tl.lod(x)\n")
    done = run(tw, "parse", f"{folder}/bad.py")
    expect("parse: an error with its line", done.returncode == 1 and f"error\t{folder}/bad.py:6\tbad\tunknown builtin" in done.stdout, done)
    expect("parse: a caret on standard error", "^^^^" in done.stderr and "did you mean" in done.stderr, done)
    done = run(tw, "compile", kernels, "--kernel", "rms_norm", *sum((["--arg", a] for a in ("X:*f16", "Y:*f16", "W:*f16", "stride:i32", "N:i32", "eps:f32")), []),
               "--const", "BLOCK=64")
    expect("compile prints a tile program", done.returncode == 0 and done.stdout.startswith("program rms_norm\n"), done)


def configurations(tw, folder):
    with open(f"{folder}/tuned.py", "w", encoding="utf-8") as f:
        f.write("""import triton
import triton.language as tl

def configs():
    return [triton.Config({"BLOCK": b}, num_warps=w) for b in (32, 64) for w in [2, 4]]


@triton.autotune(configs=configs(), key=["n"])
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def tuned(x_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if EVEN:
        tl.store(x_ptr + i, BLOCK)
    else:
        tl.store(x_ptr + i, -BLOCK, mask=i < n)
""")
    for config, n, value in ((0, 64, 32), (2, 64, 64), (3, 65, -64)):
        done = run(tw, "run", f"{folder}/tuned.py", "--arg", f"x_ptr=@{n},i32:{folder}/out.npy", "--arg", f"n={n}", "--config", str(config), "--grid", "3" if n == 65 else str(n // abs(value)))
        expect(f"configuration {config}, n {n}", done.returncode == 0 and (np.load(f"{folder}/out.npy") == value).all(), done)


def stepping(tw, folder):
    np.save(f"{folder}/x.npy", np.arange(8, dtype=np.float32))
    with open(f"{folder}/small.py", "w", encoding="utf-8") as f:
        f.write("import triton\nimport triton.language as tl\n\n@triton.jit\ndef small(x_ptr):\n    i = tl.arange(0, 8)\n    x = tl.load(x_ptr + i)\n"
                "    y = x * 3\n    tl.store(x_ptr + i, y)\n")
    done = run(tw, "step", f"{folder}/small.py", "--arg", f"x_ptr={folder}/x.npy:{folder}/out.npy", text="s\ns\ns\nw\nb 9\nc\nc\n")
    expect("step shows lines", done.returncode == 0 and "small.py:7" in done.stdout and "small.py:9" in done.stdout, done)
    expect("step shows values", re.search(r"mul +f32\[8\] +0 3 6 9 12 15 18 21", done.stdout) is not None, done)
    expect("step runs to the end", done.returncode == 0 and np.load(f"{folder}/out.npy")[7] == 21, done)
    done = run(tw, "step", f"{folder}/small.py", "--arg", f"x_ptr={folder}/x.npy", text="q\n")
    expect("step quits", done.returncode == 130, done)


DEEP = """import triton
import triton.language as tl


@triton.jit
def deep(a_ptr, b_ptr, c_ptr):
    i = tl.arange(0, 32)
    at = i[:, None] * 32 + i[None, :]
    acc = tl.dot(tl.load(a_ptr + at), tl.load(b_ptr + at))
    for _ in tl.static_range(50):
        acc = acc * acc
    tl.store(c_ptr + at, acc)
"""


def many_ways_to_one_value(tw, folder):
    """2^50 ways lead from the store to the product: what walks along each of them has no end."""
    path = f"{folder}/deep.py"
    with open(path, "w", encoding="utf-8") as f:
        f.write(DEEP)
    done = run(tw, "compile", path, "--kernel", "deep", "--arg", "a_ptr:*f32", "--arg", "b_ptr:*f32", "--arg", "c_ptr:*f32", "--emit", "llvm")
    expect("a deep epilogue compiles", done.returncode == 0 and "define i32 @tw_kernel" in done.stdout, done)


def messages(tw, folder):
    with open(f"{folder}/loops.py", "w", encoding="utf-8") as f:
        f.write("import triton\nimport triton.language as tl\n\n@triton.jit\ndef forever(x):\n    while tl.atomic_cas(x, 0, 1) != 0:\n        pass\n"
                "\n\n@triton.jit\ndef claims(x):\n    tl.device_assert(tl.load(x) == 5, \"it is five\")\n\n\n@triton.jit\ndef says(x):\n    tl.device_print(\"x is\", tl.load(x))\n")
    np.save(f"{folder}/one.npy", np.ones(1, np.int32))
    for way in ([], ["--interpret"]):
        done = run(tw, "run", *way, f"{folder}/loops.py", "--kernel", "claims", "--arg", f"x={folder}/one.npy")
        expect(f"a failed assertion names its line {way}", done.returncode == 1 and "it is five" in done.stderr and "loops.py:12" in done.stderr, done)
        done = run(tw, "run", *way, f"{folder}/loops.py", "--kernel", "says", "--arg", f"x={folder}/one.npy")
        expect(f"device_print {way}", done.stdout == "pid (0, 0, 0) x is: 1\n", done)


def look(x, out, limit, n):
    for i in range(n):
        if x[i] > limit:
            out[0] = i
            return
        w = 0
        while True:
            w += 1
            if w * w > x[i]:
                break
            if w > 50:
                out[2] = 99
                return
        out[1] = w
    out[0] = -1


def leave(x, out, limit, n):
    look(x, out, limit, n)
    k = 0
    for i in range(6):
        if i == limit:
            break
        if i % 2 == 1:
            continue
        k += 10
    out[3] = k
    for a in range(4):
        for b in range(4):
            if b == a:
                break
            k += 1
        if a == limit:
            break
    out[4] = k


def leaving_loops(tw, folder):
    for x in ([1, 5, 9, 30, 2], [3000, 4]):
        np.save(f"{folder}/x.npy", np.array(x, np.int32))
        for limit in (0, 1, 3, 29, 5000):
            for n in (0, 1, len(x)):
                want = np.zeros(5, np.int32)
                leave(x, want, limit, n)
                done = run(tw, "run", os.path.join(HERE, "loops.py"), "--kernel", "leave", "--arg", f"x_ptr={folder}/x.npy", "--arg", f"out_ptr=@5,i32:{folder}/out.npy", "--arg",
                           f"limit={limit}", "--arg", f"n={n}")
                expect(f"leaving loops: {x}, limit {limit}, n {n}", done.returncode == 0 and np.array_equal(np.load(f"{folder}/out.npy"), want), done)


def main():
    tw = os.path.abspath(sys.argv[1])
    for part in (check_finds_mistakes, run_and_parse, configurations, stepping, messages, leaving_loops, many_ways_to_one_value):
        with tempfile.TemporaryDirectory() as folder:
            part(tw, folder)
    print(f"# checks: {checks - failures}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
