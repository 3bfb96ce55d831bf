"""Pure functions on tensors of any rank: convolution, pooling, and their steps one by one."""

from striate.ops.convolution import convolve, convolve_transposed
from striate.ops.depthwise_convolution import depthwise
from striate.ops.filter import NAMED_KERNELS, filter_picture
from striate.ops.pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from striate.ops.tracing import Step, Trace, trace

__all__ = [
    "NAMED_KERNELS",
    "Step",
    "Trace",
    "avg_pool",
    "convolve",
    "convolve_transposed",
    "depthwise",
    "filter_picture",
    "global_avg_pool",
    "global_max_pool",
    "max_pool",
    "trace",
]
