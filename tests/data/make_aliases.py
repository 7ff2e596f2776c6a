#!/usr/bin/env python3
"""Writes aliases.txt: random programs of views and changes in place, and what PyTorch makes of them; and prints.txt: how it prints.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 numpy && venv/bin/python tests/data/make_aliases.py

A program is one statement a line; tests/tensor/test_aliases.c runs it:
    new 0 3,4             tensor 0: f64, shape 3,4, element i is i mod 7 - 3 (in row-major order); `leaf 0 3,4`: it requires gradients
    VIEW 2 1 ...          tensor 2 is a view of tensor 1 (or a copy where a reshape must)
    OP_ 1 2               tensor 1 changes in place (add_, mul_, assign: by tensor 2; fill_: by a number)
    OP 3 1 2              tensor 3 is a new tensor
    strides 2 offset s0,s1 ...   what PyTorch says
    look 2 v0 v1 ...      its elements
    grad 0 v0 v1 ...      of the sum of the squares of the last tensor, with respect to leaf 0
    error                 the statement before must fail
"""
import pathlib
import random

import torch

HERE = pathlib.Path(__file__).resolve().parent
random.seed(3)


def fill(shape):
    n = 1
    for s in shape:
        n *= s
    return ((torch.arange(n, dtype=torch.float64) % 7) - 3).reshape(shape)


def text(t):
    return " ".join(f"{v:.17g}" for v in t.detach().reshape(-1).tolist())


def comma(values):
    return ",".join(str(v) for v in values) or "-"


def fits(shape, into):
    return len(shape) <= len(into) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(into)))


class Program:
    def __init__(self, number, tracked):
        self.lines, self.tensors, self.tracked = [f"program {number}"], [], tracked
        self.copies = set()  # their layout is PyTorch's affair: we make them row-major
        shape = [random.choice([1, 2, 3, 4, 5]) for _ in range(random.randint(1, 3))]
        x = fill(shape)
        if tracked:
            x.requires_grad_(True)
            self.leaf = x
            self.lines.append(f"leaf 0 {comma(shape)}")
            self.tensors.append(x)
            self.lines.append("clone 1 0")
            self.tensors.append(x.clone())
        else:
            self.lines.append(f"new 0 {comma(shape)}")
            self.tensors.append(x)

    def new(self, line, t):
        self.lines.append(f"{line.split()[0]} {len(self.tensors)} {' '.join(line.split()[1:])}")
        self.tensors.append(t)
        source = line.split()[1] if len(line.split()) > 1 else ""
        if line.split()[0] in ("exp", "mul", "clone") or (source.isdigit() and int(source) in self.copies):
            self.copies.add(len(self.tensors) - 1)

    def view(self):
        first = 1 if self.tracked else 0
        i = random.randrange(first, len(self.tensors))
        x = self.tensors[i]
        kind = random.choice(["slice", "permute", "transpose", "select", "narrow", "reshape", "unsqueeze", "squeeze", "expand", "flatten", "diagonal"])
        if kind == "slice" and x.dim():
            starts, sizes, steps = [], [], []
            for n in x.shape:
                step = random.choice([1, 1, 1, 2])
                start = random.randrange(0, n)
                size = random.randint(1, (n - start + step - 1) // step)
                starts.append(start), sizes.append(size), steps.append(step)
            y = x[tuple(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, sizes, steps))]
            self.new(f"slice {i} {comma(starts)} {comma(sizes)} {comma(steps)}", y)
        elif kind == "permute" and x.dim() > 1:
            axes = list(range(x.dim()))
            random.shuffle(axes)
            self.new(f"permute {i} {comma(axes)}", x.permute(axes))
        elif kind == "transpose" and x.dim() > 1:
            a, b = random.randrange(x.dim()), random.randrange(-x.dim(), x.dim())
            self.new(f"transpose {i} {a} {b}", x.transpose(a, b))
        elif kind == "select" and x.dim():
            a = random.randrange(x.dim())
            at = random.randrange(-x.shape[a], x.shape[a])
            self.new(f"select {i} {a} {at}", x.select(a, at))
        elif kind == "narrow" and x.dim():
            a = random.randrange(x.dim())
            start = random.randrange(x.shape[a])
            size = random.randint(1, x.shape[a] - start)
            self.new(f"narrow {i} {a} {start} {size}", x.narrow(a, start, size))
        elif kind == "reshape":
            shape = list(x.shape)
            if len(shape) > 1 and random.random() < 0.5:
                k = random.randrange(len(shape) - 1)
                shape[k:k + 2] = [shape[k] * shape[k + 1]]
            elif shape and max(shape) == 4:
                k = shape.index(4)
                shape[k:k + 1] = [2, 2]
            else:
                shape = [1] + shape
            self.new(f"reshape {i} {comma(shape)}", x.reshape(shape))
        elif kind == "unsqueeze" and x.dim() < 5:
            a = random.randrange(-x.dim() - 1, x.dim() + 1)
            self.new(f"unsqueeze {i} {a}", x.unsqueeze(a))
        elif kind == "squeeze" and x.dim():
            a = random.randrange(x.dim())
            self.new(f"squeeze {i} {a}", x.squeeze(a))
        elif kind == "expand" and x.dim() < 5 and random.random() < 0.5:
            shape = [2] + [3 if n == 1 else n for n in x.shape]
            self.new(f"expand {i} {comma(shape)}", x.expand(shape))
        elif kind == "flatten" and x.dim() > 1:
            self.new(f"flatten {i} 0 {x.dim() - 1}", x.flatten())
        elif kind == "diagonal" and x.dim() == 2:
            self.new(f"diagonal {i}", x.diagonal())

    def in_place(self):
        i = random.randrange(1 if self.tracked else 0, len(self.tensors))
        x = self.tensors[i]
        kind = random.choice(["add_", "mul_", "assign", "fill_", "tanh_", "neg_"])
        others = [j for j, y in enumerate(self.tensors) if fits(y.shape, x.shape)]
        before = len(self.lines)
        try:
            if kind == "fill_":
                v = random.randint(-2, 2)
                self.lines.append(f"fill_ {i} {v}")
                x.fill_(v)
            elif kind in ("tanh_", "neg_"):
                self.lines.append(f"{kind} {i}")
                getattr(x, kind)()
            else:
                j = random.choice(others)
                self.lines.append(f"{kind} {i} {j}")
                value = self.tensors[j].clone()  # PyTorch refuses or reads half-written memory where they overlap; values are read first here
                {"add_": x.add_, "mul_": x.mul_, "assign": x.copy_}[kind](value)
        except (RuntimeError, IndexError) as e:
            if "single memory location" in str(e) or "expanded" in str(e):
                self.lines.append("error")
            else:
                del self.lines[before:]
        except ValueError:
            del self.lines[before:]

    def pointwise(self):
        i = random.randrange(len(self.tensors))
        x = self.tensors[i]
        kind = random.choice(["exp", "mul", "clone", "sum"])
        if kind == "exp":
            self.new(f"exp {i}", (x * 0.25).exp())
        elif kind == "mul":
            self.new(f"mul {i} {i}", x * x)
        elif kind == "clone":
            self.new(f"clone {i}", x.clone())
        else:
            self.new(f"sum {i}", x.sum())

    def look(self):
        i = random.randrange(len(self.tensors))
        x = self.tensors[i]
        self.lines.append(f"look {i} {text(x)}")
        if x.numel() > 1 and not self.tracked and i not in self.copies:
            self.lines.append(f"strides {i} {x.storage_offset()} {comma(x.stride())}")

    def finish(self):
        for i, x in enumerate(self.tensors):
            self.lines.append(f"look {i} {text(x)}")
        if not self.tracked:
            return True
        last = self.tensors[-1]
        try:
            if last.requires_grad:
                (last * last).sum().backward()
                self.lines.append(f"grad 0 {text(self.leaf.grad)}")
        except RuntimeError:
            pass  # PyTorch goes back also through content that was written over, and finds its saved results changed; we don't
        return True


def program(number, tracked):
    p = Program(number, tracked)
    for _ in range(random.randint(4, 14)):
        random.choice([p.view, p.view, p.in_place, p.in_place, p.pointwise, p.look])()
        if max(t.numel() for t in p.tensors) > 400 or any(not torch.isfinite(t).all() or t.abs().max() > 1e6 for t in p.tensors if t.numel()):
            return None
    return p.lines if p.finish() else None


def aliases():
    out, number = [], 0
    while number < 400:
        lines = program(number, number % 2 == 1)
        if lines:
            out += lines
            number += 1
    (HERE / "aliases.txt").write_text("\n".join(out) + "\n")


def prints():
    """dtype, shape, values (or a range), then PyTorch's text; our names of dtypes."""
    names = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32",
             torch.uint8: "u8", torch.bool: "bool"}
    inf, nan = float("inf"), float("nan")
    lists = [[1.0, 2.0, 3.0], [0.5, -1.25, 100.0], [1e-5, 1.0], [1e9, 2.0], [12345.678, 0.001], [inf, -inf, nan, 1.0], [inf, 1.5], [0.0, -0.0], [1e-30],
             [3.0], [123456789.0], [0.1, 0.22, 0.333, -4.4444, 5.55555], [nan], [1000.5, 1.0], [1001.5, 1.0], [99999999.0], [100000001.0]]
    cases = [torch.tensor(v, dtype=d) for v in lists for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    cases += [torch.tensor(v[0], dtype=torch.float32) for v in lists]
    for d in names:
        for shape in [(), (0,), (2, 0), (1,), (7,), (30,), (3, 4), (2, 3, 4), (1001,), (40, 40), (8, 9, 20), (2, 2, 2, 30), (7, 200)]:
            n = 1
            for s in shape:
                n *= s
            x = (torch.arange(n) * 37 % 251)
            x = x % 2 if d == torch.bool else x - 100 if d in (torch.int32, torch.int64) else x
            x = x.to(d).reshape(shape)
            cases += [x] + ([x / 8] if d.is_floating_point else [])
    out = []
    for x in cases:
        # PyTorch's own layout, with our names of dtypes
        suffixes = [f"size=({', '.join(str(n) for n in x.shape)})"] if x.numel() == 0 and x.dim() != 1 else []
        if x.dtype != torch.float32 and (x.numel() == 0 or x.dtype not in (torch.int64, torch.bool)):
            suffixes.append(f"dtype={names[x.dtype]}")
        printed = torch._tensor_str._add_suffixes("tensor(" + (torch._tensor_str._tensor_str(x, 7) if x.numel() else "[]"), suffixes, 7, False)
        if printed.replace(f"dtype={names[x.dtype]}", f"dtype={x.dtype}").split() != str(x).split():
            raise ValueError(f"{printed}\nis not\n{x}")
        out.append(f"{names[x.dtype]} {comma(x.shape)} {text(x.double())}".rstrip())
        out += ["  " + line for line in printed.split("\n")]
    (HERE / "prints.txt").write_text("\n".join(out) + "\n")


aliases()
prints()
