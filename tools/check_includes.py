#!/usr/bin/env python3
"""Checks that includes point one way: a folder of src may use those before it, never one after it."""
import re
import subprocess
import sys

ORDER = ["base", "ir", "ops", "tensor-hooks", "decompose", "autograd", "simplify", "rematerialise", "tile", "schedule", "codegen", "tensor", "runtime",
         "capture", "nn", "optim", "io", "explain", "machine", "cli"]


def main():
    wrong = 0
    for path in subprocess.run(["git", "ls-files", "src"], capture_output=True, text=True, check=True).stdout.split():
        if not path.endswith((".c", ".h")):
            continue
        folder = path.split("/")[1]
        for number, line in enumerate(open(path, encoding="utf-8"), 1):
            m = re.match(r'#include "(\w+)/', line)
            if not m or m.group(1) == "tilewright" or m.group(1) not in ORDER:
                continue
            if ORDER.index(m.group(1)) > ORDER.index(folder):
                print(f"{path}:{number}: {folder} must not include {m.group(1)}: data flows {' -> '.join(ORDER)}")
                wrong += 1
    print(f"includes: {wrong} against the direction")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
