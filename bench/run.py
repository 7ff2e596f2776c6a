#!/usr/bin/env python3
"""Benchmarks beside PyTorch, interleaved: run.py [train|compile|record|memory|loss|gemm|attention|memory-bound|tile-compile ...]; none: all.

Every runtime is a process of its own that computes one step when told to and sleeps otherwise, so that the steps of all take turns on the same
machine in the same minute. Medians are compared; rows are appended to bench/results/SUITE.tsv."""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
CASES = {  # layers, dim, heads, context, batch
    "gpt4": (4, 128, 4, 64, 16),
    "gpt6": (6, 384, 6, 256, 8),
}
COLUMNS = "case\tthreads\tpeer\tours_ms\tpeer_ms\tratio\tlimit\tshare_of_limit"
THREADS = int(os.environ.get("TW_THREADS", "2"))


class Runtime:
    """A process that answers one line to each command."""

    def __init__(self, command, **environment):
        env = dict(os.environ, TW_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS), **environment)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        line = self.process.stdout.readline()
        if line.strip() != "ready":
            sys.exit(f"{command[0]}: said {line!r} instead of ready")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"{self.process.args}: ended")
        time.sleep(0.02)  # its threads stop spinning before another process computes
        return [float(a) if a not in ("ok",) else a for a in answer]

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def ours(case, weights=None, **environment):
    sizes = [str(n) for n in CASES[case]]
    command = [os.path.join(ROOT, "build", "bench", "tw_bench"), "train", *sizes, os.path.join(ROOT, "data", "kjv.txt")]
    return Runtime(command + ([weights] if weights else []), **environment)


def pytorch(case, weights, mode, **environment):
    sizes = [str(n) for n in CASES[case]]
    return Runtime([sys.executable, os.path.join(HERE, "peers", "train_gpt.py"), *sizes, os.path.join(ROOT, "data", "kjv.txt"), weights, mode],
                   **environment)


def append(suite, rows):
    path = os.path.join(HERE, "results", suite + ".tsv")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = not os.path.exists(path)
    with open(path, "a", encoding="utf-8") as f:
        if new:
            f.write(COLUMNS + "\n")
        for row in rows:
            f.write("\t".join(str(c) for c in row) + "\n")
            print("  ".join(f"{c:>12}" for c in row), flush=True)


def fma_peak():
    out = subprocess.run([os.path.join(ROOT, "build", "bench", "tw_bench"), "peak"], capture_output=True, text=True, check=True,
                         env=dict(os.environ, TW_THREADS=str(THREADS)))
    return float(out.stdout)


def train_flops(case):
    """Multiply-adds of the products, forward and backward, causal attention counted whole as both sides may compute it; times two."""
    layers, d, _, t, b = CASES[case]
    tokens = b * t
    forward = layers * (12 * d * d * tokens + 2 * b * t * t * d) + 256 * d * tokens
    return 2 * 3 * forward


def medians(runtimes, rounds):
    times = {name: [] for name in runtimes}
    for r in range(rounds):
        for name, runtime in runtimes.items():
            times[name].append(runtime.ask("step")[0])
        print(f"\rround {r + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print("\r\033[K", end="", file=sys.stderr)
    return times


def suite_train(arguments):
    rows = []
    for case in arguments.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            weights = os.path.join(folder, "weights.safetensors")
            runtimes = {"ours": ours(case, weights)}
            for mode in ("foreach", "fused", "compile"):
                runtimes[mode] = pytorch(case, weights, mode)
            for runtime in runtimes.values():
                for _ in range(3):
                    runtime.ask("step")
            peak = fma_peak()
            times = medians(runtimes, arguments.rounds or (41 if case == "gpt4" else 15))
            for runtime in runtimes.values():
                runtime.close()
        mine = statistics.median(times["ours"])
        share = train_flops(case) / (mine * 1e6) / peak
        for mode, label in (("foreach", "torch-eager"), ("fused", "torch-eager-fused-adamw"), ("compile", "torch-compile")):
            peer = statistics.median(times[mode])
            ratio = statistics.median(p / m for p, m in zip(times[mode], times["ours"]))
            rows.append((case, THREADS, label, f"{mine:.2f}", f"{peer:.2f}", f"{ratio:.3f}", f"FMA {peak:.0f} GFLOP/s", f"{share:.3f}"))
    append("train", rows)


def suite_compile(arguments):
    """The first step of the whole training step, cold, and from a warm cache on disk, beside torch.compile's first step."""
    rows = []
    case = "gpt4"
    with tempfile.TemporaryDirectory() as folder:
        weights, cache = os.path.join(folder, "weights.safetensors"), os.path.join(folder, "cache")
        cold, warm = [], []
        for i in range(arguments.rounds or 5):
            for times, directory in ((cold, os.path.join(cache, str(i))), (warm, os.path.join(cache, str(i)))):
                runtime = ours(case, weights, TW_CACHE_DIR=directory)
                first = runtime.ask("step")[0]
                times.append(first - statistics.median(runtime.ask("step")[0] for _ in range(5)))
                runtime.close()
        peer = []
        for i in range(1 if (arguments.rounds or 5) < 5 else 2):
            runtime = pytorch(case, weights, "compile", TORCHINDUCTOR_CACHE_DIR=os.path.join(folder, "inductor" + str(i)))
            first = runtime.ask("step")[0]
            peer.append(first - statistics.median(runtime.ask("step")[0] for _ in range(5)))
            runtime.close()
    theirs = statistics.median(peer)
    for label, times, limit in (("torch-compile (ours cold)", cold, 1500), ("torch-compile (ours from the disk cache)", warm, 200)):
        mine = statistics.median(times)
        rows.append((case, THREADS, label, f"{mine:.1f}", f"{theirs:.1f}", f"{theirs / mine:.1f}", f"goal {limit} ms", f"{mine / limit:.3f}"))
    append("compile", rows)


def suite_record(arguments):
    runtime = Runtime([os.path.join(ROOT, "build", "bench", "tw_bench"), "record"])
    answers = [runtime.ask("step") for _ in range(arguments.rounds or 15)]
    runtime.close()
    out = subprocess.run([sys.executable, os.path.join(HERE, "peers", "record.py")], capture_output=True, text=True, check=True)
    eager, compiled = (float(x) for x in out.stdout.split())
    node, call = (statistics.median(a[i] for a in answers) for i in (0, 1))
    append("record", [
        ("node", THREADS, "torch-eager (an operation)", f"{node * 1e-6:.6f}", f"{eager * 1e-6:.6f}", f"{eager / node:.1f}", "goal 250 ns", f"{node / 250:.3f}"),
        ("call", THREADS, "torch-compile (a call)", f"{call * 1e-6:.6f}", f"{compiled * 1e-6:.6f}", f"{compiled / call:.1f}", "goal 3000 ns",
         f"{call / 3000:.3f}"),
    ])


def suite_memory(arguments):
    """Peak bytes of tensors and temporaries in a step, in MB in the columns of time: compiled beside operation by operation (both ours), each
    operation at its call, as `tw train --compare` has it, and the step recorded first, so that each tensor is freed after its last use."""
    rows = []
    for case in arguments.case or CASES:
        runtime = ours(case)
        peaks = {}
        for tier in ("eager", "operations", "compiled"):
            runtime.ask(tier)
            runtime.ask("step")
            runtime.ask("memory")
            for _ in range(2):
                runtime.ask("step")
            peaks[tier] = runtime.ask("memory")[0] * 1e-6
        runtime.close()
        for tier, name in (("eager", "operation by operation (MB)"), ("operations", "recorded operation by operation (MB)")):
            share = peaks["compiled"] / peaks[tier]
            rows.append((case, THREADS, name, f"{peaks['compiled']:.2f}", f"{peaks[tier]:.2f}", f"{1 / share:.3f}", "goal 0.7", f"{share:.3f}"))
    append("memory", rows)


def suite_loss(arguments):
    """Losses over 100 steps from the same weights and batches."""
    steps = arguments.rounds or 100
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.safetensors")
        runtimes = [ours("gpt4", weights), pytorch("gpt4", weights, "foreach")]
        worst = 0.0
        for step in range(steps):
            a, b = (r.ask("step")[1] for r in runtimes)
            worst = max(worst, abs(a - b))
            if step % 10 == 9 or step == 0:
                print(f"step {step + 1}: ours {a:.6f}, PyTorch {b:.6f}, largest difference so far {worst:.2e}", flush=True)
        for r in runtimes:
            r.close()
    print(f"losses over {steps} steps differ by at most {worst:.2e}: {'within' if worst <= 1e-3 else 'NOT within'} 1e-3")
    return worst <= 1e-3


# (name, sizes, multiply-adds, bytes that must be read, bytes that must be written): what bounds the operation
GEMMS = [("matmul", (m, n, k, b), b * m * n * k, 4 * b * (m + n) * k, 4 * b * m * n)
         for m, n, k, b in ((512, 512, 512, 1), (1024, 1024, 1024, 1), (2048, 2048, 2048, 1), (1000, 1000, 1000, 1), (4096, 64, 4096, 1),
                            (64, 4096, 4096, 1), (96, 64, 64, 96))]
GEMMS += [("matmul-bf16", (n, n, n, 1), n ** 3, 4 * n * n, 2 * n * n) for n in (1024, 2048)]
ARRAY = 4 << 24
ROWS = [(name, (4096, 4096), 0, ARRAY, ARRAY) for name in ("softmax", "layer-norm", "rms-norm", "gelu")]
ROWS += [("cross-entropy", (4096, 4096), 0, ARRAY, 0), ("rotary", (8, 16, 1024, 128), 0, ARRAY, ARRAY)]
HALF = 4 * 12 * 512 * 512 * 64 // 2  # causal: half of each product
ATTENTION = [("attention", (4, 12, 512, 64), 2 * HALF, 0, 0), ("attention-backward", (4, 12, 512, 64), 7 * HALF, 0, 0)]


def bandwidth(reads, writes):
    out = subprocess.run([os.path.join(ROOT, "build", "bench", "tw_operations"), "bandwidth", str(reads), str(writes)], capture_output=True, text=True,
                         check=True, env=dict(os.environ, TW_THREADS=str(THREADS)))
    return float(out.stdout)


def suite_operations(suite, cases, modes):
    """One operation beside PyTorch's; the limit is the larger of the times that its arithmetic and its bytes need at least."""
    def run(arguments):
        rows = []
        for name, sizes, fmas, reads, writes in cases:
            if arguments.case and name not in arguments.case:
                continue
            words = [name, *(str(s) for s in sizes)]
            runtimes = {"ours": Runtime([os.path.join(ROOT, "build", "bench", "tw_operations"), *words])}
            for mode in modes:
                runtimes[mode] = Runtime([sys.executable, os.path.join(HERE, "peers", "operations.py"), mode, *words])
            for runtime in runtimes.values():
                for _ in range(3):
                    runtime.ask("step")
            peak = fma_peak() * (2 if "bf16" in name else 1)
            rate = bandwidth(int(reads > 0), int(writes > 0)) if reads + writes else 1
            times = medians(runtimes, arguments.rounds or 31)
            for runtime in runtimes.values():
                runtime.close()
            mine = statistics.median(times["ours"])
            arithmetic, movement = 2e-6 * fmas / peak, 1e-6 * (reads + writes) / rate
            limit = f"FMA {peak:.0f} GFLOP/s" if arithmetic > movement else f"memory {rate:.1f} GB/s"
            for mode in modes:
                ratio = statistics.median(p / m for p, m in zip(times[mode], times["ours"]))
                rows.append((" ".join(words), THREADS, "torch-" + mode, f"{mine:.3f}", f"{statistics.median(times[mode]):.3f}", f"{ratio:.3f}", limit,
                             f"{max(arithmetic, movement) / mine:.3f}"))
                append(suite, rows[-1:])
    return run


def suite_tile_compile(arguments):
    """Cold: source text to loaded code, nothing cached. peer_ms is what a kernel may take; the last row what a launch costs over its work."""
    tool, env = os.path.join(ROOT, "build", "bench", "tw_tile"), dict(os.environ, TW_CACHE="0", TW_THREADS=str(THREADS))
    out = subprocess.run([tool, "compile", os.path.join(ROOT, "kernels", "list.tsv")], capture_output=True, text=True, check=True, env=env, cwd=ROOT)
    kernels = [line.split("\t") for line in out.stdout.splitlines()]
    rows = [(name, 1, "limit", ms, "150", f"{150 / float(ms):.1f}", "150 ms", f"{float(ms) / 150:.3f}") for name, ms in kernels]
    median = statistics.median(float(ms) for _, ms in kernels)
    rows.append(("median", 1, "limit", f"{median:.2f}", "20", f"{20 / median:.2f}", "20 ms", f"{median / 20:.3f}"))
    ns = float(subprocess.run([tool, "launch"], capture_output=True, text=True, check=True, env=env).stdout.split()[1])
    rows.append(("launch", 1, "limit", f"{ns * 1e-6:.6f}", "0.001", f"{1000 / ns:.1f}", "1 us", f"{ns / 1000:.3f}"))
    append("tile-compile", rows)
    return median <= 20 and ns <= 1000 and all(float(ms) <= 150 for _, ms in kernels)


SUITES = {"train": suite_train, "compile": suite_compile, "record": suite_record, "memory": suite_memory, "loss": suite_loss,
          "gemm": suite_operations("gemm", GEMMS, ["eager"]), "attention": suite_operations("attention", ATTENTION, ["eager"]),
          "memory-bound": suite_operations("memory-bound", ROWS, ["eager", "compile"]), "tile-compile": suite_tile_compile}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="*", choices=[*SUITES, []])
    parser.add_argument("--case", action="append", help="only this model, or operation (may be repeated)")
    parser.add_argument("--rounds", type=int, help="steps of each runtime")
    arguments = parser.parse_args()
    fine = True
    for suite in arguments.suite or SUITES:
        print(f"{suite}: {COLUMNS.split(chr(9))}" if suite != "loss" else "loss:", flush=True)
        fine = SUITES[suite](arguments) is not False and fine
    sys.exit(not fine)


main()
