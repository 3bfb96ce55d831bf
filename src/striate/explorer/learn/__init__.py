"""A tour of the network at hand, and exercises made from it."""

from striate.explorer.learn.exercises import exercises
from striate.explorer.learn.looked import Looked
from striate.explorer.learn.tour import tour

__all__ = ["Looked", "exercises", "tour"]
