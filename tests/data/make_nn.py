#!/usr/bin/env python3
"""Writes nn.safetensors: what PyTorch's layers, optimisers and schedules give, computed in f64 from the f32 numbers in the file.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 numpy safetensors && venv/bin/python tests/data/make_nn.py

Names: LAYER.NAME operands and parameters, LAYER.want.NAME results, LAYER.grad.NAME gradients of sum(result * LAYER.weigh);
optim.PARAMETER the start, optim.STEP.PARAMETER gradients (none: absent), OPTIMISER.STEP.PARAMETER the parameter after the step.
"""
import pathlib

import torch
import torch.nn as nn
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
torch.manual_seed(2)
out = {}


def put(name, value):
    value = value.detach()
    out[name] = (value.float() if value.is_floating_point() else value).contiguous().clone()


def random(name, *shape, scale=1.0):
    x = torch.randn(shape) * scale
    put(name, x)
    return x.double().requires_grad_(True)


def layer(name, y, **leaves):
    """The result, and the gradients of what it is made from."""
    weigh = random(f"{name}.weigh", *y.shape).detach()
    put(f"{name}.want", y)
    for leaf, gradient in zip(leaves, torch.autograd.grad((y * weigh).sum(), list(leaves.values()))):
        put(f"{name}.grad.{leaf}", gradient)


def simple_layers():
    x, w, b = random("linear.x", 2, 3, 6), random("linear.weight", 4, 6), random("linear.bias", 4)
    layer("linear", nn.functional.linear(x, w, b), x=x, weight=w, bias=b)
    x, w, b = random("layer_norm.x", 2, 3, 6), random("layer_norm.weight", 6), random("layer_norm.bias", 6)
    layer("layer_norm", nn.functional.layer_norm(x, (6,), w, b, 1e-5), x=x, weight=w, bias=b)
    x, w = random("rms_norm.x", 2, 3, 6), random("rms_norm.weight", 6)
    norm = nn.RMSNorm(6, eps=torch.finfo(torch.float32).eps, dtype=torch.float64)
    norm.weight = nn.Parameter(w.detach())
    layer("rms_norm", norm(x), x=x, weight=norm.weight)
    w, index = random("embedding.weight", 7, 4), torch.randint(0, 7, (2, 5))
    put("embedding.index", index)
    layer("embedding", nn.functional.embedding(index, w), weight=w)


def attention():
    batch, time, dim, heads = 2, 5, 12, 3
    x = random("attention.x", batch, time, dim)
    names = {"in_proj_weight": "qkv.weight", "in_proj_bias": "qkv.bias", "out_proj.weight": "proj.weight", "out_proj.bias": "proj.bias"}
    module = nn.MultiheadAttention(dim, heads, batch_first=True, dtype=torch.float64)
    module.load_state_dict({k: random(f"attention.{n}", *module.get_parameter(k).shape, scale=0.4) for k, n in names.items()})
    leaves = {"x": x, **{n: module.get_parameter(k) for k, n in names.items()}}
    sees = torch.rand(time, time) > 0.4
    sees[:, 0] = True
    scores = random("attention.scores", batch, 1, time, time).detach()
    put("attention.sees", sees)
    later = torch.ones(time, time).triu(1).bool()
    for name, hidden in {"plain": None, "causal": later, "sees": ~sees, "both": ~sees | later,
                         "scores": scores.expand(batch, heads, time, time).reshape(batch * heads, time, time)}.items():
        y, _ = module(x, x, x, attn_mask=hidden, need_weights=False)
        layer(f"attention.{name}", y, **leaves)
    sees = sees.clone()
    sees[2] = False  # a row that sees nothing
    put("attention.blind", sees)
    layer("attention.blind", module(x, x, x, attn_mask=~sees, need_weights=False)[0], **leaves)
    other, part = random("attention.other", batch, 3, dim), sees[:, :3]
    put("attention.part", part)
    layer("attention.cross", module(x, other, other, need_weights=False)[0], other=other, **leaves)
    layer("attention.partial", module(x, other, other, attn_mask=~part, need_weights=False)[0], other=other, **leaves)


OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "decayed": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, weight_decay=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.2, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.05),
    "coupled": lambda p: torch.optim.Adam(p, 0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, betas=(0.9, 0.95), weight_decay=0.1),
}


def optimisers():
    start = {"a": random("optim.a", 3, 5), "b": random("optim.b", 4)}
    steps = [{k: random(f"optim.{t}.{k}", *v.shape).detach() for k, v in start.items() if (t, k) not in ((0, "b"), (3, "b"))} for t in range(6)]
    for name, make in OPTIMISERS.items():
        parameters = {k: nn.Parameter(v.detach().clone()) for k, v in start.items()}
        optimiser = make(list(parameters.values()))
        for t, gradients in enumerate(steps):
            for k, p in parameters.items():
                p.grad = gradients[k].clone() if k in gradients else None
            optimiser.step()
            for k, p in parameters.items():
                put(f"{name}.{t}.{k}", p)
    for limit in (0.5, 100.0):
        parameters = [nn.Parameter(v.detach().clone()) for v in start.values()]
        for p, g in zip(parameters, steps[1].values()):
            p.grad = g.clone()
        put(f"clip.{limit:g}.norm", nn.utils.clip_grad_norm_(parameters, limit))
        for k, p in zip(start, parameters):
            put(f"clip.{limit:g}.{k}", p.grad)
            p.grad = steps[1][k].clone()
        nn.utils.clip_grad_value_(parameters, limit)
        for k, p in zip(start, parameters):
            put(f"clip_value.{limit:g}.{k}", p.grad)


def schedules():
    made = {
        "warmup": lambda o: torch.optim.lr_scheduler.LinearLR(o, 1 / 5, 1.0, 4),
        "linear": lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, 10),
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10, 0.1),
        "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        "steps": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    }
    for name, make in made.items():
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
        schedule, factors = make(optimiser), []
        for _ in range(11):
            factors.append(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
        put(f"schedule.{name}", torch.tensor(factors))


for part in (simple_layers, attention, optimisers, schedules):
    part()
save_file(out, HERE / "nn.safetensors")
print(f"{len(out)} tensors, {(HERE / 'nn.safetensors').stat().st_size} bytes")
