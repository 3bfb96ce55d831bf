"""Which explanation of a synthetic helix `auto` comes to, and whether its check passes.

    python benchmarks/helix.py [--seeds 10] [--items 240] [--helices 1]

Features of volumes of sample:synthetic-volumes (the first of each of the six solids) are taken
once; each seed draws a split, fits a linear probe on the tri-planar features to two thirds, has
`auto` choose on some of the others as `striate explain` does on validation items, and explains the
first helices that it names rightly among those that are left, by `auto` and by Grad-CAM, with four
points of the curves. What it printed is in docs/kinds/volumes.md.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor
from volumes import HELIX

from striate.data.layouts import open_source
from striate.data.source import Reading
from striate.kinds.kind import kind_named
from striate.kinds.volume.inputs import VolumeInputs
from striate.models import create_model
from striate.nn.fuse import fold_batch_norm
from striate.run.explain import PictureMaker, in_order, measured_methods, preferred
from striate.run.explain.best import MAX_ITEMS
from striate.run.predictor import Predictor
from striate.transfer.logistic_probe import fit_probe

STEPS = 4


class Probed:
    """The volumes, their features, and the network whose head each seed fits anew."""

    def __init__(self, num_items: int) -> None:
        source = open_source("sample:synthetic-volumes")
        by_class: dict[str, list[Reading]] = {}
        for item in source.listing.items:
            some = by_class.setdefault(str(item.label), [])
            if len(some) < num_items // 6:
                some.append(source.read(item))
        self.readings = [one for name in sorted(by_class) for one in by_class[name]]
        self.labels = np.repeat(np.arange(6), num_items // 6)
        self.inputs = VolumeInputs.fitted(self.readings, {})
        network = create_model(
            "tri_planar", rank=3, in_channels=1, num_classes=6, weights="imagenet"
        )
        self.network = fold_batch_norm(network.eval(), self.inputs.inputs(self.readings[:1]))
        found = []
        for start in range(0, len(self.readings), 8):
            with torch.inference_mode():
                batch = self.inputs.inputs(self.readings[start : start + 8])
                found.append(self.network.pool(self.network.forward_features(batch)).flatten(1))
        self.features: Tensor = torch.cat(found).clone()

    def helices(self, seed: int) -> tuple[float, list[tuple[Reading, int]], NDArray[np.int64]]:
        """After a fit of the head the accuracy on the held-out third, its first items with what is
        predicted, and the helices among the others that are right."""
        train, test = train_test_split(
            np.arange(len(self.labels)), test_size=1 / 3, stratify=self.labels, random_state=seed
        )
        head = fit_probe(self.features[train], torch.from_numpy(self.labels[train]), 6).as_head()
        self.network.classifier.load_state_dict(head.state_dict())
        with torch.inference_mode():
            told = head(self.features[test]).argmax(1).numpy()
        right = told == self.labels[test]
        half = MAX_ITEMS
        judged = [(self.readings[i], int(k)) for i, k in zip(test[:half], told, strict=False)]
        helix = right & (self.labels[test] == HELIX)
        return float(right.mean()), judged, test[half:][helix[half:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--items", type=int, default=240)
    parser.add_argument("--helices", type=int, default=1, help="of each seed [1]")
    args = parser.parse_args()
    kind, probed = kind_named("volume"), Probed(args.items)
    predictor = Predictor(network=probed.network, inputs=probed.inputs, device=torch.device("cpu"))
    passed: dict[str, list[bool]] = {"auto": [], "gradcam": []}
    chosen = []
    for seed in range(args.seeds):
        accuracy, judged, helices = probed.helices(seed)
        figures = measured_methods(predictor, judged, preferred(kind), seconds=math.inf)
        print(", ".join(f"{one.method} {one.mean:.2f}" for one in figures), flush=True)
        for item in helices[: args.helices]:
            told = []
            for name, methods in (
                ("auto", in_order(figures, kind)),
                ("gradcam", ("gradcam",)),
            ):
                draw = PictureMaker(kind, predictor, methods, steps=STEPS, choosy=True)
                picture = draw(probed.readings[item], HELIX, str(item))
                passed[name].append(bool(picture and picture.found and picture.faithful))
                told.append(f"{name}: {picture.method}, {picture.check()}")
                if name == "auto":
                    chosen.append(picture.method)
            print(
                f"seed {seed}, accuracy {accuracy:.3f}, item {item}; {'; '.join(told)}", flush=True
            )
    print(f"auto chose occlusion {chosen.count('occlusion')} of {len(chosen)}")
    for name, checks in passed.items():
        print(f"{name}: the check passed {sum(checks)} of {len(checks)}")


if __name__ == "__main__":
    main()
