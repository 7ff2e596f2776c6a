# Kernels for the tests, written in the tile language as its users write it. Each runs in Triton's interpreter and in
# ours; cases.py says on what.
import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2E = tl.constexpr(1.4426950408889634)


# ---- element by element

@triton.jit
def add(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) + tl.load(y_ptr + offsets, mask=mask), mask=mask)


@triton.jit
def integers(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=1)
    y = tl.load(y_ptr + i, mask=mask, other=1)
    r = x + y * 3 - (x & y) + (x | y) - (x ^ y) + (x >> 2) + (y << 1)
    r += tl.where(x > y, x // (y | 1), x % (y | 1))
    r = tl.maximum(r, tl.minimum(x, y)) - (~x)
    tl.store(out_ptr + i, r, mask=mask)


@triton.jit
def divisions(x_ptr, y_ptr, quotient_ptr, rest_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=1)
    y = tl.load(y_ptr + i, mask=mask, other=1)
    tl.store(quotient_ptr + i, x // y, mask=mask)
    tl.store(rest_ptr + i, x % y, mask=mask)


@triton.jit
def functions(x_ptr, out_ptr, n, WHICH: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=0.5)
    if WHICH == "exp":
        y = tl.exp(x)
    elif WHICH == "exp2":
        y = tl.exp2(x)
    elif WHICH == "log":
        y = tl.log(tl.abs(x) + 0.25)
    elif WHICH == "log2":
        y = tl.log2(tl.abs(x) + 0.25)
    elif WHICH == "sin":
        y = tl.sin(x)
    elif WHICH == "cos":
        y = tl.cos(x)
    elif WHICH == "sqrt":
        y = tl.sqrt(tl.abs(x))
    elif WHICH == "rsqrt":
        y = tl.rsqrt(tl.abs(x) + 0.25)
    elif WHICH == "erf":
        y = tl.erf(x)
    elif WHICH == "sigmoid":
        y = tl.sigmoid(x)
    elif WHICH == "floor":
        y = tl.floor(x * 3) - tl.ceil(x * 5)
    elif WHICH == "fma":
        y = tl.fma(x, x, x)
    elif WHICH == "clamp":
        y = tl.clamp(x, -0.5, 0.75)
    else:
        tl.static_assert(WHICH == "power")
        y = x * x * x / (1.0 + x * x)
    tl.store(out_ptr + i, y, mask=mask)


@triton.jit
def conversions(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask)
    tl.store(out_ptr + i, x.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def promotion(f_ptr, i_ptr, out_ptr, n, scale, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    f = tl.load(f_ptr + i, mask=mask, other=0)
    k = tl.load(i_ptr + i, mask=mask, other=0)
    y = f * 2 + k
    y = y + (k / 4) * scale
    y += tl.where(k > 3, 1, f)
    y -= 0.5 if n > 100 else 0.25
    tl.store(out_ptr + i, y.to(tl.float32), mask=mask)


@triton.jit
def activation(x, KIND: tl.constexpr):
    if KIND == "relu":
        return tl.maximum(x, 0.0)
    elif KIND == "leaky":
        return tl.where(x >= 0, x, 0.01 * x)
    elif KIND == "gelu":
        return 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    else:
        return x


@triton.jit
def swiglu(a_ptr, b_ptr, c_ptr, stride, n_cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    a_ptr += row * stride
    b_ptr += row * stride
    c_ptr += row * stride
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    a = tl.load(a_ptr + cols, mask=mask, other=0).to(tl.float32)
    b = tl.load(b_ptr + cols, mask=mask, other=0)
    tl.store(c_ptr + cols, (a * tl.sigmoid(a)).to(b.dtype) * b, mask=mask)


@triton.jit
def swiglu_backward(dc_ptr, a_ptr, b_ptr, stride, n_cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    dc = tl.load(dc_ptr + row * stride + cols, mask=mask, other=0)
    a = tl.load(a_ptr + row * stride + cols, mask=mask, other=0).to(tl.float32)
    b = tl.load(b_ptr + row * stride + cols, mask=mask, other=0)
    s = tl.sigmoid(a)
    silu = a * s
    tl.store(a_ptr + row * stride + cols, dc * (silu * (1 - s) + s) * b, mask=mask)
    tl.store(b_ptr + row * stride + cols, dc * silu, mask=mask)


@triton.jit
def dropout(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    keep = tl.rand(seed, offsets) > p
    tl.store(out_ptr + offsets, tl.where(keep, x / (1 - p), 0.0), mask=mask)


@triton.jit
def random_integers(out_ptr, seed, n, WHICH: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a, b, c, d = tl.randint4x(seed, offsets)
    if WHICH == 0:
        r = a
    elif WHICH == 1:
        r = b
    elif WHICH == 2:
        r = c
    else:
        r = d
    tl.store(out_ptr + offsets, r, mask=offsets < n)


@triton.jit
def random_words(out_ptr, seed, n, BLOCK: tl.constexpr):
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    zero = i * 0
    a, b, c, d = tl.philox(seed, i, zero, zero, zero)
    tl.store(out_ptr + i, a ^ b ^ c ^ d, mask=i < n)


@triton.jit
def random_floats(out_ptr, seed, n, NORMAL: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    r = tl.randn(seed, offsets) if NORMAL else tl.rand(seed, offsets)
    tl.store(out_ptr + offsets, r, mask=offsets < n)


# ---- rows

@triton.jit
def softmax(out_ptr, in_ptr, in_stride, out_stride, n_rows, n_cols, BLOCK: tl.constexpr, num_stages: tl.constexpr):
    first = tl.program_id(0)
    step = tl.num_programs(0)
    for row in tl.range(first, n_rows, step, num_stages=num_stages):
        cols = tl.arange(0, BLOCK)
        mask = cols < n_cols
        x = tl.load(in_ptr + row * in_stride + cols, mask=mask, other=-float("inf"))
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(out_ptr + row * out_stride + cols, e / tl.sum(e, axis=0), mask=mask)


@triton.jit
def layer_norm(X, Y, W, B, Mean, Rstd, stride, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    Y += row * stride
    X += row * stride
    mean = 0
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for off in range(0, N, BLOCK):
        cols = off + tl.arange(0, BLOCK)
        total += tl.load(X + cols, mask=cols < N, other=0.).to(tl.float32)
    mean = tl.sum(total, axis=0) / N
    spread = tl.zeros([BLOCK], dtype=tl.float32)
    for off in range(0, N, BLOCK):
        cols = off + tl.arange(0, BLOCK)
        x = tl.load(X + cols, mask=cols < N, other=0.).to(tl.float32)
        x = tl.where(cols < N, x - mean, 0.)
        spread += x * x
    rstd = 1 / tl.sqrt(tl.sum(spread, axis=0) / N + eps)
    tl.store(Mean + row, mean)
    tl.store(Rstd + row, rstd)
    for off in range(0, N, BLOCK):
        cols = off + tl.arange(0, BLOCK)
        mask = cols < N
        w = tl.load(W + cols, mask=mask)
        b = tl.load(B + cols, mask=mask)
        x = tl.load(X + cols, mask=mask, other=0.).to(tl.float32)
        tl.store(Y + cols, (x - mean) * rstd * w + b, mask=mask)


# Partial sums of dw and db under a lock: groups of rows share one.
@triton.jit
def layer_norm_backward(DX, DY, DW, DB, X, W, Mean, Rstd, Lock, stride, N, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < N
    lock_id = row % GROUPS
    Lock += lock_id
    Count = Lock + GROUPS
    DW = DW + lock_id * N + cols
    DB = DB + lock_id * N + cols
    x = tl.load(X + row * stride + cols, mask=mask, other=0).to(tl.float32)
    dy = tl.load(DY + row * stride + cols, mask=mask, other=0).to(tl.float32)
    w = tl.load(W + cols, mask=mask).to(tl.float32)
    mean = tl.load(Mean + row)
    rstd = tl.load(Rstd + row)
    xhat = tl.where(mask, (x - mean) * rstd, 0.)
    wdy = tl.where(mask, w * dy, 0.)
    c1 = tl.sum(xhat * wdy, axis=0) / N
    c2 = tl.sum(wdy, axis=0) / N
    tl.store(DX + row * stride + cols, (wdy - (xhat * c1 + c2)) * rstd, mask=mask)
    partial_dw = (dy * xhat).to(w.dtype)
    partial_db = dy.to(w.dtype)
    while tl.atomic_cas(Lock, 0, 1) == 1:
        pass
    count = tl.load(Count)
    if count == 0:
        tl.atomic_xchg(Count, 1)
    else:
        partial_dw += tl.load(DW, mask=mask)
        partial_db += tl.load(DB, mask=mask)
    tl.store(DW, partial_dw, mask=mask)
    tl.store(DB, partial_db, mask=mask)
    tl.debug_barrier()
    tl.atomic_xchg(Lock, 0)


@triton.jit
def rms_norm(X, Y, W, stride, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < N
    x = tl.load(X + row * stride + cols, mask=mask, other=0.).to(tl.float32)
    w = tl.load(W + cols, mask=mask, other=0.).to(tl.float32)
    y = x * tl.rsqrt(tl.sum(x * x, 0) / N + eps) * w
    tl.store(Y + row * stride + cols, y.to(Y.dtype.element_ty), mask=mask)


@triton.jit
def group_norm(X, Y, W, B, channels, spatial, eps, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    batch = tl.program_id(0)
    group = tl.program_id(1)
    per_group = channels // GROUPS
    size = per_group * spatial
    base = (batch * channels + group * per_group) * spatial
    total = 0.0
    squares = 0.0
    for off in range(0, size, BLOCK):
        i = off + tl.arange(0, BLOCK)
        x = tl.load(X + base + i, mask=i < size, other=0.).to(tl.float32)
        total += tl.sum(x)
        squares += tl.sum(x * x)
    mean = total / size
    rstd = 1.0 / tl.sqrt(squares / size - mean * mean + eps)
    for c in tl.range(per_group):
        channel = group * per_group + c
        w = tl.load(W + channel)
        b = tl.load(B + channel)
        for off in range(0, spatial, BLOCK):
            i = off + tl.arange(0, BLOCK)
            mask = i < spatial
            x = tl.load(X + base + c * spatial + i, mask=mask, other=mean).to(tl.float32)
            tl.store(Y + base + c * spatial + i, (x - mean) * rstd * w + b, mask=mask)


@triton.jit
def cross_entropy(X, stride, Y, Loss, n_cols, ignore_index, smoothing, BLOCK: tl.constexpr, HAS_SMOOTHING: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(Y + row)
    X += row * stride
    if y == ignore_index:
        for i in range(0, n_cols, BLOCK):
            offsets = i + tl.arange(0, BLOCK)
            tl.store(X + offsets, 0.0, mask=offsets < n_cols)
        return
    m = float("-inf")
    d = 0.0
    total = 0.0
    chosen = tl.load(X + y).to(tl.float32)
    for i in range(0, n_cols, BLOCK):
        offsets = i + tl.arange(0, BLOCK)
        x = tl.load(X + offsets, mask=offsets < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.max(x)
        if HAS_SMOOTHING:
            total += tl.sum(tl.where(offsets < n_cols, x, 0.0))
        m_new = tl.maximum(m, largest)
        d = d * tl.exp(m - m_new) + tl.sum(tl.exp(x - m_new))
        m = m_new
    lse = m + tl.log(d)
    loss = lse - chosen
    if HAS_SMOOTHING:
        loss = loss * (1 - smoothing) + smoothing * (lse - total / n_cols)
    for i in range(0, n_cols, BLOCK):
        offsets = i + tl.arange(0, BLOCK)
        x = tl.load(X + offsets, mask=offsets < n_cols, other=float("-inf")).to(tl.float32)
        g = tl.exp(x - m) / d
        if HAS_SMOOTHING:
            g -= smoothing / n_cols
            g = tl.where(offsets == y, g - (1 - smoothing), g)
        else:
            g = tl.where(offsets == y, g - 1.0, g)
        tl.store(X + offsets, g, mask=offsets < n_cols)
    tl.store(Loss + row, loss)


@triton.jit
def rotary(q_ptr, cos_ptr, sin_ptr, stride, heads: tl.constexpr, half: tl.constexpr, BACKWARD: tl.constexpr):
    pid = tl.program_id(0)
    h = tl.arange(0, heads)
    d = tl.arange(0, half)
    cos = tl.load(cos_ptr + pid * half + d)[None, :]
    sin = tl.load(sin_ptr + pid * half + d)[None, :]
    if BACKWARD:
        sin = -sin
    first = q_ptr + pid * stride + h[:, None] * (2 * half) + d[None, :]
    a = tl.load(first)
    b = tl.load(first + half)
    tl.store(first, a * cos - b * sin)
    tl.store(first + half, b * cos + a * sin)


# ---- products

@triton.jit
def matmul(a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
           BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
           ACTIVATION: tl.constexpr):
    pid = tl.program_id(axis=0)
    num_pid_m = tl.cdiv(M, BLOCK_M)
    num_pid_n = tl.cdiv(N, BLOCK_N)
    in_group = GROUP_M * num_pid_n
    group = pid // in_group
    first_m = group * GROUP_M
    size_m = min(num_pid_m - first_m, GROUP_M)
    pid_m = first_m + ((pid % in_group) % size_m)
    pid_n = (pid % in_group) // size_m
    offs_m = (pid_m * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    offs_n = (pid_n * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    offs_k = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + (offs_m[:, None] * stride_am + offs_k[None, :] * stride_ak)
    b_ptrs = b_ptr + (offs_k[:, None] * stride_bk + offs_n[None, :] * stride_bn)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BLOCK_K)):
        a = tl.load(a_ptrs, mask=offs_k[None, :] < K - k * BLOCK_K, other=0.0)
        b = tl.load(b_ptrs, mask=offs_k[:, None] < K - k * BLOCK_K, other=0.0)
        acc = tl.dot(a, b, acc)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * stride_bk
    c = activation(acc, ACTIVATION).to(c_ptr.dtype.element_ty)
    cm = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    cn = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    tl.store(c_ptr + stride_cm * cm[:, None] + stride_cn * cn[None, :], c, mask=(cm[:, None] < M) & (cn[None, :] < N))


@triton.jit
def matmul_block_pointers(a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_bk, stride_cm, BLOCK_M: tl.constexpr,
                          BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    pid_m = tl.program_id(0)
    pid_n = tl.program_id(1)
    a = tl.make_block_ptr(base=a_ptr, shape=(M, K), strides=(stride_am, 1), offsets=(pid_m * BLOCK_M, 0),
                          block_shape=(BLOCK_M, BLOCK_K), order=(1, 0))
    b = tl.make_block_ptr(base=b_ptr, shape=(K, N), strides=(stride_bk, 1), offsets=(0, pid_n * BLOCK_N),
                          block_shape=(BLOCK_K, BLOCK_N), order=(1, 0))
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(0, K, BLOCK_K):
        acc += tl.dot(tl.load(a, boundary_check=(0, 1), padding_option="zero"),
                      tl.load(b, boundary_check=(0, 1), padding_option="zero"))
        a = tl.advance(a, (0, BLOCK_K))
        b = tl.advance(b, (BLOCK_K, 0))
    c = tl.make_block_ptr(base=c_ptr, shape=(M, N), strides=(stride_cm, 1), offsets=(pid_m * BLOCK_M, pid_n * BLOCK_N),
                          block_shape=(BLOCK_M, BLOCK_N), order=(1, 0))
    tl.store(c, acc.to(c_ptr.dtype.element_ty), boundary_check=(0, 1))


@triton.jit
def matmul_descriptors(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
                       BLOCK_K: tl.constexpr):
    pid_m = tl.program_id(0)
    pid_n = tl.program_id(1)
    a = tl.make_tensor_descriptor(a_ptr, shape=[M, K], strides=[K, 1], block_shape=[BLOCK_M, BLOCK_K])
    b = tl.make_tensor_descriptor(b_ptr, shape=[N, K], strides=[K, 1], block_shape=[BLOCK_N, BLOCK_K])
    c = tl.make_tensor_descriptor(c_ptr, shape=[M, N], strides=[N, 1], block_shape=[BLOCK_M, BLOCK_N])
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        x = a.load([pid_m * BLOCK_M, k * BLOCK_K])
        y = b.load([pid_n * BLOCK_N, k * BLOCK_K])
        acc = tl.dot(x, y.T, acc)
    c.store([pid_m * BLOCK_M, pid_n * BLOCK_N], acc.to(c_ptr.dtype.element_ty))


@triton.jit
def matmul_int8(a_ptr, b_ptr, scale_ptr, c_ptr, M, N, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
                BLOCK_K: tl.constexpr, RAW: tl.constexpr):
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.int32)
    for i in range(0, K, BLOCK_K):
        a = tl.load(a_ptr + m[:, None] * K + (i + k)[None, :], mask=(m[:, None] < M) & ((i + k)[None, :] < K), other=0)
        b = tl.load(b_ptr + (i + k)[:, None] * N + n[None, :], mask=(n[None, :] < N) & ((i + k)[:, None] < K), other=0)
        acc += tl.dot(a, b, out_dtype=tl.int32)
    mask = (m[:, None] < M) & (n[None, :] < N)
    if RAW:
        tl.store(c_ptr + m[:, None] * N + n[None, :], acc, mask=mask)
    else:
        scale = tl.load(scale_ptr + n, mask=n < N, other=1.0)
        tl.store(c_ptr + m[:, None] * N + n[None, :], acc.to(tl.float32) * scale[None, :], mask=mask)


@triton.jit
def matmul_f8_weights(a_ptr, b_ptr, scale_ptr, c_ptr, M, N, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
                      BLOCK_K: tl.constexpr):
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for i in range(0, K, BLOCK_K):
        a = tl.load(a_ptr + m[:, None] * K + (i + k)[None, :], mask=(m[:, None] < M) & ((i + k)[None, :] < K), other=0.0)
        b = tl.load(b_ptr + (i + k)[:, None] * N + n[None, :])
        acc += tl.dot(a, b.to(a.dtype))
    acc *= tl.load(scale_ptr)
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc, mask=m[:, None] < M)


@triton.jit
def batched_matmul(a_ptr, b_ptr, c_ptr, BATCH: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    z = tl.arange(0, BATCH)[:, None, None]
    m = tl.arange(0, M)[None, :, None]
    n = tl.arange(0, N)[None, None, :]
    a = tl.load(a_ptr + z * (M * K) + m * K + tl.arange(0, K)[None, None, :])
    b = tl.load(b_ptr + z * (K * N) + tl.arange(0, K)[None, :, None] * N + n)
    tl.store(c_ptr + z * (M * N) + m * N + n, tl.dot(a, b))


# ---- attention

@triton.jit
def attention(Q, K, V, Out, Lse, scale, heads, T, stride_b, stride_h, stride_t, CAUSAL: tl.constexpr, D: tl.constexpr,
              BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    start = tl.program_id(0)
    bh = tl.program_id(1)
    base = (bh // heads) * stride_b + (bh % heads) * stride_h
    m = start * BLOCK_M + tl.arange(0, BLOCK_M)
    d = tl.arange(0, D)
    q = tl.load(Q + base + m[:, None] * stride_t + d[None, :], mask=m[:, None] < T, other=0.0)
    largest = tl.full([BLOCK_M], float("-inf"), dtype=tl.float32)
    total = tl.zeros([BLOCK_M], dtype=tl.float32)
    acc = tl.zeros([BLOCK_M, D], dtype=tl.float32)
    qk_scale = scale * LOG2E
    end = tl.minimum((start + 1) * BLOCK_M, T) if CAUSAL else T
    for first in range(0, end, BLOCK_N):
        n = first + tl.arange(0, BLOCK_N)
        k = tl.load(K + base + n[None, :] * stride_t + d[:, None], mask=n[None, :] < T, other=0.0)
        s = tl.dot(q, k) * qk_scale
        s = tl.where(n[None, :] < T, s, float("-inf"))
        if CAUSAL:
            s = tl.where(m[:, None] >= n[None, :], s, float("-inf"))
        now = tl.maximum(largest, tl.max(s, 1))
        p = tl.math.exp2(s - now[:, None])
        shrink = tl.math.exp2(largest - now)
        total = total * shrink + tl.sum(p, 1)
        acc = acc * shrink[:, None]
        v = tl.load(V + base + n[:, None] * stride_t + d[None, :], mask=n[:, None] < T, other=0.0)
        acc = tl.dot(p.to(v.dtype), v, acc)
        largest = now
    tl.store(Out + base + m[:, None] * stride_t + d[None, :], (acc / total[:, None]).to(Out.dtype.element_ty), mask=m[:, None] < T)
    tl.store(Lse + bh * T + m, largest + tl.math.log2(total), mask=m < T)


@triton.jit
def attention_backward(Q, K, V, Out, DO, DQ, DK, DV, Lse, scale, heads, T, stride_b, stride_h, stride_t,
                       CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0)
    bh = tl.program_id(1)
    base = (bh // heads) * stride_b + (bh % heads) * stride_h
    n = start * BLOCK + tl.arange(0, BLOCK)
    d = tl.arange(0, D)
    here = base + n[:, None] * stride_t + d[None, :]
    k = tl.load(K + here, mask=n[:, None] < T, other=0.0)
    v = tl.load(V + here, mask=n[:, None] < T, other=0.0)
    dk = tl.zeros([BLOCK, D], dtype=tl.float32)
    dv = tl.zeros([BLOCK, D], dtype=tl.float32)
    low = start * BLOCK if CAUSAL else 0
    for first in range(low, T, BLOCK):
        m = first + tl.arange(0, BLOCK)
        rows = base + m[:, None] * stride_t + d[None, :]
        mask = m[:, None] < T
        q = tl.load(Q + rows, mask=mask, other=0.0)
        do = tl.load(DO + rows, mask=mask, other=0.0)
        o = tl.load(Out + rows, mask=mask, other=0.0)
        lse = tl.load(Lse + bh * T + m, mask=m < T, other=0.0)
        delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), 1)
        s = tl.dot(q, tl.trans(k)) * (scale * LOG2E)
        p = tl.math.exp2(s - lse[:, None])
        keep = (m[:, None] < T) & (n[None, :] < T)
        if CAUSAL:
            keep &= m[:, None] >= n[None, :]
        p = tl.where(keep, p, 0.0)
        dv += tl.dot(tl.trans(p.to(do.dtype)), do)
        dp = tl.dot(do, tl.trans(v))
        ds = (p * (dp - delta[:, None])).to(q.dtype)
        dk += tl.dot(tl.trans(ds), q)
        tl.atomic_add(DQ + rows, tl.dot(ds, k) * scale, mask=mask)
    tl.store(DK + here, dk * scale, mask=n[:, None] < T)
    tl.store(DV + here, dv, mask=n[:, None] < T)


# ---- along an axis

@triton.jit
def reductions(x_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr, KIND: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    if KIND == "sum":
        r = tl.sum(x, AXIS)
    elif KIND == "max":
        r = tl.max(x, AXIS)
    elif KIND == "min":
        r = tl.min(x, AXIS)
    elif KIND == "argmax":
        r = tl.argmax(x, AXIS)
    elif KIND == "argmin":
        r = tl.argmin(x, AXIS)
    else:
        r = tl.xor_sum(x, AXIS)
    tl.store(out_ptr + tl.arange(0, N if AXIS == 0 else M), r)


@triton.jit
def mean_combine(a_mean, a_m2, a_weight, b_mean, b_m2, b_weight):
    delta = b_mean - a_mean
    weight = a_weight + b_weight
    share = b_weight / weight
    return a_mean + delta * share, a_m2 + b_m2 + delta * delta * a_weight * share, weight


@triton.jit
def welford(x_ptr, mean_ptr, var_ptr, M: tl.constexpr, N: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    mean, m2, weight = tl.reduce((x, tl.zeros_like(x), tl.full([M, N], 1.0, tl.float32)), 1, mean_combine)
    tl.store(mean_ptr + tl.arange(0, M), mean)
    tl.store(var_ptr + tl.arange(0, M), m2 / weight)


@triton.jit
def scans(x_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr, REVERSE: tl.constexpr,
          PRODUCT: tl.constexpr):
    offsets = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + offsets)
    if PRODUCT:
        r = tl.cumprod(x, AXIS, reverse=REVERSE)
    else:
        r = tl.cumsum(x, axis=AXIS, reverse=REVERSE)
    tl.store(out_ptr + offsets, r)


@triton.jit
def decay_combine(a1, b1, a2, b2):
    return a1 * a2, b1 * a2 + b2


@triton.jit
def linear_recurrence(a_ptr, b_ptr, out_ptr, N: tl.constexpr, REVERSE: tl.constexpr):
    i = tl.arange(0, N)
    _, h = tl.associative_scan((tl.load(a_ptr + i), tl.load(b_ptr + i)), axis=0, combine_fn=decay_combine, reverse=REVERSE)
    tl.store(out_ptr + i, h)


@triton.jit
def sort_rows(x_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr, DESCENDING: tl.constexpr):
    offsets = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out_ptr + offsets, tl.sort(tl.load(x_ptr + offsets), descending=DESCENDING))


@triton.jit
def top(x_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    tl.store(out_ptr + tl.arange(0, M)[:, None] * K + tl.arange(0, K)[None, :], tl.topk(x, K))


@triton.jit
def count(x_ptr, out_ptr, n, BLOCK: tl.constexpr, BINS: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    h = tl.histogram(tl.load(x_ptr + i, mask=i < n, other=0), BINS, mask=i < n)
    tl.atomic_add(out_ptr + tl.arange(0, BINS), h)


@triton.jit
def pick(x_ptr, index_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr):
    offsets = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out_ptr + offsets, tl.gather(tl.load(x_ptr + offsets), tl.load(index_ptr + offsets), axis=AXIS))


# ---- shapes and memory

@triton.jit
def shapes(x_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr, KIND: tl.constexpr):
    offsets = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + offsets)
    if KIND == "trans":
        y = tl.reshape(tl.trans(x), (M, N))
    elif KIND == "flip":
        y = tl.flip(x, 1)
    elif KIND == "interleave":
        a, b = tl.split(tl.reshape(x, (M, N // 2, 2)))
        y = tl.interleave(b, a)
    elif KIND == "join":
        y = tl.reshape(tl.permute(tl.join(x, x * 2), (2, 0, 1)), (2 * M, N))
        a, b = tl.split(tl.permute(tl.reshape(y, (2, M, N)), (1, 2, 0)))
        y = a - b
    else:
        y = tl.reshape(tl.broadcast_to(tl.sum(x, 1)[:, None], (M, N)) + tl.expand_dims(tl.sum(x, 0), 0), (M, N))
    tl.store(out_ptr + offsets, y)


@triton.jit
def atomics(x_ptr, index_ptr, out_ptr, n, KIND: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=0)
    at = out_ptr + tl.load(index_ptr + i, mask=mask, other=0)
    if KIND == "add":
        tl.atomic_add(at, x, mask=mask)
    elif KIND == "max":
        tl.atomic_max(at, x, mask=mask)
    elif KIND == "min":
        tl.atomic_min(at, x, mask=mask)
    elif KIND == "and":
        tl.atomic_and(at, x, mask=mask)
    elif KIND == "or":
        tl.atomic_or(at, x, mask=mask)
    else:
        tl.atomic_xor(at, x, mask=mask)


@triton.jit
def halve(n):
    if n % 2 == 0:
        return n // 2
    return 3 * n + 1


@triton.jit
def collatz(x_ptr, out_ptr, n):
    pid = tl.program_id(0)
    if pid >= n:
        return
    x = tl.load(x_ptr + pid)
    steps = 0
    while x > 1:
        x = halve(x)
        steps += 1
    tl.store(out_ptr + pid, steps)


@triton.jit
def embedding(ids_ptr, table_ptr, out_ptr, n, D: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    d = tl.arange(0, D)
    ids = tl.load(ids_ptr + i, mask=i < n, other=0)
    rows = tl.load(table_ptr + ids[:, None] * D + d[None, :], mask=(i < n)[:, None], other=0.0)
    tl.store(out_ptr + i[:, None] * D + d[None, :], rows, mask=(i < n)[:, None])


@triton.jit
def unrolled(x_ptr, out_ptr, n, TAPS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros([BLOCK], dtype=tl.float32)
    weight = 1.0
    for t in tl.static_range(TAPS):
        at = i - t
        acc += tl.load(x_ptr + at, mask=(at >= 0) & (at < n), other=0.0) * weight
        weight = weight * 0.5
    for t in range(TAPS - 1, -1, -1):
        acc = acc * 0.5 + t
    tl.store(out_ptr + i, acc, mask=i < n)


# ---- less usual: 8-bit floats, rounding towards 0, microscaled products, tuples, pointers to pointers

@triton.jit
def to_f8(x_ptr, out_ptr, back_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = tl.load(x_ptr + i, mask=i < n, other=0.0).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + i, y, mask=i < n)
    tl.store(back_ptr + i, y.to(tl.float32), mask=i < n)


@triton.jit
def truncated(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    tl.store(out_ptr + i, x.to(tl.bfloat16, fp_downcast_rounding="rtz").to(tl.float32), mask=i < n)


@triton.jit
def scaled_product(a_ptr, a_scale_ptr, b_ptr, b_scale_ptr, c_ptr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
                   PACK: tl.constexpr, A_FORMAT: tl.constexpr, B_FORMAT: tl.constexpr):
    m = tl.arange(0, M)
    n = tl.arange(0, N)
    ka = tl.arange(0, K // 2 if A_FORMAT == "e2m1" else K)
    kb = tl.arange(0, K // 2 if B_FORMAT == "e2m1" else K)
    g = tl.arange(0, K // 32)
    a = tl.load(a_ptr + m[:, None] * ka.shape[0] + ka[None, :])
    b = tl.load(b_ptr + kb[:, None] * N + n[None, :])
    a_scale = tl.load(a_scale_ptr + m[:, None] * (K // 32) + g[None, :])
    b_scale = tl.load(b_scale_ptr + n[:, None] * (K // 32) + g[None, :])
    c = tl.dot_scaled(a, a_scale, A_FORMAT, b, b_scale, B_FORMAT)
    tl.store(c_ptr + m[:, None] * N + n[None, :], c)


@triton.jit
def half_precision(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=1.0).to(tl.float32)
    y = tl.load(y_ptr + i, mask=i < n, other=1.0).to(tl.float32)
    tl.store(out_ptr + i, (x * y + x / (1.0 + y * y)).to(out_ptr.dtype.element_ty), mask=i < n)


@triton.jit
def two_largest(v1, s1, v2, s2):
    high = tl.maximum(v1, v2)
    low = tl.maximum(tl.minimum(v1, v2), tl.maximum(s1, s2))
    return high, low


@triton.jit
def extremes(x_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    first, second = tl.reduce((x, tl.full([M, N], -1000, x.dtype)), 1, two_largest)
    value, index = tl.max(x, 1, return_indices=True)
    least, where = tl.min(x, axis=1, return_indices=True, return_indices_tie_break_left=True)
    kept = tl.sum(x, 1, keep_dims=True) + tl.max(x, 0, keep_dims=True)
    out = out_ptr + tl.arange(0, M) * 8
    tl.store(out, first)
    tl.store(out + 1, second)
    tl.store(out + 2, value)
    tl.store(out + 3, index)
    tl.store(out + 4, least)
    tl.store(out + 5, where)
    tl.store(out + 6, tl.sum(kept, 1))
    tl.store(out + 7, tl.sum(x))


@triton.jit
def exchange(x_ptr, lock_ptr, out_ptr, n):
    pid = tl.program_id(0)
    old = tl.atomic_xchg(x_ptr + pid % 3, pid + 100)
    seen = tl.atomic_cas(lock_ptr, pid, pid + 1)
    tl.store(out_ptr + 2 * pid, old)
    tl.store(out_ptr + 2 * pid + 1, seen)


@triton.jit
def pair(x, y, SWAP: tl.constexpr):
    if SWAP:
        return y, x
    return x, y


@triton.jit
def flow(x_ptr, out_ptr, n, STEPS: tl.constexpr):
    pid = tl.program_id(0)
    a = tl.load(x_ptr + pid)
    b = pid
    total = 0
    for i in tl.static_range(STEPS):
        a, b = pair(a, b, i % 2 == 0)
        if a > b:
            if a % 2 == 0:
                total += a
            else:
                total -= b
        elif a == b:
            total = total * 2
        else:
            total += 1 if b > 5 else 3
    i = 0
    while i < n:
        inner = 0
        for j in range(i, n, 2):
            inner += j * a
        total += inner
        i += 3
    if (total > 0 and a > 2) or not (b < 4):
        total = -total
    tl.store(out_ptr + pid, total)


@triton.jit
def three_dimensions(x_ptr, out_ptr, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    a = tl.arange(0, A)[:, None, None]
    b = tl.arange(0, B)[None, :, None]
    c = tl.arange(0, C)[None, None, :]
    x = tl.load(x_ptr + a * (B * C) + b * C + c)
    y = tl.sum(x, axis=1)
    z = tl.permute(x, (2, 0, 1))
    w = tl.reshape(z, (C * A, B))
    r = tl.max(w, 0)[None, :, None] + y[:, None, :] + tl.cumsum(x, 1)
    tl.store(out_ptr + a * (B * C) + b * C + c, r)


@triton.jit
def through_addresses(address_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    base = out_ptr.to(tl.pointer_type(tl.int32))
    bits = tl.load(base + i, mask=i < n, other=0)
    tl.store(address_ptr + i, bits ^ 1, mask=i < n)
    tl.store(base + i, bits + 1, mask=i < n)


# ---- libdevice: its functions fail in Triton's interpreter; NumPy is what they are compared with

@triton.jit
def libdevice_one(x_ptr, out_ptr, n, WHICH: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=1)
    if WHICH == "tanh":
        y = libdevice.tanh(x)
    elif WHICH == "expm1":
        y = libdevice.expm1(x)
    elif WHICH == "log1p":
        y = libdevice.log1p(x)
    elif WHICH == "asin":
        y = libdevice.asin(x)
    elif WHICH == "acos":
        y = libdevice.acos(x)
    elif WHICH == "atan":
        y = libdevice.atan(x)
    elif WHICH == "tan":
        y = libdevice.tan(x)
    elif WHICH == "sinh":
        y = libdevice.sinh(x)
    elif WHICH == "cosh":
        y = libdevice.cosh(x)
    elif WHICH == "asinh":
        y = libdevice.asinh(x)
    elif WHICH == "acosh":
        y = libdevice.acosh(x)
    elif WHICH == "atanh":
        y = libdevice.atanh(x)
    elif WHICH == "exp10":
        y = libdevice.exp10(x)
    elif WHICH == "log10":
        y = libdevice.log10(x)
    elif WHICH == "round":
        y = libdevice.round(x)
    elif WHICH == "rint":
        y = libdevice.rint(x)
    elif WHICH == "nearbyint":
        y = libdevice.nearbyint(x)
    elif WHICH == "trunc":
        y = libdevice.trunc(x)
    elif WHICH == "cbrt":
        y = libdevice.cbrt(x)
    elif WHICH == "exp":
        y = libdevice.exp(x)
    elif WHICH == "exp2":
        y = libdevice.exp2(x)
    elif WHICH == "log":
        y = libdevice.log(x)
    elif WHICH == "log2":
        y = libdevice.log2(x)
    elif WHICH == "sqrt":
        y = libdevice.sqrt(x)
    elif WHICH == "rsqrt":
        y = libdevice.rsqrt(x)
    elif WHICH == "sin":
        y = libdevice.sin(x)
    elif WHICH == "cos":
        y = libdevice.cos(x)
    elif WHICH == "erf":
        y = libdevice.erf(x)
    elif WHICH == "erfc":
        y = libdevice.erfc(x)
    elif WHICH == "floor":
        y = libdevice.floor(x)
    elif WHICH == "ceil":
        y = libdevice.ceil(x)
    elif WHICH == "abs":
        y = libdevice.abs(x)
    elif WHICH == "isnan":
        y = libdevice.isnan(x)
    elif WHICH == "isinf":
        y = libdevice.isinf(x)
    elif WHICH == "finitef":
        y = libdevice.finitef(x)
    elif WHICH == "signbit":
        y = libdevice.signbit(x)
    elif WHICH == "saturatef":
        y = libdevice.saturatef(x)
    elif WHICH == "fast_expf":
        y = libdevice.fast_expf(x)
    elif WHICH == "fast_tanhf":
        y = libdevice.fast_tanhf(x)
    elif WHICH == "llrint":
        y = libdevice.llrint(x)
    elif WHICH == "llround":
        y = libdevice.llround(x)
    elif WHICH == "float_as_int":
        y = libdevice.float_as_int(x)
    elif WHICH == "popc":
        y = libdevice.popc(x)
    elif WHICH == "clz":
        y = libdevice.clz(x)
    elif WHICH == "ffs":
        y = libdevice.ffs(x)
    elif WHICH == "brev":
        y = libdevice.brev(x)
    tl.store(out_ptr + i, y, mask=i < n)


@triton.jit
def libdevice_two(x_ptr, y_ptr, out_ptr, n, WHICH: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=1)
    y = tl.load(y_ptr + i, mask=i < n, other=1)
    if WHICH == "pow":
        z = libdevice.pow(x, y)
    elif WHICH == "atan2":
        z = libdevice.atan2(x, y)
    elif WHICH == "fmod":
        z = libdevice.fmod(x, y)
    elif WHICH == "copysign":
        z = libdevice.copysign(x, y)
    elif WHICH == "hypot":
        z = libdevice.hypot(x, y)
    elif WHICH == "div_rn":
        z = libdevice.div_rn(x, y)
    elif WHICH == "div_rz":
        z = libdevice.div_rz(x, y)
    elif WHICH == "fdim":
        z = libdevice.fdim(x, y)
    elif WHICH == "remainder":
        z = libdevice.remainder(x, y)
    elif WHICH == "add_rn":
        z = libdevice.add_rn(x, y)
    elif WHICH == "mul_rn":
        z = libdevice.mul_rn(x, y)
    tl.store(out_ptr + i, z, mask=i < n)
