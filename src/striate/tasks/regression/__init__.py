"""How large a number an item has."""

from striate.tasks.regression.task import REGRESSION

__all__ = ["REGRESSION"]
