"""PyTorch's side of the suites gemm, attention and memory-bound: operations.py MODE NAME SIZE..., as bench/operations.c.

MODE: eager or compile. "step" on standard input runs the operation once and answers with milliseconds."""
import sys
import time

import torch
import torch.nn.functional as F

torch.manual_seed(1)


def matmul(dtype):
    def make(m, n, k, batch):
        a, b = torch.randn(batch, m, k).to(dtype), torch.randn(batch, k, n).to(dtype)
        if batch == 1:
            a, b = a[0], b[0]
        return lambda: a @ b
    return make


def rows(run):
    def make(n, m):
        x, weight, bias, target = torch.randn(n, m), torch.randn(m), torch.randn(m), torch.randint(0, m, (n,))
        return lambda: run(x, weight, bias, target)
    return make


def rotary(b, h, t, d):
    x, cos, sin = torch.randn(b, h, t, d), torch.randn(t, d), torch.randn(t, d)
    return lambda: x * cos + torch.cat((-x[..., d // 2:], x[..., : d // 2]), -1) * sin


def attention(b, h, t, d):
    q, k, v = (torch.randn(b, h, t, d) for _ in range(3))
    return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)


def attention_backward(b, h, t, d):
    q, k, v = (torch.randn(b, h, t, d, requires_grad=True) for _ in range(3))

    def run():
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return torch.autograd.grad(y, (q, k, v), q.detach())
    return run


CASES = {
    "matmul": matmul(torch.float32),
    "matmul-bf16": matmul(torch.bfloat16),
    "softmax": rows(lambda x, w, b, t: torch.softmax(x, -1)),
    "layer-norm": rows(lambda x, w, b, t: F.layer_norm(x, x.shape[1:], w, b)),
    "rms-norm": rows(lambda x, w, b, t: F.rms_norm(x, x.shape[1:], w, 1e-5)),
    "gelu": rows(lambda x, w, b, t: F.gelu(x)),
    "cross-entropy": rows(lambda x, w, b, t: F.cross_entropy(x, t)),
    "rotary": rotary,
    "attention": attention,
    "attention-backward": attention_backward,
}


def main():
    mode, name, *sizes = sys.argv[1:]
    run = CASES[name](*(int(s) for s in sizes))
    if mode == "compile":
        run = torch.compile(run)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        if "backward" in name:
            run()
        else:
            with torch.no_grad():
                run()
        print((time.perf_counter() - start) * 1e3, flush=True)


main()
