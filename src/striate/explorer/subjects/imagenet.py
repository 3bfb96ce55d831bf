"""The names of ImageNet's classes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

NUM_CLASSES: Final = 1000


def imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, from timm's files where it is installed; else none.

    Timm is not imported: that takes seconds.
    """
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent / "data" / "_info"
    try:
        synsets = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
        lines = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    lemmas = dict(line.split("\t", 1) for line in lines if "\t" in line)
    names = tuple(lemmas[synset].partition(",")[0] for synset in synsets if synset in lemmas)
    return names if len(names) == NUM_CLASSES else ()
