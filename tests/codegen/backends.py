#!/usr/bin/env python3
"""One training run on every back end: the same lines, and the same bits in the checkpoint.

    backends.py BUILD/src/tw

Weights, both moments of AdamW and the generator's state are in the checkpoint, so any bit that differs in any kernel shows."""
import os
import re
import subprocess
import sys
import tempfile

TRAIN = ["train", "--data", "data/kjv.txt", "--layers", "2", "--dim", "32", "--heads", "2", "--context", "16", "--batch", "2", "--steps", "6",
         "--dropout", "0.1"]


def train(tw, backend, folder):
    path = os.path.join(folder, backend)
    environment = dict(os.environ, TW_BACKEND=backend, TW_CACHE="0")
    done = subprocess.run([tw] + TRAIN + ["--checkpoint", path], capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode:
        return done.stderr, b""
    with open(path, "rb") as f:
        return re.findall(r"step \S+ +loss \S+", done.stdout), f.read()


def main():
    tw = sys.argv[1]
    named = re.search(r"back end: \S+ \(TW_BACKEND\), of (.*)", subprocess.run([tw, "devices"], capture_output=True, text=True).stdout)
    backends = named.group(1).split(", ") if named else []
    failed = len(backends) < 2
    with tempfile.TemporaryDirectory() as folder:
        runs = {b: train(tw, b, folder) for b in backends}
    for b, run in runs.items():
        if run != runs[backends[0]] or not run[1]:
            print(f"back end {b}: {run[0]}, {len(run[1])} bytes; expected those of {backends[0]}: {runs[backends[0]][0]}")
            failed = True
    unknown = subprocess.run([tw, "run", "-"], input="%0 = input : f32[3]\n%1 = exp %0 : f32[3]\noutput %1\n", capture_output=True, text=True,
                             env=dict(os.environ, TW_BACKEND="none"))
    if not unknown.returncode or "expected one of: host, interpreter" not in unknown.stderr:
        print(f"an unknown back end: status {unknown.returncode}: {unknown.stderr}")
        failed = True
    print(f"# checks: {len(runs) + 1}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
