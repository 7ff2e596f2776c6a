"""Layer norm and RMS norm over the rows of a matrix, forward. A row is one tile: BLOCK is the next power of two."""
import triton
import triton.language as tl


@triton.jit
def layer_norm(x_ptr, weight_ptr, bias_ptr, y_ptr, mean_ptr, rstd_ptr, n, stride_x, stride_y, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride_x + i, mask=i < n, other=0.0).to(tl.float32)
    mean = tl.sum(x, 0) / n
    centred = tl.where(i < n, x - mean, 0.0)
    rstd = 1 / tl.sqrt(tl.sum(centred * centred, 0) / n + eps)
    weight = tl.load(weight_ptr + i, mask=i < n, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + i, mask=i < n, other=0.0).to(tl.float32)
    tl.store(mean_ptr + row, mean)
    tl.store(rstd_ptr + row, rstd)
    tl.store(y_ptr + row * stride_y + i, (centred * rstd * weight + bias).to(y_ptr.dtype.element_ty), mask=i < n)


@triton.jit
def rms_norm(x_ptr, weight_ptr, y_ptr, rstd_ptr, n, stride_x, stride_y, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride_x + i, mask=i < n, other=0.0).to(tl.float32)
    rstd = 1 / tl.sqrt(tl.sum(x * x, 0) / n + eps)
    weight = tl.load(weight_ptr + i, mask=i < n, other=0.0).to(tl.float32)
    tl.store(rstd_ptr + row, rstd)
    tl.store(y_ptr + row * stride_y + i, (x * rstd * weight).to(y_ptr.dtype.element_ty), mask=i < n)
