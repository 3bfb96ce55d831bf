"""Slices with what DICOM says of their place, put in order as one volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from striate.data.names import natural_key
from striate.data.readers.volume import canonical
from striate.data.source import Note, UnreadableItem

_UNEVEN: Final = 0.1
"""The share of the usual gap between slices by which one may differ."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice, and what is known of it; None for what is not.

    Attributes:
        name: The slice's name in messages.
        values: The grey values, (rows, columns) float32.
        position: The place of the first pixel in the patient, in millimetres.
        orientation: The directions of rows and of columns, three numbers each.
        plane_spacing: The millimetres between rows and between columns.
        thickness: The millimetres between slices, as the file says.
        number: The slice's number in its series.
    """

    name: str
    values: NDArray[np.float32]
    position: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    plane_spacing: NDArray[np.float64] | None
    thickness: float | None
    number: int


def stacked(
    slices: Sequence[Slice],
) -> tuple[NDArray[np.float32], tuple[float, ...], tuple[Note, ...]]:
    """The slices in order by position along their normal, turned to one orientation.

    Slices without a position or an orientation are in the order of their numbers.

    Returns:
        The voxels (depth, height, width), their spacing in millimetres (empty where it is not
        known), and remarks.

    Raises:
        UnreadableItem: The slices differ in direction or spacing, or are not evenly spaced.
    """
    for name in ("orientation", "plane_spacing"):
        _check_same(slices, name)
    first = slices[0]
    if any(one.position is None or one.orientation is None for one in slices):
        return _by_number(slices)
    assert first.orientation is not None
    rows, columns = first.orientation.reshape(2, 3)
    normal = np.cross(rows, columns)
    along = np.array([one.position for one in slices]) @ normal
    order = np.argsort(along, kind="stable")
    gap = _even_gap(along[order], [slices[i].name for i in order], first)
    known = first.plane_spacing is not None
    plane = (1.0, 1.0) if first.plane_spacing is None else first.plane_spacing
    between_rows, between_columns = map(float, plane)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = rows * between_columns, columns * between_rows
    affine[:3, 2] = normal * gap
    affine[:2] *= -1  # DICOM counts to the left and to the back
    voxels = np.stack([slices[i].values for i in order])
    turned, spacing = canonical(voxels.transpose(2, 1, 0), affine)
    return turned, spacing if known else (), () if known else (_NO_SPACING,)


_NO_SPACING: Final = Note(
    code="no-spacing",
    message="the files give no spacing of the pixels",
    advice="export them anew with it, or see that all were taken with one spacing",
)
_NO_ORIENTATION: Final = Note(
    code="no-orientation",
    message="the files give no positions; slices are in the order of their numbers",
    advice="look whether this is the order in which they lie",
)


def _check_same(slices: Sequence[Slice], name: str) -> None:
    values = [getattr(one, name) for one in slices]
    first = values[0]
    for value in values:
        alike = value is None if first is None else value is not None
        if not alike or (first is not None and not np.allclose(value, first, atol=1e-3)):
            raise UnreadableItem(f"slices differ in {_TAGS[name]}")


_TAGS: Final = {"orientation": "ImageOrientationPatient", "plane_spacing": "PixelSpacing"}


def _even_gap(along: Float[np.ndarray, " slices"], names: Sequence[str], first: Slice) -> float:
    """The millimetres from slice to slice."""
    if len(along) == 1:
        return first.thickness or 1.0
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if usual <= 0:
        raise UnreadableItem(f"{names[int(gaps.argmin())]} lies where another slice lies")
    away = np.abs(gaps - usual)
    if away.max() > _UNEVEN * usual:
        worst = int(away.argmax())
        raise UnreadableItem(
            f"slices are not evenly spaced: {gaps[worst]:g} mm after {names[worst]}, "
            f"elsewhere {usual:g} mm"
        )
    return usual


def _by_number(slices: Sequence[Slice]) -> tuple[Any, tuple[float, ...], tuple[Note, ...]]:
    """The voxels of slices whose files give no positions."""
    ordered = sorted(slices, key=lambda one: (one.number, natural_key(one.name)))
    plane, depth = slices[0].plane_spacing, slices[0].thickness
    spacing: tuple[float, ...] = ()
    if depth and plane is not None:
        spacing = (depth, float(plane[0]), float(plane[1]))
    return np.stack([one.values for one in ordered]), spacing, (_NO_ORIENTATION,)
