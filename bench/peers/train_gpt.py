"""The GPT of src/nn/gpt.c in PyTorch: one process that answers "step" with "MS LOSS", so that its steps can be interleaved with ours.

train_gpt.py LAYERS DIM HEADS CONTEXT BATCH DATA WEIGHTS MODE, where MODE is foreach or fused (eager, the kind of AdamW) or compile.
WEIGHTS is a safetensors file with the initial weights, as bench/tw_bench.c writes them."""
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

MASK = (1 << 64) - 1


class Block(torch.nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.ln1 = torch.nn.LayerNorm(d)
        self.qkv = torch.nn.Linear(d, 3 * d)
        self.proj = torch.nn.Linear(d, d)
        self.ln2 = torch.nn.LayerNorm(d)
        self.fc = torch.nn.Linear(d, 4 * d)
        self.out = torch.nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (p.view(b, t, self.heads, d // self.heads).transpose(1, 2) for p in self.qkv(self.ln1(x)).split(d, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.out(F.gelu(self.fc(self.ln2(x))))


class GPT(torch.nn.Module):
    def __init__(self, layers, d, heads, context, vocabulary):
        super().__init__()
        self.wte = torch.nn.Embedding(vocabulary, d)
        self.wpe = torch.nn.Embedding(context, d)
        self.bl = torch.nn.ModuleList(Block(d, heads) for _ in range(layers))
        self.lnf = torch.nn.LayerNorm(d)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.bl:
            x = block(x)
        logits = F.linear(self.lnf(x).view(-1, x.shape[-1]), self.wte.weight)
        return F.cross_entropy(logits, targets.reshape(-1))


class Batches:
    """The same generator (splitmix64) and the same use of it as in tw_bench.c."""

    def __init__(self, path, batch, context):
        self.text = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.uint8).long()
        self.batch, self.context, self.state = batch, context, 1

    def random(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        return z ^ z >> 31

    def take(self):
        t = self.context
        at = [self.random() % (len(self.text) - t - 1) for _ in range(self.batch)]
        return torch.stack([self.text[a:a + t] for a in at]), torch.stack([self.text[a + 1:a + t + 1] for a in at])


def main():
    layers, d, heads, context, batch = map(int, sys.argv[1:6])
    data, weights, mode = sys.argv[6:9]
    torch.set_num_threads(int(__import__("os").environ.get("TW_THREADS", "2")))
    model = GPT(layers, d, heads, context, 256)
    model.load_state_dict(load_file(weights))
    kind = {"fused": True} if mode == "fused" else {"foreach": True}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, **kind)
    batches = Batches(data, batch, context)
    forward = torch.compile(model) if mode == "compile" else model
    print("ready", flush=True)
    for line in sys.stdin:
        if line != "step\n":
            break
        start = time.perf_counter()
        x, y = batches.take()
        loss = forward(x, y)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        value = loss.item()
        print(f"{(time.perf_counter() - start) * 1e3:.6f} {value:.9g}", flush=True)


main()
