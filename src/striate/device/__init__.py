"""Where tensors are computed: the device and the precision, the threads, and freed memory."""

from striate.device.choice import (
    DEVICES,
    choose_device,
    cpu_computes,
    cpu_vectors,
    fast_dtype,
    hardware,
    processor_name,
)
from striate.device.memory import (
    give_back_freed_memory,
    keep_freed_memory,
    share_freed_memory,
)
from striate.device.threads import keep_threads, use_free_cores

__all__ = [
    "DEVICES",
    "choose_device",
    "cpu_computes",
    "cpu_vectors",
    "fast_dtype",
    "give_back_freed_memory",
    "hardware",
    "keep_freed_memory",
    "keep_threads",
    "processor_name",
    "share_freed_memory",
    "use_free_cores",
]
