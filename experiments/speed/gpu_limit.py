"""The kernel that measures a GPU's fp32 limit: nothing but independent chains of fused multiply-adds."""

import triton
import triton.language as tl

CHAINS = 8  # a lane: more than the four cycles that one multiply-add takes


@triton.jit(do_not_specialize=["loops"])
def multiply_add(out, factor, loops, BLOCK: tl.constexpr):
    """Each lane runs 8 chains of `loops` steps v -> v * factor + v0; their sum is stored, so that none is left out."""
    start = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.float32)
    a, b, c, d = start, start + 1, start + 2, start + 3
    e, f, g, h = start + 4, start + 5, start + 6, start + 7
    for _ in range(loops):
        a, b = tl.fma(a, factor, start), tl.fma(b, factor, start)
        c, d = tl.fma(c, factor, start), tl.fma(d, factor, start)
        e, f = tl.fma(e, factor, start), tl.fma(f, factor, start)
        g, h = tl.fma(g, factor, start), tl.fma(h, factor, start)
    tl.store(out + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), a + b + c + d + e + f + g + h)
