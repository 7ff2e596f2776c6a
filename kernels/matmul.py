"""Matrix products: c[b] = epilogue(alpha * a[b] @ b[b] + bias). Any strides, any sizes; transposed operands are strides."""
import triton
import triton.language as tl


@triton.jit
def epilogue(x, KIND: tl.constexpr):
    if KIND == "relu":
        return tl.maximum(x, 0.0)
    elif KIND == "gelu":
        return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif KIND == "silu":
        return x / (1.0 + tl.exp(-x))
    return x


# A program owns BLOCK_M rows and BLOCK_N columns of the result and walks over k. The back end packs the right operand
# once for each block of k, so that a tall block pays; neighbouring programs share the columns, which then stay in L2.
@triton.jit
def matmul(a_ptr, b_ptr, bias_ptr, c_ptr, M, N, K, stride_ab, stride_am, stride_ak, stride_bb, stride_bk, stride_bn, stride_cb, stride_cm, stride_cn, alpha,
           BIAS: tl.constexpr, KIND: tl.constexpr, BLOCK_M: tl.constexpr = 128, BLOCK_N: tl.constexpr = 256, BLOCK_K: tl.constexpr = 64):
    rows = tl.program_id(0) % tl.cdiv(M, BLOCK_M) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(0) // tl.cdiv(M, BLOCK_M) * BLOCK_N + tl.arange(0, BLOCK_N)
    batch = tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    a = a_ptr + batch * stride_ab + rows[:, None] * stride_am + k[None, :] * stride_ak
    b = b_ptr + batch * stride_bb + k[:, None] * stride_bk + columns[None, :] * stride_bn
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for first in range(0, K, BLOCK_K):
        left = tl.load(a, mask=(rows[:, None] < M) & (k[None, :] < K - first), other=0.0)
        right = tl.load(b, mask=(k[:, None] < K - first) & (columns[None, :] < N), other=0.0)
        acc = tl.dot(left, right, acc)
        a += BLOCK_K * stride_ak
        b += BLOCK_K * stride_bk
    acc *= alpha
    if BIAS:
        acc += tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :].to(tl.float32)
    c = c_ptr + batch * stride_cb + rows[:, None] * stride_cm + columns[None, :] * stride_cn
    tl.store(c, epilogue(acc, KIND).to(c_ptr.dtype.element_ty), mask=(rows[:, None] < M) & (columns[None, :] < N))
