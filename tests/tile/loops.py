# break, continue and return out of loops: extensions that Triton refuses. command_line.py compares with the same in Python.
import triton
import triton.language as tl


@triton.jit
def look(x_ptr, out_ptr, limit, n):
    for i in range(n):
        v = tl.load(x_ptr + i)
        if v > limit:
            tl.store(out_ptr, i)
            return
        w = 0
        while True:
            w += 1
            if w * w > v:
                break
            if w > 50:
                tl.store(out_ptr + 2, 99)
                return
        tl.store(out_ptr + 1, w)
    tl.store(out_ptr, -1)


@triton.jit
def leave(x_ptr, out_ptr, limit, n):
    look(x_ptr, out_ptr, limit, n)
    k = 0
    for i in tl.static_range(6):
        if i == limit:
            break
        if i % 2 == 1:
            continue
        k += 10
    tl.store(out_ptr + 3, k)
    for a in range(4):
        for b in range(4):
            if b == a:
                break
            k += 1
        if a == limit:
            break
    tl.store(out_ptr + 4, k)
