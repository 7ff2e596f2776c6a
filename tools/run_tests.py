#!/usr/bin/env python3
"""run_tests.py BUILD [PROGRAM...]: runs every test of a build folder, or the programs named (FOLDER/test_NAME), two at a time, and counts:
cmocka cases and the checks that programs say they made."""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys


# Programs with arguments or settings, beside every test_* that is found.
WITH_ARGUMENTS = [["random/check_random", "--graphs", "500", "--what", what]
                  for what in ("simplify", "compiled", "inplace", "gradients", "again", "bits")]
WITH_ARGUMENTS += [["TW_CHECK=1", "schedule/test_fusion"],
                   ["TW_CHECK=1", "random/check_random", "--graphs", "500", "--seed", "10000", "--what", "inplace"],
                   ["TW_CHECK=1", "random/check_random", "--graphs", "500", "--seed", "20000", "--what", "gradients"]]
WITH_ARGUMENTS += [["TW_BACKEND=interpreter", p] for p in ("schedule/test_fusion", "tile/test_kernel", "tensor/test_tensor", "autograd/test_derivatives")]
WITH_ARGUMENTS += [["TW_BACKEND=interpreter", "random/check_random", "--graphs", "500", "--seed", "30000", "--what", what]
                   for what in ("compiled", "inplace", "gradients")]
WITH_ARGUMENTS += [["tile/replay", "--mutants", "1500", "tests/tile/kernels.py", "src/tile/lang/prelude.py"]]

# Scripts of the virtual environment for tests; the program tw is their first argument.
SCRIPTS = [["tests/docs/documents.py"], ["tests/docs/commands.py"], ["tests/docs/install.py"], ["tests/cli/behaviour.py"], ["tests/random/regressions.py"],
           ["tests/docs/excerpts.py"], ["tests/codegen/backends.py"], ["tests/faults/cache.py"],
           ["tests/tile/against_triton.py"], ["tests/tile/random_kernels.py", "100"], ["tests/tile/random_kernels.py", "--both", "1000", "5000"],
           ["tests/tile/command_line.py"], ["tests/tile/library_kernels.py"]]
PYTHON = ".venv-tests/bin/python"


def run(command):
    settings = [w for w in command if re.match(r"TW_\w+=", w)]
    environment = dict(os.environ, TW_VERIFY="1", TW_CACHE=os.environ.get("TW_CACHE", "0"), **dict(s.split("=") for s in settings))
    try:
        done = subprocess.run(command[len(settings):], capture_output=True, text=True, errors="replace", timeout=900, env=environment)
        return command, done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as e:
        return command, -1, f"no end after {e.timeout} s"


def main():
    tests = os.path.join(sys.argv[1], "tests")
    programs = sorted(glob.glob(os.path.join(tests, "**", "test_*"), recursive=True))
    programs = [[p] for p in programs if os.access(p, os.X_OK) and os.path.isfile(p)]
    programs += [[w if "=" in w or "/" not in w or w.endswith(".py") else os.path.join(tests, w) for w in c] for c in WITH_ARGUMENTS]
    programs = [[PYTHON, s[0], os.path.join(sys.argv[1], "src", "tw")] + s[1:] for s in SCRIPTS] + programs
    if sys.argv[2:]:
        programs = [[os.path.join(tests, name)] for name in sys.argv[2:]]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for command, code, text in pool.map(run, programs):
            words = command[1:2] if command[0] == PYTHON else command
            name = " ".join(os.path.relpath(w, tests) if w.startswith(tests) else w for w in words)
            cases = len(re.findall(r"^\[       OK \]", text, re.M))
            bad = len(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)))
            checks = sum(int(n) for n in re.findall(r"^# checks: (\d+)", text, re.M))
            if code != 0 and bad == 0:
                bad = 1
            passed += cases + checks
            failed += bad
            print(f"{name:44} {cases:4} cases {checks:6} checks {'FAILED' if bad else 'ok'}", flush=True)
            if bad:
                print(text[-6000:])
    if not programs:
        print("no test programs found")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
