#!/usr/bin/env python3
"""Graphs that once came out wrong, beside the reference: regressions.py BUILD/src/tw. A new one is what check_random printed."""
import glob
import os
import subprocess
import sys

SEEDS = 20


def main():
    checks = failed = 0
    for path in sorted(glob.glob(os.path.join(os.path.dirname(__file__), "regressions", "*.ir"))):
        for seed in range(SEEDS):
            done = subprocess.run([sys.argv[1], "run", path, "--compare", "--seed", str(seed)], capture_output=True, text=True)
            checks += 1
            if done.returncode:
                failed += 1
                print(f"{path} --seed {seed}: {done.stdout[-500:]}{done.stderr}")
    print(f"# checks: {checks}")
    sys.exit(failed > 0 or checks == 0)


if __name__ == "__main__":
    main()
