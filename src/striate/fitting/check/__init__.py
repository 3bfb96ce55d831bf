"""`check`: what there is to know of some data, before any training."""

from striate.fitting.check.checked import Checked, check
from striate.fitting.check.page import check_page

__all__ = ["Checked", "check", "check_page"]
