"""Networks that hold patches of training items: a bank to compare with, and filters."""

from striate.models.patches.memory_bank import MemoryBank
from striate.models.patches.patch_filters import PatchFilters

__all__ = ["MemoryBank", "PatchFilters"]
