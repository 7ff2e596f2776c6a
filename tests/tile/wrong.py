# Kernels with one mistake each, for `tw tile check`: the comment MISTAKE marks the line that must be named.
import triton
import triton.language as tl


@triton.jit
def wrong_mask(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i <= n)  # MISTAKE
    tl.store(out_ptr + i, x, mask=i < n)


@triton.jit
def race(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    total = tl.load(out_ptr)
    tl.store(out_ptr, total + tl.sum(x))  # MISTAKE


@triton.jit
def never_written(x_ptr, scratch_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=0.0)
    tl.store(scratch_ptr + i, x * 2, mask=mask & (x > 0))
    tl.store(out_ptr + i, tl.load(scratch_ptr + i, mask=mask), mask=mask)  # MISTAKE


@triton.jit
def logarithm(v):
    return tl.sqrt(v)  # MISTAKE


@triton.jit
def first_nan(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=1.0)
    y = logarithm(x)
    z = y * 2 + x
    tl.store(out_ptr + i, z, mask=mask)


# Nothing is wrong here: an accumulation by atomic operations, and one under a lock.
@triton.jit
def atomic_sum(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(out_ptr, tl.sum(tl.load(x_ptr + i, mask=i < n, other=0.0)))


@triton.jit
def locked_sum(x_ptr, out_ptr, lock_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    s = tl.sum(tl.load(x_ptr + i, mask=i < n, other=0.0))
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    tl.store(out_ptr, tl.load(out_ptr) + s)
    tl.atomic_xchg(lock_ptr, 0)
