"""Whether an item is like the good ones that alone were learnt from."""

from striate.tasks.anomaly.task import ANOMALY

__all__ = ["ANOMALY"]
