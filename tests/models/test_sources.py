"""The published weights that a manifest names are, tensor by tensor, of the network they are for."""

from __future__ import annotations

import pytest
import torch

from striate.models import MODELS
from striate.weights import layouts, sources
from striate.weights.layout import their_keys

FAMILIES = ("convnext", "mobilenet", "efficientnet_v2", "vit")
FAST = ("convnext_tiny", "mobilenet_v2", "mobilenet_v3_small", "vit_ti_16")
CASES = [
    pytest.param(name, source, marks=() if name in FAST else pytest.mark.slow, id=source.name)
    for name, variant in MODELS.items()
    if variant.family in FAMILIES
    for source in sources(variant.family, name)
]


@pytest.mark.parametrize(("name", "source"), CASES)
def test_every_tensor_has_its_place(name, source) -> None:
    timm = pytest.importorskip("timm")
    variant = MODELS.get(name)
    with torch.device("meta"):
        theirs = timm.create_model(source.name).state_dict()
        ours = variant.build(variant.config).state_dict()
    names = their_keys(list(ours), layouts(variant.family)[source.layout])
    assert set(names) == set(ours) and set(names.values()) == set(theirs)
    assert all(theirs[names[key]].numel() == tensor.numel() for key, tensor in ours.items())
    card = timm.get_pretrained_cfg(source.name)
    assert source.preprocessing.mean == tuple(card.mean)
    assert source.preprocessing.std == tuple(card.std)
    assert source.preprocessing.size == card.input_size[-1]
