"""Predict pictures by the ONNX file beside this one: `python predict.py PICTURE...`.

It needs numpy, onnxruntime and Pillow alone. A picture is read as Striate reads it: a large one at
a reduced size, upright, transparency on white, grey in three channels. The file does the rest.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """The file ready to answer, and its card: classes, preprocessing and outputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session, json.loads(session.get_modelmeta().custom_metadata_map["striate"])


def read(path: Path | str, card: dict[str, Any]) -> np.ndarray:
    """A picture as uint8 (1, height, width, 3)."""
    given = card["input"]["pictures"]
    size, white = given["size"], given["scales"][0] or 65535
    image: Image.Image = Image.open(path)
    if image.format in ("JPEG", "MPO") and size >= 8:
        image.draft(image.mode, (size, size))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError(f"{path}: a picture of floats; make it one of 8 bits")
    if image.mode.startswith("I"):
        grey = np.rint((np.asarray(image) * (255 / white)).clip(0, 255))
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert("RGB")
    if (factor := min(image.size) // size) > 1:
        sides = [min(side, (side + factor // 2) // factor * factor) for side in image.size]
        image = image.reduce(factor, box=(0, 0, *sides))
    return np.asarray(image)[None]


def predict(path: Path | str, session: Any, card: dict[str, Any]) -> Any:
    """The answer for one picture: the probability of each class, the number, or how odd it is."""
    answer = np.atleast_1d(session.run(None, {"images": read(path, card)})[1][0])
    named = dict(zip(card["classes"], answer.tolist(), strict=False))
    return named or answer.tolist()


if __name__ == "__main__":
    opened = load(Path(__file__).with_name("pictures.onnx"))
    for name in sys.argv[1:]:
        print(json.dumps({"item": name, "answer": predict(name, *opened)}))
