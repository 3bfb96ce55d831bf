"""Numbers of any size as a person reads them."""

from __future__ import annotations

from math import floor, isfinite, log10


def number_text(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with so many significant digits, without an exponent where that can be read.

    >>> number_text(0.61234), number_text(12345.6), number_text(0.000123), number_text(0)
    ('0.612', '12346', '0.000123', '0')
    >>> number_text(1.5e9), number_text(2.5, signed=True), number_text(9.9996)
    ('1.50e+09', '+2.50', '10.0')
    """
    sign = "+" if signed else ""
    if value == 0 or not isfinite(value):
        return f"{value:{sign}g}"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = floor(log10(abs(rounded)))
    if not -5 < exponent < 7:
        return f"{value:{sign}.{digits - 1}e}"
    return f"{value:{sign}.{max(digits - 1 - exponent, 0)}f}"
