"""Pure functions on tensors of any rank: convolution, pooling, and their steps one by one."""

from striate.ops.convolve import convolve, convolve_transposed
from striate.ops.pool import (
    avg_pool,
    global_avg_pool,
    global_max_pool,
    lp_pool,
    max_pool,
    max_pool_with_indices,
)
from striate.ops.trace import Step, Trace, trace

__all__ = [
    "Step",
    "Trace",
    "avg_pool",
    "convolve",
    "convolve_transposed",
    "global_avg_pool",
    "global_max_pool",
    "lp_pool",
    "max_pool",
    "max_pool_with_indices",
    "trace",
]
