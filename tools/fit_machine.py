#!/usr/bin/env python3
"""Fits constants of the machine model on the rows marked 'fit' of data/machine/validation.tsv, never on others.

fit_machine.py STAGE... prints the constants as lines of a description. Each stage names its rows and its constants; a
constant belongs to a chip family, a link or a software generation, none to a single row or source. The search is plain:
one constant at a time, up and down, steps shrinking; the loss is the mean of |log(predicted / measured)|, cut at 0.6 so
that a row that went wrong in its own way does not pull."""
import argparse
import collections
import csv
import math
import os
import subprocess
import tempfile

A100 = ("A100-SXM-80GB", "A100-SXM-40GB", "A100-PCIe-80GB")
HOPPER = ("H100-SXM-80GB", "H200-SXM-141GB", "GH200")
BLACKWELL = ("B200-SXM", "GB200", "B300-SXM", "GB300")
KERNELS = ("gemm", "op", "mem")


def kernels(*chips):
    return lambda r: r["kind"] in KERNELS and r["hw"] in chips


def large_collectives(*chips):
    return lambda r: r["kind"] == "collective" and r["hw"] in chips and "bytes=" in r["shape"]


def train(*chips):
    return lambda r: r["kind"] == "train" and r["hw"] in chips


def experts(r):
    return bool(r["ep"]) and float(r["ep"]) > 1


def infer(*chips):
    return lambda r: r["kind"] == "infer" and r["hw"] in chips


def fit(family, *keys):
    return [f"fit.{family}.{k}" for k in keys]


STAGES = {
    "ampere-kernels": (kernels(*A100), fit("ampere", "mma_16", "k_half", "wave", "stream", "norm", "row", "softmax", "gap", "ramp", "call_gemm",
                                           "call_pointwise", "call_norm", "call_softmax", "cache")),
    "hopper-kernels": (kernels(*HOPPER), fit("hopper", "mma_16", "mma_8", "k_half", "wave", "stream", "gap")),
    "blackwell-kernels": (kernels(*BLACKWELL), fit("blackwell", "mma_16", "mma_8")),
    "cdna-kernels": (kernels("MI210"), fit("cdna", "mma_16", "k_half", "wave", "stream", "norm", "row", "softmax", "gap", "ramp", "call_gemm",
                                           "call_pointwise", "call_norm", "call_softmax", "cache")),
    "cdna3-kernels": (kernels("MI300X", "MI325X", "MI355X"), fit("cdna3", "mma_16")),
    "gaudi-kernels": (kernels("Gaudi2", "Gaudi3"), fit("gaudi", "mma_16", "mma_8")),
    "norms": (lambda r: r["kind"] == "op" and "norm" in r["id"].lower(), fit("ampere", "norm", "row", "call_norm") +
              fit("cdna", "norm", "row", "call_norm")),
    "nvlink3": (lambda r: large_collectives(*A100)(r) or (r["id"].startswith("ft-") and 1 < float(r["tp"]) <= 8),
                [f"link.NVLink3.{k}" for k in ("alpha", "achieved", "fill", "fill_half")]),
    "nvlink4": (large_collectives(*HOPPER), [f"link.NVLink4.{k}" for k in ("alpha", "achieved", "achieved_reduced", "fill", "fill_half")]),
    "nvlink5": (lambda r: large_collectives(*BLACKWELL)(r) and float(r["n_dev"]) <= 8,
                [f"link.NVLink5.{k}" for k in ("alpha", "achieved", "achieved_reduced", "fill", "fill_half")]),
    "ib-4": (lambda r: r["kind"] == "collective" and float(r["n_dev"]) > 8 and int(r["shape"].split("bytes=")[1]) >= 1 << 20,
             [f"link.IB-NDR|XDR.{k}" for k in ("alpha", "achieved", "fill", "fill_half")]),
    "engine-classic": (lambda r: r["kind"] == "infer" and r["model"] == "gpt",
                       [f"software.engine-classic.{k}" for k in ("traffic", "cache_read", "pass_overhead")]),
    "ib-2": (lambda r: r["kind"] in ("train", "infer") and r["hw"] in A100 and bool(r["n_dev"]) and float(r["n_dev"]) > 8,
             [f"link.IB-EDR|HDR.{k}" for k in ("alpha", "fill", "fill_half")]),
    "ampere-train": (train(*A100), fit("ampere", "sustained", "backward", "attention_forward", "attention_backward") +
                     [f"software.classic.{k}" for k in ("traffic", "accumulate_bytes", "gradient_bytes", "interference")] +
                     [f"software.modern.{k}" for k in ("gather_hidden", "data_hidden", "interference", "accumulate_bytes", "traffic",
                                                       "step_overhead")]),
    "hopper-train": (lambda r: train(*HOPPER)(r) and not experts(r),
                     fit("hopper", "sustained", "sustained_8", "backward", "attention_forward", "attention_backward") +
                     [f"software.current.{k}" for k in ("traffic", "accumulate_bytes", "tensor_hidden")]),
    "blackwell-train": (lambda r: train(*BLACKWELL)(r) and not experts(r), fit("blackwell", "sustained_8", "mma_4")),
    "eager-ampere": (lambda r: r["metric"] == "prompt_time" and r["hw"] in A100, ["software.classic|modern|current|eager.call", "software.eager.prompt_calls", "software.eager.traffic"]),
    "eager-hopper": (lambda r: r["metric"] == "prompt_time" and r["hw"] in HOPPER,
                     ["chip.Xeon-8480C.speed"] + fit("hopper", "power_exponent")),
    "engine": (lambda r: r["kind"] == "infer" and r["metric"] != "prompt_time" and r["model"] != "gpt",
               [f"software.engine.{k}" for k in ("traffic", "cache_read", "pass_overhead")]),
    "engine-blackwell": (lambda r: infer(*BLACKWELL)(r), fit("blackwell", "cache_read")),
    "experts": (lambda r: r["kind"] == "train" and experts(r),
                [f"software.current.{k}" for k in ("expert_rate", "expert_passes", "expert_calls", "expert_hidden", "mixer_rate", "host_norm")]),
}


def spelled_out(path):
    """A constant of several items at once: link.IB-EDR|HDR.achieved, software.classic|modern.call."""
    kind, rest = path.split(".", 1)
    name, key = rest.rsplit(".", 1)
    first, *more = name.split("|")
    shared = first[:first.index("-") + 1] if "-" in first else ""
    return [f"{kind}.{n}.{key}" for n in [first] + [shared + m for m in more]]


class Model:
    def __init__(self, program, rows):
        self.program, self.calls = program, 0
        self.folder = tempfile.TemporaryDirectory()
        self.input = os.path.join(self.folder.name, "rows.tsv")
        self.output = os.path.join(self.folder.name, "out.tsv")
        with open(self.input, "w", encoding="utf-8", newline="") as f:
            w = csv.DictWriter(f, rows[0].keys(), delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
            w.writeheader()
            w.writerows(rows)

    def predict(self, values, units):
        self.calls += 1
        command = [self.program, "plan", "validate", self.input, "--quiet", "--tsv", self.output]
        for path, v in values.items():
            for one in spelled_out(path):
                command += ["--set", f"{one}={v:.6g}{units[path]}"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with open(self.output, encoding="utf-8") as f:
            return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def source(r):
    return r["id"].split("-")[0]


def loss(rows, second=False):
    """Sources with many rows weigh more than those with few, but as their root."""
    total = count = 0
    size = collections.Counter(source(r) for r in rows)
    for r in rows:
        weight = size[source(r)] ** -0.5
        pairs = [("measured", "predicted")] + ([("measured2", "predicted2")] if second else [])
        for m, p in pairs:
            m, p = float(r[m]), float(r[p])
            if m > 0 and p > 0 and math.isfinite(p):
                total += weight * min(abs(math.log(p / m)), 0.6)
                count += weight
    return total / max(count, 1e-9)


def starting_values(program, paths, settings):
    """What the descriptions say now, with units."""
    values, units = {}, {}
    for path in paths:
        kind, rest = spelled_out(path)[0].split(".", 1)
        name, key = rest.rsplit(".", 1)
        given = settings.get(path)
        while given is None:
            text = subprocess.run([program, "machine", "show", name], capture_output=True, text=True, check=True).stdout
            inside, parent = False, None
            for line in text.splitlines():
                words = line.split()
                if line.startswith(f"[{kind} ") or line.startswith(f" like [{kind} "):
                    inside = True
                elif line.startswith("["):
                    inside = False
                if inside and words and words[0] == key:
                    given = line[21:46].strip()
                    break
            if given is None:
                raise SystemExit(f"no value stands for {path}")
        number, _, unit = given.partition(" ")
        values[path], units[path] = float(number), (" " + unit) if unit else ""
    return values, units


def descend(model, values, units, rounds, second):
    best = loss(model.predict(values, units), second)
    step = {p: 0.15 for p in values}
    print(f"# start {100 * best:.2f} %", flush=True)
    for _ in range(rounds):
        for p in values:
            for factor in (1 + step[p], 1 / (1 + step[p])):
                trial = dict(values)
                trial[p] = values[p] * factor if values[p] else 0.01
                try:
                    new = loss(model.predict(trial, units), second)
                except subprocess.CalledProcessError:
                    continue  # out of its range
                if new < best - 1e-7:
                    best, values = new, trial
                    step[p] = min(step[p] * 1.3, 0.5)
                    break
            else:
                step[p] *= 0.5
        if max(step.values()) < 0.003:
            break
    print(f"# end   {100 * best:.2f} % after {model.calls} evaluations", flush=True)
    return values


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("stage", nargs="+", choices=sorted(STAGES))
    p.add_argument("--program", default="build/tw")
    p.add_argument("--data", default="data/machine/validation.tsv")
    p.add_argument("--rounds", type=int, default=12)
    p.add_argument("--second", action="store_true", help="second metrics count too")
    a = p.parse_args()
    with open(a.data, encoding="utf-8") as f:
        rows = [r for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE) if r["split"] == "fit"]
    for name in a.stage:
        select, paths = STAGES[name]
        chosen = [r for r in rows if select(r)]
        values, units = starting_values(a.program, paths, {})
        print(f"# {name}: {len(chosen)} rows")
        values = descend(Model(a.program, chosen), values, units, a.rounds, a.second)
        for path, v in values.items():
            for one in spelled_out(path):
                print(f"{one} = {v:.4g}{units[path]}")


if __name__ == "__main__":
    main()
