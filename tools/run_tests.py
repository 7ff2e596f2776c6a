#!/usr/bin/env python3
"""Runs every test program of a build folder, two at a time, and counts: cmocka cases and the checks that programs say they made."""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys


def run(path):
    environment = dict(os.environ, TW_VERIFY="1", TW_CACHE=os.environ.get("TW_CACHE", "0"))
    try:
        done = subprocess.run([path], capture_output=True, text=True, errors="replace", timeout=900, env=environment)
        return path, done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as e:
        return path, -1, f"no end after {e.timeout} s"


def main():
    programs = sorted(glob.glob(os.path.join(sys.argv[1], "tests", "test_*")))
    programs = [p for p in programs if os.access(p, os.X_OK) and os.path.isfile(p)]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, code, text in pool.map(run, programs):
            cases = len(re.findall(r"^\[       OK \]", text, re.M))
            bad = len(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)))
            checks = sum(int(n) for n in re.findall(r"^# checks: (\d+)", text, re.M))
            if code != 0 and bad == 0:
                bad = 1
            passed += cases + checks
            failed += bad
            print(f"{os.path.basename(path):32} {cases:4} cases {checks:6} checks {'FAILED' if bad else 'ok'}", flush=True)
            if bad:
                print(text[-6000:])
    if not programs:
        print("no test programs found")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
