"""The picture of the page on signals, made by Striate's own functions from a sample of aeon."""

from __future__ import annotations

import numpy as np
import torch

from striate.data.layouts.layout import open_source
from striate.explain.drawing import svg_card
from striate.kinds.signal.drawing import signal_svg
from striate.kinds.signal.inputs import SignalInputs
from striate.models import create_model
from striate.models.rocket.minirocket import MiniRocket
from striate.transfer.logistic_probe import fit_probe
from striate.transfer.probe import ProbeConfig


def gun_point() -> bytes:
    """Evidence of MiniRocket for a movement being a drawn gun."""
    source = open_source("sample:gun-point")
    items = source.listing.items
    train = [item for item in items if item.split == "train"]
    shown = next(item for item in items if item.split == "test" and item.label == "1")
    readings = [source.read(item) for item in train]
    of_signals = SignalInputs.fitted(readings, {})
    inputs = of_signals.inputs(readings)
    assert isinstance(inputs, torch.Tensor)
    network = create_model(
        "minirocket", rank=1, in_channels=1, input_size=inputs.shape[-1], num_classes=2
    ).eval()
    assert isinstance(network, MiniRocket)
    network.fit_features(inputs, seed=0)
    labels = torch.tensor([int(item.label == "1") for item in train])
    with torch.inference_mode():
        features = network.pool(network.forward_features(inputs))
        probe = fit_probe(features, labels, 2, config=ProbeConfig(Cs=(0.1,)))
        network.head.linear = probe.as_head()
        item = of_signals.inputs([source.read(shown)])
        assert isinstance(item, torch.Tensor)
        heat = network.activation_map(item, torch.tensor([1]))[0].numpy()
    # Every place adds a little; shown is what lies above the middle.
    smooth = np.convolve(heat, np.hanning(13) / np.hanning(13).sum(), mode="same")
    smooth = (smooth - np.median(smooth)).clip(0)
    drawing = signal_svg(source.read(shown).array, smooth / smooth.max())
    caption = (f"Series {shown.id}", "Evidence for: a drawn gun (the network's own exact map)")
    return svg_card(drawing, caption).encode()
