"""What every entry of every registry keeps: kinds, tasks, methods, layouts, readers, engines."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch

from striate.data.layouts.layout import LAYOUTS, open_source
from striate.data.randomness import Draws, item_keys
from striate.data.readers.molecule import molecule_reading
from striate.data.readers.reader import ARRAYS, READERS
from striate.data.source import Item, Reading, UnreadableItem, load_formats
from striate.engines.engine import load_engines
from striate.errors import ArgumentError, StriateError
from striate.fitting.method import METHODS, load_methods
from striate.fitting.options import FitOptions, declared_options
from striate.kinds.kind import KINDS
from striate.models import MODELS, create_model
from striate.registry import load_package
from striate.tasks.task import TASKS

load_package("striate.kinds")
load_package("striate.tasks")
load_methods()
load_formats()

OTHER_VALUES = {
    "epochs": 3, "workers": 3, "image_size": 64, "symmetry": "mirror", "weights": "imagenet",
    "model": "resnet18", "framing": "pad", "strategy": "fsdp", "good": "cat",
}  # fmt: skip
"""A value of each option that not every fit uses, other than its default."""


def arrays(shape, count=6):
    values = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    return [Reading(array=a, sha256=str(i)) for i, a in enumerate(values)]


def signals():
    waves = np.random.default_rng(0).normal(size=(6, 2, 120)).astype(np.float32)
    return [Reading(array=wave, sha256=str(i)) for i, wave in enumerate(waves)]


def nodes():
    source = open_source("sample:karate-club")
    return [source.read(item) for item in source.listing.items]


READINGS = {
    "image": lambda: arrays((3, 64, 80)),
    "signal": signals,
    "volume": lambda: arrays((1, 24, 24, 24)),
    "graph": lambda: [molecule_reading(text) for text in ("CCO", "c1ccccc1", "CC(=O)N", "CCCC")],
    "node": nodes,
}
"""Items of each kind, by its name: a new kind names its own here."""

each_kind = pytest.mark.parametrize("name", sorted(READINGS))
each_method = pytest.mark.parametrize("method", [*METHODS.names()])


def fitted(name):
    kind, readings = KINDS.get(name), READINGS[name]()
    options = {"size": 64} if name == "image" else {}
    return kind, kind.inputs_type.fitted(iter(readings), options), readings


def same(one, other):
    """Whether inputs are equal bit for bit: tensors, or batches of graphs."""
    if torch.is_tensor(one):
        return torch.equal(one, other)
    return all(
        torch.equal(a, b) if torch.is_tensor(a := getattr(one, f.name)) else a == b
        for f in fields(one)
        for b in [getattr(other, f.name)]
    )


def test_every_kind_has_items_here():
    assert set(KINDS.names()) - {"points"} == set(READINGS)


@each_kind
def test_inputs_are_restored_from_their_json(name):
    kind, inputs, readings = fitted(name)
    again = kind.inputs_type.from_json(json.loads(json.dumps(inputs.to_json())))
    assert again.input_shape == inputs.input_shape
    assert same(again.inputs(readings[:3]), inputs.inputs(readings[:3]))


@each_kind
def test_augmentation_follows_from_its_draws_alone(name):
    _, inputs, readings = fitted(name)
    inputs = inputs.with_symmetry("auto")
    keys = item_keys([str(i) for i in range(3)])
    first, again = (
        inputs.augmented(readings[:3], Draws(keys=keys, seed=1, epoch=2)) for _ in range(2)
    )
    assert same(first, again)


@each_kind
def test_the_default_network_answers_the_inputs(name):
    kind, inputs, readings = fitted(name)
    defaults = kind.defaults(inputs)
    assert set(defaults.methods) <= set(METHODS.names())
    named = {defaults.network, defaults.features, defaults.wide_features} - {None}
    assert named <= set(MODELS.names())
    options = inputs.network_options(defaults.network)
    network = create_model(defaults.network, num_classes=4, **options).eval()
    with torch.inference_mode():
        outputs = network(inputs.for_network(network).normalized(inputs.inputs(readings[:2])))
    assert outputs.shape == (2, 4) and outputs.isfinite().all()


@each_kind
def test_a_kind_can_be_spoken_of(name):
    kind = KINDS.get(name)
    assert kind.name == name and len(set(kind.nouns)) == 2
    assert set(kind.named_options) <= {f.name for f in declared_options()}


@each_kind
@each_method
@pytest.mark.parametrize(
    "option", [f.name for f in declared_options() if "fit" not in f.metadata["scope"]]
)
def test_an_option_acts_or_is_refused(name, method, option):
    kind, uses = KINDS.get(name), METHODS.get(method).uses
    chosen = FitOptions(method=method, **{option: OTHER_VALUES[option]})
    scope = next(f.metadata["scope"] for f in declared_options() if f.name == option)
    acts = ("kind" not in scope or option in kind.named_options) and (
        "method" not in scope or option in uses
    )
    if acts:
        chosen.check_kind(name, kind.named_options)
        chosen.check_methods(name, uses)
        return
    with pytest.raises(ArgumentError, match=f"`{option}="):
        chosen.check_kind(name, kind.named_options)
        chosen.check_methods(name, uses)


@each_method
def test_a_method_says_what_it_is_and_uses(method):
    entry = METHODS.get(method)
    assert entry.name == method and entry.description
    assert entry.uses <= {f.name for f in declared_options() if "method" in f.metadata["scope"]}


@pytest.mark.parametrize("name", TASKS.names())
def test_a_task_claims_nothing_without_answers(name):
    task = TASKS.get(name)
    assert task.name == name and task.template.is_file()
    assert not task.claims([Item(id="a"), Item(id="b")])


@pytest.mark.parametrize("name", LAYOUTS.names())
def test_a_layout_leaves_what_is_not_its_own(name, tmp_path):
    layout = LAYOUTS.get(name)
    assert layout.description and layout.description == layout.description.strip()
    assert not layout.matches(str(tmp_path / "nothing-here"))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name, reader in READERS.items() for suffix in reader.suffixes],
)
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"not a file of this kind\n" * 20])
def test_a_reader_refuses_nonsense_with_a_reason(name, suffix, content, tmp_path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    reader = READERS.get(name)
    assert reader.claims(path) in (True, False)
    try:
        reading = reader.read(path)
    except StriateError as error:
        assert str(error).strip() and "\n" not in str(error)
        assert isinstance(error, UnreadableItem)
    else:
        assert reading.array.size


@pytest.mark.parametrize("kind", ARRAYS.names())
def test_the_kind_of_an_array_is_one_that_is_known(kind):
    assert kind in KINDS or kind == "points"


@pytest.mark.parametrize("name", load_engines().names())
def test_an_engine_says_what_it_needs(name):
    engine = load_engines().get(name)
    assert engine.name == name and engine.suffix.startswith(".")
