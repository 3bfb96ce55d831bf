"""What a fit logs: the curves of its history and the figures of its report, and nothing else."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import MissingExtraError, UnknownNameError
from striate.fitting.options import LOG_NAMES
from striate.train.history import EpochRow
from striate.train.logs.log import LOGS, NO_LOG, NoLog, check_log, open_log

ROW = EpochRow(
    epoch=1,
    train_loss=2.0,
    metrics={"loss": 1.5, "accuracy": 0.5},
    learning_rate=0.1,
    seconds=1.0,
    samples_per_second=10.0,
)


class FakeWandb(types.ModuleType):
    """The few functions of W&B that are called; it keeps what it is told."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace(name="wandb")
        self.settings, self.rows, self.summary, self.steps = [], [], {}, []
        self.finished = 0

    def init(self, **settings):
        self.settings.append(settings)
        return self

    def define_metric(self, name, step_metric):
        self.steps.append((name, step_metric))

    def log(self, values):
        self.rows.append(values)

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    module = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture(scope="module")
def dots(tmp_path_factory, own_cache):
    """Thirty bright and thirty dark pictures."""
    root = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)
    for name, level in (("bright", 170), ("dark", 40)):
        (root / name).mkdir()
        for number in range(30):
            pixels = rng.integers(level, level + 80, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def fitted(dots, out, log):
    layers = "[conv8-relu]x1 - gap - fc10"
    options = {"method": "scratch", "model": layers, "epochs": 2, "image_size": 32}
    return striate.fit(dots, out=out, log=log, device="cpu", **options)


def test_the_curves_are_those_of_the_history(dots, tmp_path, wandb):
    run = fitted(dots, tmp_path / "run", "wandb")
    history = run.folder.read_csv("history.csv")
    assert len(history) == len(wandb.rows) == 2
    for told, row in zip(wandb.rows, history, strict=True):
        named = {name for name in row if name not in ("seconds", "samples_per_second")}
        assert {f"scratch/{name}" for name in named} == set(told)
        assert any(name.startswith("val_") for name in named)
        for name in named:
            assert float(row[name]) == pytest.approx(told[f"scratch/{name}"])
    assert wandb.summary == {f"test/{name}": value for name, value in run.metrics.items()}
    assert ("scratch/*", "scratch/epoch") in wandb.steps and wandb.finished == 1
    assert str(dots) not in str(wandb.rows)


def test_a_resumed_fit_goes_on_with_its_own_run(tmp_path, wandb):
    first, again = (open_log("wandb", tmp_path, {"seed": 0}) for _ in range(2))
    assert first is not again
    one, two = wandb.settings
    assert one["id"] == two["id"] and one["resume"] == "allow"
    (tmp_path / "other").mkdir()
    open_log("wandb", tmp_path / "other", {})
    assert wandb.settings[-1]["id"] != one["id"]


def test_event_files_hold_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = open_log("tensorboard", tmp_path, {"seed": 0})
    log.begin("finetune")
    log.epoch(ROW)
    log.figures({"accuracy": 0.75})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (loss,) = events.Scalars("finetune/train_loss")
    assert (loss.step, loss.value) == (1, 2.0)
    assert events.Scalars("finetune/val_accuracy")[0].value == 0.5
    assert events.Scalars("test/accuracy")[0].value == 0.75


def test_names(tmp_path, monkeypatch):
    assert LOG_NAMES == ("none", "tensorboard", "wandb")
    assert isinstance(open_log(NO_LOG, tmp_path, {}), NoLog)
    assert not list(tmp_path.iterdir())
    check_log(NO_LOG)
    monkeypatch.setattr("striate.train.logs.log.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"striate\[wandb\]"):
        check_log("wandb")
    with pytest.raises(UnknownNameError, match="did you mean 'tensorboard'"):
        striate.fit(tmp_path, log="tensorbord")
    assert set(LOGS.names()) <= set(LOG_NAMES)
