"""`python predict.py PICTURE...`: by the ONNX file beside it, with numpy, Pillow, onnxruntime alone."""

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
    """A picture as uint8 (1, height, width, 3): large ones reduced, upright, on white, RGB."""
    size, scales = (card["input"]["pictures"][key] for key in ("size", "scales"))
    image: Image.Image = Image.open(path)
    if image.format in ("JPEG", "MPO") and size >= 8:
        image.draft(image.mode, (size, size))
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError(f"{path}: a picture of floats; make it one of 8 bits")
    if image.mode.startswith("I"):
        grey = np.rint((np.asarray(image) * (255 / (scales[0] or 65535))).clip(0, 255))
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB")
    if (n := min(image.size) // size) > 1:
        image = image.reduce(n, box=(0, 0, *(min(s, (s + n // 2) // n * n) for s in image.size)))
    return np.asarray(image)[None]


def predict(path: Path | str, session: Any, card: dict[str, Any]) -> dict[str, Any]:
    """The answer (probability of each class, or number), what it means, what is told beside it."""
    rule, classes, names = card["outputs"][1], card["classes"], [o["name"] for o in card["outputs"]]
    _, answer, *rest = (o[0] for o in session.run(names, {"images": read(path, card)}))
    shares: Any = dict(zip(classes, answer.tolist(), strict=True)) if classes else float(answer)
    told: dict[str, Any] = {"answer": shares}
    if "weights" in rule:  # the class of the largest product, unless not to know costs less
        costs, limit = answer * rule["weights"], rule["cost_unknown"]
        told["label"] = classes[costs.argmax()]
        told |= {} if limit is None else {"undecided": bool(costs.sum() - costs.max() > limit)}
    told |= {"labels": [n for n in t if shares[n] >= t[n]]} if (t := rule.get("thresholds")) else {}
    told |= {"label": v[int(answer > rule["threshold"])]} if (v := rule.get("verdicts")) else {}
    told |= {name: value.tolist() for name, value in zip(names[2:], rest, strict=True)}
    if "set" in told:  # the most probable class first
        told["set"] = [classes[k] for k in np.argsort(-answer, kind="stable") if told["set"][k]]
    return told | ({"unknown": told["novelty"] > 0} if "novelty" in told else {})


if __name__ == "__main__":
    opened = load(Path(__file__).with_name("pictures.onnx"))
    for name in sys.argv[1:]:
        print(json.dumps({"item": name, **predict(name, *opened)}))
