"""Several labels for each item, or none."""

from striate.tasks.multilabel.task import MULTILABEL

__all__ = ["MULTILABEL"]
