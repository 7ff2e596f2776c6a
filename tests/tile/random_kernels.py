#!/usr/bin/env python3
"""random_kernels.py TW [COUNT [SEED]]: random well-typed kernels in Triton's interpreter and in `tw tile run`.
random_kernels.py TW --both COUNT [SEED]: many more of them, interpreted and compiled, which must give the same bits.

A kernel loads integers and floats, computes with branches, loops, helpers, reductions and scans, and stores everything
that it holds. Integers must be equal, floats near. Kernel i of seed S is kernel 0 of seed S + i; what differs is printed
as a file that can be run by hand."""
import os
import random
import subprocess
import sys
import tempfile

os.environ["TRITON_INTERPRET"] = "1"
import numpy as np  # noqa: E402
import torch  # noqa: E402

B, PROGRAMS = 64, 3  # several vectors of any machine
HEAD = "import triton\nimport triton.language as tl\n\n\n"
HELPERS = '''@triton.jit
def choose(a, b, KIND: tl.constexpr):
    if KIND == 0:
        return tl.minimum(a, b)
    elif KIND == 1:
        return tl.where(a > b, a, b + 1)
    return a - b


@triton.jit
def both(a, b):
    return a + b, a * 2 - b


@triton.jit
def early(s, limit):
    if s > limit:
        return s - limit
    if s % 2 == 0:
        return s + 7
    return s


@triton.jit
def keep_larger(a, b):
    return tl.maximum(a, b)


'''


class Writer:
    """Writes one kernel; knows the dtype of every variable: tiles "i" (int32), "l" (int64), "f" (float32), scalars "s"."""

    def __init__(self, seed):
        self.r, self.lines, self.count = random.Random(seed), [], 0
        self.vars = {"x": "i", "y": "i", "z": "l", "u": "f", "v": "f", "pid": "s", "n": "s", "t": "s"}

    def of(self, kind):
        return self.r.choice([k for k, t in self.vars.items() if t == kind])

    def number(self, kind):
        return repr(round(self.r.uniform(-4, 4), 2)) if kind == "f" else str(self.r.randint(-9, 9))

    def leaf(self, kind):
        return self.of(kind) if self.r.random() < 0.8 else self.number(kind)

    def integer(self, kind, depth):
        e, r = self.expression, self.r
        choice = r.randrange(14 if depth > 0 else 1)
        a = lambda: e(kind, depth - 1)  # noqa: E731
        tile = lambda: self.of(kind)  # noqa: E731
        return [lambda: self.leaf(kind), lambda: f"({a()} + {a()})", lambda: f"({a()} - {a()})", lambda: f"({a()} * {self.leaf(kind)})", lambda: f"({tile()} & {a()})",
                lambda: f"({tile()} | {a()})", lambda: f"({tile()} ^ {a()})", lambda: f"({tile()} >> {r.randint(0, 9)})", lambda: f"({tile()} << {r.randint(0, 3)})",
                lambda: f"({tile()} // ({tile()} | 1))" if kind != "s" else f"({tile()} // {r.randint(1, 5)})", lambda: f"({tile()} % {r.randint(1, 9)})", lambda: f"(-{tile()})",
                lambda: f"(~{tile()})", lambda: f"tl.{r.choice(['minimum', 'maximum'])}({tile()}, {a()})"][choice]()

    def floating(self, depth):
        r = self.r
        a = lambda: self.expression("f", depth - 1)  # noqa: E731
        t = lambda: self.of("f")  # noqa: E731
        choice = r.randrange(10 if depth > 0 else 1)
        return [lambda: self.leaf("f"), lambda: f"({a()} + {a()})", lambda: f"({a()} - {a()})", lambda: f"({a()} * {self.leaf('f')})", lambda: f"({t()} / ({t()} * {t()} + 1.0))",
                lambda: f"tl.exp(-tl.abs({t()}))", lambda: f"tl.sqrt(tl.abs({t()}))", lambda: f"({self.of('i')} % 8).to(tl.float32)", lambda: f"tl.where({self.condition()}, {t()}, {a()})",
                lambda: f"tl.clamp({t()}, -2.0, 2.0)"][choice]()

    def condition(self):
        kind = self.r.choice("if")
        op = self.r.choice(["<", "<=", ">", ">=", "==", "!="]) if kind == "i" else self.r.choice(["<", ">"])
        c = f"({self.of(kind)} {op} {self.leaf(kind)})"
        return f"({c} & ({self.of('i')} > {self.number('i')}))" if self.r.random() < 0.2 else c

    def expression(self, kind, depth):
        return self.floating(depth) if kind == "f" else self.integer(kind, depth)

    def say(self, indent, text):
        self.lines.append("    " * indent + text)

    def new(self, kind):
        name = f"{kind}{self.count}"
        self.count += 1
        self.vars[name] = kind
        return name

    def across(self, kind):
        """A tile from what lies along it: bound to one dtype again."""
        t, r = self.of(kind), self.r
        dtype = {"i": "tl.int32", "l": "tl.int64", "f": "tl.float32"}[kind]
        return r.choice([f"(tl.sum({t}, 0) + {t}).to({dtype})", f"tl.cumsum({t} % 64 if {kind != 'f'} else {t}, 0).to({dtype})", f"({t} - tl.max({t}, 0)).to({dtype})", f"tl.flip({t})",
                         f"tl.sort({t})", f"tl.reshape(tl.trans(tl.reshape({t}, (4, {B // 4}))), ({B},))", f"tl.sum({t}[:, None] + {self.of(kind)}[None, :], 1).to({dtype})",
                         f"({t} + tl.reduce({t}, 0, keep_larger)).to({dtype})", f"tl.associative_scan({t}, 0, keep_larger)", f"tl.gather({t}, {self.of('i')} & {B - 1}, 0)"])

    def assign(self, indent, depth=2):
        kind = self.r.choice("iiilffs")
        old = [k for k, t in self.vars.items() if t == kind and k not in ("pid", "n")]
        choice = self.r.random()
        if kind in "if" and choice < 0.25:
            value = self.across(kind)
        elif kind == "i" and choice < 0.4:
            value = f"choose({self.of('i')}, {self.expression('i', 1)}, {self.r.randrange(3)})"
        elif kind == "s" and choice < 0.4:
            value = f"early({self.of('s')}, {self.r.randint(-5, 20)})"
        elif kind == "s" and choice < 0.6:
            value = f"tl.sum({self.of('i')} % 16, 0)"
        elif kind == "l":
            value = f"({self.expression('l', depth)}).to(tl.int64)" if self.r.random() < 0.5 else f"{self.of('i')}.to(tl.int64) + {self.of('l')}"
        else:
            value = self.expression(kind, depth)
        zero = f"{self.of(kind)} * 0"  # so that it is never a bare number
        target = self.new(kind) if indent == 1 and self.r.random() < 0.5 else self.r.choice(old)
        self.say(indent, f"{target} = ({value}) + {zero}")

    def memory(self, indent):
        """Writes and reads of what this instance has for itself, in another order each time."""
        r = self.r
        kind = r.choice("iiff" + "l")
        pointer = r.choice({"i": ["x_ptr", "y_ptr"], "l": ["z_ptr"], "f": ["u_ptr", "v_ptr"]}[kind])
        lanes = r.choice(["tl.arange(0, B)"] * 3 + [f"{B - 1} - tl.arange(0, B)", "(tl.arange(0, B) ^ 1)", f"tl.arange(0, B) * 5 % {B}", f"(tl.arange(0, B) + {r.randint(1, 9)}) % {B}"])
        at = "i" if lanes == "tl.arange(0, B)" and r.random() < 0.7 else f"pid * B + {lanes}"
        mask = f", mask={self.condition()}" if r.random() < 0.3 else ""
        if r.random() < 0.5:
            self.say(indent, f"tl.store({pointer} + {at}, {self.expression(kind, 1)}{mask})")
            return
        old = [k for k, t in self.vars.items() if t == kind]
        target = self.new(kind) if indent == 1 and r.random() < 0.5 else r.choice(old)
        self.say(indent, f"{target} = tl.load({pointer} + {at}{mask}{', other=' + self.number(kind) if mask else ''})")

    def statement(self, indent):
        choice = self.r.random()
        if choice < 0.2:
            self.memory(indent)
        elif choice < 0.6 or indent > 3:
            self.assign(indent)
        elif choice < 0.7:
            a, b = self.of("i"), self.of("i")
            if a not in "xy" and b not in "xy" and a != b:
                self.say(indent, f"{a}, {b} = both({a}, {b})")
            else:
                self.assign(indent)
        elif choice < 0.85:
            self.say(indent, f"if {self.of('s')} {self.r.choice(['<', '>', '=='])} {self.leaf('s')}:")
            self.block(indent + 1)
            if self.r.random() < 0.6:
                self.say(indent, "else:")
                self.block(indent + 1)
        elif choice < 0.95:
            step = self.r.choice([1, 2, -1, 3])
            bounds = f"0, {self.of('s')} % 5" if step > 0 else f"{self.of('s')} % 5, -1"
            self.say(indent, f"for k{indent} in {self.r.choice(['range', 'tl.range'])}({bounds}, {step}):")
            self.say(indent + 1, f"{self.sink('i')} += k{indent}")
            self.block(indent + 1)
        else:
            self.say(indent, f"for k{indent} in tl.static_range({self.r.randint(0, 3)}):")
            self.block(indent + 1)

    def sink(self, kind):
        return self.r.choice([k for k, t in self.vars.items() if t == kind])

    def block(self, indent):
        for _ in range(self.r.randint(1, 3)):
            self.statement(indent)

    def kernel(self):
        self.say(0, "@triton.jit")
        self.say(0, "def kernel(x_ptr, y_ptr, z_ptr, u_ptr, v_ptr, int_ptr, long_ptr, float_ptr, n, B: tl.constexpr):")
        for text in ("pid = tl.program_id(0)", "i = pid * B + tl.arange(0, B)", "x = tl.load(x_ptr + i)", "y = tl.load(y_ptr + i)", "z = tl.load(z_ptr + i)", "u = tl.load(u_ptr + i)",
                     "v = tl.load(v_ptr + i)", "t = pid * 3 + 1"):
            self.say(1, text)
        for _ in range(self.r.randint(4, 14)):
            self.statement(1)
        out = {"i": [], "l": [], "f": []}
        for name, kind in self.vars.items():
            out["l" if kind == "s" else kind].append(name)
        for kind, pointer in (("i", "int_ptr"), ("l", "long_ptr"), ("f", "float_ptr")):
            for k, name in enumerate(out[kind]):
                self.say(1, f"tl.store({pointer} + ({k} * tl.num_programs(0) + pid) * B + tl.arange(0, B), {name})")
        return "\n".join(self.lines) + "\n", {k: len(v) for k, v in out.items()}


def inputs(seed, counts):
    g = np.random.default_rng(seed)
    n = B * PROGRAMS
    big = lambda t, low, high: g.integers(low, high, n).astype(t)  # noqa: E731
    return dict(x_ptr=big(np.int32, -100, 100), y_ptr=big(np.int32, -2**31, 2**31), z_ptr=big(np.int64, -2**40, 2**40), u_ptr=g.standard_normal(n).astype(np.float32),
                v_ptr=g.standard_normal(n).astype(np.float32), int_ptr=np.zeros(counts["i"] * n, np.int32), long_ptr=np.zeros(counts["l"] * n, np.int64),
                float_ptr=np.zeros(counts["f"] * n, np.float32))


def ours(tw, path, args, folder, *way):
    command = [tw, "tile", "run", path, *way, "--kernel", "kernel", "--grid", str(PROGRAMS), "--arg", "n=11", "--const", f"B={B}"]
    for name, value in args.items():
        np.save(f"{folder}/{name}.npy", value)
        command += ["--arg", f"{name}={folder}/{name}.npy:{folder}/{name}.out.npy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        return done.stderr
    return {n: np.load(f"{folder}/{n}.out.npy") for n in ("int_ptr", "long_ptr", "float_ptr")}


def theirs(path, args):
    space = {}
    exec(compile(open(path, encoding="utf-8").read(), path, "exec"), space)
    tensors = {n: torch.from_numpy(v.copy()) for n, v in args.items()}
    space["kernel"][(PROGRAMS,)](**tensors, n=11, B=B)
    return {n: tensors[n].numpy() for n in ("int_ptr", "long_ptr", "float_ptr")}


def differs(want, got):
    if isinstance(got, str):
        return got
    for n in want:
        a, b = want[n], got[n]
        near = np.abs(a.astype(np.float64) - b) <= 2e-4 * np.maximum(np.abs(a), 1) if n == "float_ptr" else a == b
        bad = ~(near | (a == b) | ((a != a) & (b != b)))
        if bad.any():
            at = int(np.argmax(bad))
            return f"{n}[{at}] is {b[at]}, expected {a[at]}"
    return ""


def write_file(path, count, seed):
    with open(path, "w", encoding="utf-8") as f:
        f.write(HEAD + HELPERS)
        for s in range(seed, seed + count):
            f.write(Writer(s).kernel()[0].replace("def kernel(", f"def kernel_{s}(") + "\n\n")


def compare_both_ways(tw, count, seed):
    program = os.path.join(os.path.dirname(tw), "..", "tests", "tile", "two_ways")
    with tempfile.TemporaryDirectory() as folder:
        for first in range(seed, seed + count, 500):
            write_file(f"{folder}/kernels.py", min(500, seed + count - first), first)
            code = subprocess.run([program, f"{folder}/kernels.py"]).returncode
            if code:
                return code
    return 0


def main():
    if len(sys.argv) > 2 and sys.argv[2] == "--both":
        sys.exit(compare_both_ways(os.path.abspath(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1))
    tw, count, seed = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 120, int(sys.argv[3]) if len(sys.argv) > 3 else 1
    failed = skipped = 0
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as folder:
        for s in range(seed, seed + count):
            text, counts = Writer(s).kernel()
            path = f"{folder}/kernel_{s}.py"
            open(path, "w", encoding="utf-8").write(HEAD + HELPERS + text)
            args = inputs(s, counts)
            try:
                want = theirs(path, args)
            except Exception as e:
                skipped += 1
                print(f"seed {s}: Triton refuses: {str(e)[:200]}", file=sys.stderr)
                continue
            message = differs(want, ours(tw, path, args, folder)) or differs(want, ours(tw, path, args, folder, "--interpret"))
            if message:
                failed += 1
                print(f"seed {s}: {message}\n{text}")
    print(f"# checks: {count - failed - skipped}")
    print(f"{count} random kernels, {failed} differ, {skipped} not compared")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
