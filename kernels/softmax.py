"""Softmax over the rows of a matrix, forward and backward. A row is one tile: BLOCK is the next power of two."""
import triton
import triton.language as tl


@triton.jit
def softmax(x_ptr, y_ptr, n, stride_x, stride_y, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride_x + i, mask=i < n, other=-float("inf")).to(tl.float32)
    e = tl.exp(x - tl.max(x, 0))
    tl.store(y_ptr + row * stride_y + i, (e / tl.sum(e, 0)).to(y_ptr.dtype.element_ty), mask=i < n)


@triton.jit
def log_softmax(x_ptr, y_ptr, n, stride_x, stride_y, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride_x + i, mask=i < n, other=-float("inf")).to(tl.float32)
    x -= tl.max(x, 0)
    tl.store(y_ptr + row * stride_y + i, (x - tl.log(tl.sum(tl.exp(x), 0))).to(y_ptr.dtype.element_ty), mask=i < n)


# dx = y * (dy - sum(y * dy))
@triton.jit
def softmax_backward(y_ptr, dy_ptr, dx_ptr, n, stride_y, stride_dy, stride_dx, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    y = tl.load(y_ptr + row * stride_y + i, mask=i < n, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + row * stride_dy + i, mask=i < n, other=0.0).to(tl.float32)
    tl.store(dx_ptr + row * stride_dx + i, (y * (dy - tl.sum(y * dy, 0))).to(dx_ptr.dtype.element_ty), mask=i < n)
