"""Which of some classes an item belongs to."""

from striate.tasks.classification.task import CLASSIFICATION

__all__ = ["CLASSIFICATION"]
