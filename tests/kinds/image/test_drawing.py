"""An image beside its heat."""

from types import SimpleNamespace

import numpy as np
import torch

from striate.data.source import Reading
from striate.kinds.image.drawing import picture


class Corner(torch.nn.Module):
    """The sum of the pixels of a corner is the one logit."""

    def forward_features(self, x):
        return x

    def forward_head(self, features):
        return features[:, :, 10:20, 10:20].sum((1, 2, 3))[:, None]


def test_an_image_is_drawn_as_it_is_and_under_its_heat():
    pixels = np.random.default_rng(0).integers(1, 256, (3, 50, 60), dtype=np.uint8)
    reading = Reading(array=pixels, sha256="")
    inputs = SimpleNamespace(
        checked=lambda reading: reading,
        inputs=lambda readings: torch.from_numpy(np.stack([r.array for r in readings])),
        normalized=lambda pixels: pixels.float(),
    )
    cpu = torch.device("cpu")
    drawn = picture(Corner(), inputs, reading, 0, "saliency", device=cpu, item="")
    assert np.array_equal(drawn.image, pixels.transpose(1, 2, 0))
    rows, columns = np.nonzero(np.ptp(np.asarray(drawn.overlay).astype(int), axis=-1) > 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 10, 19)
    assert len(rows) > 90
