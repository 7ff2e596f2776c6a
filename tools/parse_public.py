#!/usr/bin/env python3
"""Parses the kernels of public projects with `tw tile parse`.

    parse_public.py TW FOLDER...              every .py file below each folder that mentions triton
    parse_public.py TW --download INTO        liger-kernel, fla-core, xformers, torchao, unsloth from the package index

Prints a line for each project, then the reasons of what fails. Not part of make test: it needs the network."""
import collections
import os
import subprocess
import sys
import zipfile

PACKAGES = ["liger-kernel", "fla-core", "xformers", "torchao", "unsloth"]


def download(into):
    folders = []
    for package in PACKAGES:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", os.path.join(into, "wheels"), package], check=True)
    for wheel in sorted(os.listdir(os.path.join(into, "wheels"))):
        folder = os.path.join(into, wheel.split("-")[0])
        with zipfile.ZipFile(os.path.join(into, "wheels", wheel)) as z:
            for name in z.namelist():
                if name.endswith(".py"):
                    z.extract(name, folder)
        folders.append(folder)
    return folders


def sources(folder):
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(root, name)
            if name.endswith(".py") and b"triton" in open(path, "rb").read():
                yield path


def main():
    tw, rest = sys.argv[1], sys.argv[2:]
    folders = download(rest[1]) if rest[0] == "--download" else rest
    reasons, total = collections.Counter(), [0, 0]
    for folder in folders:
        done = subprocess.run([tw, "tile", "parse", *sources(folder)], capture_output=True, text=True)
        lines = [line.split("\t") for line in done.stdout.split("\n") if "\t" in line]
        bad = [line for line in lines if line[0] == "error"]
        for line in bad:
            reasons[f"{line[3]} ({line[1]}, {line[2]})"] += 1
        total[0] += len(lines) - len(bad)
        total[1] += len(bad)
        print(f"{os.path.basename(folder.rstrip('/')):24} {len(lines) - len(bad):5} ok {len(bad):4} failed")
    print(f"{'all':24} {total[0]:5} ok {total[1]:4} failed: {100 * total[0] / max(sum(total), 1):.2f} %")
    for reason, count in reasons.most_common():
        print(f"{count:5} {reason}")


if __name__ == "__main__":
    main()
