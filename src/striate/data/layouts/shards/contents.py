"""What a shard holds of an item that has no file of its own: its arrays, as a safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from striate.data.source import Note, Reading, UnreadableItem

ARRAYS: Final = ("array", "edges", "edge_features")

FACTS: Final = ("sha256", "spacing", "channel_names", "edge_names")

SUFFIX: Final = ".safetensors"


def packed(reading: Reading) -> bytes:
    """A reading as a safetensors file; `facts` holds the bytes of a JSON text.

    Args:
        reading: Of an item that is no node of a graph that others share.
    """
    given = {name: getattr(reading, name) for name in ARRAYS}
    # Memory is written as it lies, so that columns would come back as rows.
    arrays = {name: np.ascontiguousarray(a) for name, a in given.items() if a is not None}
    facts = {name: getattr(reading, name) for name in FACTS}
    facts["notes"] = [asdict(note) for note in reading.notes]
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    content: bytes = save({**arrays, "facts": text})
    return content


def unpacked(content: bytes) -> Reading:
    """The reading that `packed` was given.

    Raises:
        UnreadableItem: The content is no such file.
    """
    try:
        arrays: dict[str, Any] = load(content)
        facts = json.loads(arrays.pop("facts").tobytes())
        notes = tuple(Note(**{**note, "ids": tuple(note["ids"])}) for note in facts.pop("notes"))
        named: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()
        }
        return Reading(**arrays, **named, notes=notes)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise UnreadableItem.because_of(error) from error
