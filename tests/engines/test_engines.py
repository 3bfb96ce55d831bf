"""Engines by themselves: what they need, and what they make of what ONNX lacks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.engines import Deployment, load_engines
from striate.engines.onnx_file import _adaptive_average_pool
from striate.errors import EngineError, MissingExtraError

NAMES = load_engines().names()


def deployment_of(module, example):
    return Deployment(
        module=module.eval(),
        example=example,
        input_name="inputs",
        output_names=("a", "b"),
        card={"classes": ["é", "b"]},
    )


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)

    def forward(self, x):
        maps = F.adaptive_avg_pool3d(self.conv(x), (2, 3, 5)).flatten(1)
        return maps, maps.softmax(1)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_answers_as_its_module_for_any_number_of_items(name, tmp_path):
    engine = load_engines().get(name)
    torch.manual_seed(0)
    module = TwoOutputs()
    path = tmp_path / f"m{engine.suffix}"
    engine.write(deployment_of(module, torch.zeros(2, 1, 6, 7, 8)), path)
    session = engine.load(path)
    for items in (1, 5):
        x = torch.randn(items, 1, 6, 7, 8)
        with torch.no_grad():
            expected = module(x)
        for got, wanted in zip(session(x.numpy()), expected, strict=True):
            torch.testing.assert_close(torch.tensor(got), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_told_with_its_path(name, tmp_path):
    engine = load_engines().get(name)
    path = tmp_path / f"m{engine.suffix}"
    path.write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"cannot read .*m\."):
        engine.load(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_names_the_extra(name, monkeypatch):
    engine = load_engines().get(name)
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    if engine.packages:
        with pytest.raises(MissingExtraError, match=rf"striate\[{engine.extra}\]"):
            engine.require()
    else:
        engine.require()


def test_what_cannot_be_traced_is_told():
    class Branching(nn.Module):
        def forward(self, x):
            return (x, x) if x.sum() > 0 else (-x, x)

    with pytest.raises(EngineError, match="cannot be traced"):
        deployment_of(Branching(), torch.zeros(2, 3)).program()


@pytest.mark.parametrize("size", [(4, 6, 8), (2, 3, 4), (3, 3, 5), (1, 7, 9)])
def test_adaptive_pooling_equals_torchs(size):
    x = torch.randn(2, 3, 4, 6, 8, dtype=torch.float64).float()
    expected = F.adaptive_avg_pool3d(x, size)
    torch.testing.assert_close(_adaptive_average_pool(x, list(size)), expected)
