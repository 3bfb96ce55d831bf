"""The files that explanation images are written to, and their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from itertools import chain, count
from pathlib import Path

from striate.data.unlabelled import Input
from striate.files import (
    check_output,
    check_output_folder,
    mark_output,
    storage_error,
    write_atomic,
)
from striate.report import Drawing


class ExplanationFiles:
    """Writes images into a folder under names that are given once, and never that of an input.

    Args:
        folder: The folder.
        inputs: What is explained.
        data: What the run learnt from.

    Raises:
        OptionError: The folder is a part of the data, or of an input, where an explanation would be
            taken for an item.
    """

    def __init__(self, folder: Path, inputs: Sequence[Input], data: str = "") -> None:
        check_output_folder(folder, [*inputs, *filter(None, [data])], "out")
        self._folder, self._inputs = folder, inputs
        self._taken: set[Path] = set()

    def write(self, stem: str, card: Drawing) -> Path:
        """Write an image and return its path.

        Raises:
            ArgumentError: It would replace an input.
            StorageError: It could not be written.
        """
        out, svg = BytesIO(), isinstance(card, str)
        if isinstance(card, str):
            out.write(card.encode())
        else:
            card.save(out, "PNG")
        path = self.path(stem, ".svg" if svg else ".png")
        try:
            mark_output(self._folder)
        except OSError as error:
            raise storage_error(self._folder, 0, error) from None
        write_atomic(path, out.getvalue())
        return path

    def path(self, stem: str, suffix: str) -> Path:
        """Return a path that was not given before; raise ArgumentError where it is an input's."""
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        path = next(p for name in names if (p := self._folder / (name + suffix)) not in self._taken)
        self._taken.add(path)
        check_output(path, self._inputs, "out", makes_folder=True)
        return path


def stem_of(item: str) -> str:
    """Return a name for a file from that of an item.

    >>> stem_of("photos/a cat.jpg"), stem_of("two.npy[1]"), stem_of("CC(=O)O"), stem_of("..")
    ('a_cat', 'two.npy_1', 'CC_O_O', 'item')
    """
    name = re.sub(r"\.\w{1,5}$", "", item.rstrip("/").rpartition("/")[2])
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:40] or "item"
