#!/usr/bin/env python3
"""fuzz_seeds.py TW NAME FOLDER: small valid inputs that a fuzzer may begin with, written by nothing of ours where the format is another's."""
import glob
import json
import re
import struct
import subprocess
import sys


def ir(tw):
    for path in glob.glob("tests/random/regressions/*.ir"):
        with open(path, encoding="utf-8") as f:
            yield f.read().encode()
    for path in glob.glob("tests/passes/*.txt"):
        with open(path, encoding="utf-8") as f:
            for graph in re.findall(r"(?:^%.*\n)+output.*\n", f.read(), re.M):
                yield graph.encode()
    for kernel, constants, types in (("add", ["BLOCK=64"], ("x_ptr:*f32", "y_ptr:*f32", "out_ptr:*f32", "n:i32")),
                          ("softmax", ["BLOCK=64", "num_stages=1"], ("out_ptr:*f32", "in_ptr:*f32", "in_stride:i32", "out_stride:i32", "n_rows:i32", "n_cols:i32"))):
        command = [tw, "tile", "compile", "tests/tile/kernels.py", "--kernel", kernel, "--emit", "tile"] + [w for c in constants for w in ("--const", c)]
        yield b"!" + subprocess.run(command + [w for t in types for w in ("--arg", t)], capture_output=True, check=True).stdout


def npy(_):
    for version, length in ((1, "<H"), (2, "<I"), (3, "<I")):
        for code, size, shape, fortran in (("<f4", 4, (2, 3), False), ("|b1", 1, (), False), ("<i8", 8, (0, 5), True), ("<f2", 2, (2, 2, 2), True), ("|u1", 1, (7,), False)):
            header = f"{{'descr': '{code}', 'fortran_order': {fortran}, 'shape': {shape}, }}".ljust(80).encode() + b"\n"
            count = 1
            for n in shape:
                count *= n
            yield b"\x93NUMPY" + bytes([version, 0]) + struct.pack(length, len(header)) + header + bytes(range(count * size))


def safetensors(_):
    for entries in ({}, {"a": ("F32", [2, 3], 24)}, {"a": ("BF16", [4], 8), "b.c": ("I64", [], 8), "empty": ("U8", [0, 3], 0)}, {"x": ("F8_E4M3", [3], 3)},
                    {"__metadata__": {"format": "pt"}, "y": ("BOOL", [1, 2], 2), "z": ("F16", [1], 2), "w": ("F64", [1], 8), "v": ("I32", [1], 4)}):
        header, at = {}, 0
        for name, e in entries.items():
            if name == "__metadata__":
                header[name] = e
                continue
            header[name] = {"dtype": e[0], "shape": e[1], "data_offsets": [at, at + e[2]]}
            at += e[2]
        text = json.dumps(header).encode()
        yield struct.pack("<Q", len(text)) + text + bytes(at)


def main():
    tw, name, folder = sys.argv[1:]
    for i, content in enumerate({"ir": ir, "npy": npy, "safetensors": safetensors}.get(name, lambda _: ())(tw)):
        with open(f"{folder}/seed{i}", "wb") as f:
            f.write(content)


if __name__ == "__main__":
    main()
