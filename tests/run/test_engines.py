"""Engines in torch's place: measured, kept, and used where they answer as torch does."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import striate
from striate.cli.main import run as command_line
from striate.errors import EngineError, UnknownNameError
from striate.files import user_cache_folder
from striate.progress import Progress
from striate.run.engines import measure
from striate.run.engines.files import ENGINES, EngineFile
from striate.run.engines.measure import EnginesMeasured, EngineTimes, Timing
from striate.run.engines.narrow import NARROW, compared, narrow_session, torch_session

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def signal_run(tmp_path_factory, own_cache):
    """A run of a small network on series, trained for one epoch."""
    rng = np.random.default_rng(0)
    loud = np.arange(40) % 2 == 1
    folder = tmp_path_factory.mktemp("data") / "series"
    folder.mkdir()
    series = rng.normal(size=(40, 2, 64)) * np.where(loud, 3.0, 1.0)[:, None, None]
    np.save(folder / "X.npy", series.astype(np.float32))
    np.save(folder / "y.npy", np.where(loud, "loud", "quiet"))
    out = tmp_path_factory.mktemp("runs") / "series"
    model = "[conv8-bn-relu]x2 - gap - fc2"
    options = {"method": "scratch", "epochs": 1, "model": model, "device": "cpu"}
    return striate.fit(folder, out=out, **options), folder


@pytest.fixture(scope="module")
def found(signal_run):
    """What was measured of it, with few calls."""
    run, _ = signal_run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "SECONDS", 0.0)
        return measure.measure(run)


def document(rates, agree=("onnx",)):
    """A measurement with these rates at 16 items."""
    engines = tuple(
        EngineTimes(
            name=name,
            timings=(Timing(batch=16, p50=1.0, p99=2.0, items_per_second=rate, calls=9),),
            agrees=name in ("torch", *agree),
        )
        for name, rate in rates.items()
    )
    return EnginesMeasured(run="run", machine={}, shape=(1, 8), engines=engines)


def test_every_engine_is_measured_and_kept(signal_run, found):
    run, _ = signal_run
    names = [engine.name for engine in found.engines if engine.name not in NARROW]
    assert names == ["torch", *ENGINES]
    for engine in found.engines:
        assert not engine.why_not
        assert [timing.batch for timing in engine.timings] == [1, 16]
        for timing in engine.timings:
            assert 0 < timing.p50 <= timing.p99 and timing.calls == measure.MIN_CALLS
            assert timing.items_per_second == pytest.approx(
                1e3 * timing.batch / timing.p50,
                rel=0.05,  # a rounded p50 of 30 microseconds
            )
    assert all(engine.agrees for engine in found.engines if engine.name in ENGINES)
    assert measure.measured(run) == found
    assert measure.fastest(run) == found.fastest(16)


def test_what_was_measured_of_other_weights_or_threads_is_not_taken(signal_run, found, monkeypatch):
    run, _ = signal_run
    monkeypatch.setattr(measure.torch, "get_num_threads", lambda: 77)
    assert measure.measured(run) is None and measure.fastest(run) == "torch"
    monkeypatch.undo()
    other = striate.load(run.folder.path, device="cpu")
    weights = run.record.model.model_copy(update={"sha256": "other"})
    other.record = run.record.model_copy(update={"model": weights})
    assert measure.measured(run) == found and measure.measured(other) is None


def test_a_damaged_measurement_counts_as_none(signal_run, found):
    run, _ = signal_run
    (path,) = [p for p in (user_cache_folder() / "engines").glob("*.json") if p.is_file()]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert measure.measured(run) is None
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("rates", "agree", "winner"),
    [
        ({"torch": 100, "onnx": 200, "openvino": 150}, ("onnx", "openvino"), "onnx"),
        ({"torch": 100, "onnx": 200, "openvino": 150}, ("openvino",), "openvino"),
        ({"torch": 100, "onnx": 104, "openvino": 0}, ("onnx", "openvino"), "torch"),
        ({"torch": 100, NARROW[0]: 900, "onnx": 120}, ("onnx",), "onnx"),
        ({"torch": 100, NARROW[0]: 900, "onnx": 120}, (NARROW[0], "onnx"), NARROW[0]),
        ({"torch": 100, NARROW[1]: 900, "onnx": 120}, (*NARROW, "onnx"), NARROW[1]),
        ({"torch": 100}, (), "torch"),
    ],
)
def test_the_fastest_that_agrees_is_taken(rates, agree, winner):
    found = document(rates, agree)
    assert found.fastest(16) == winner
    assert f"--engine auto takes {winner} for more than 16 items" in found.as_text()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [3, 40])
def test_an_engine_predicts_as_torch_does(engine, count, signal_run):
    run, folder = signal_run
    items = np.load(folder / "X.npy")[:count]
    expected = run.predict([items])
    got = striate.load(run.folder.path, device="cpu", engine=engine).predict([items])
    assert [p.label for p in got] == [p.label for p in expected]
    for one, other in zip(got, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_tells_strange_items_as_torch_does(engine, probe_run, photos):
    files = sorted(map(str, photos.rglob("*.png")))[:20]
    strange = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    expected = probe_run.predict([*files, strange])
    got = striate.load(probe_run.folder.path, device="cpu", engine=engine).predict(
        [*files, strange]
    )
    assert [p.unknown for p in got] == [p.unknown for p in expected]
    novelty = [p.novelty for p in expected]
    assert None not in novelty
    assert [p.novelty for p in got] == pytest.approx(novelty, abs=1e-3)


def test_an_engines_file_is_written_once(signal_run, monkeypatch):
    run, _ = signal_run
    file = EngineFile.of(run, "onnx")
    file.written(QUIET)
    monkeypatch.setattr(type(file.engine), "write", None)
    assert file.written(QUIET).agrees
    assert file.path.is_file() and file.folder.is_relative_to(user_cache_folder())


def test_auto_uses_the_winner_for_many_items_alone(signal_run, monkeypatch):
    run, folder = signal_run
    items, asked = np.load(folder / "X.npy"), []
    monkeypatch.setattr(measure, "measured", lambda run: document({"torch": 1, "onnx": 9}))

    def session(self, progress):
        answer = self.loaded()

        def noted(inputs):
            asked.append(len(inputs))
            return answer(inputs)

        return noted

    monkeypatch.setattr(EngineFile, "session", session)
    auto = striate.load(run.folder.path, device="cpu", engine="auto")
    auto.predict([items[:16]])
    assert asked == []
    found = auto.evaluate(folder)
    assert sum(asked) >= 40
    expected = run.evaluate(folder)
    assert found.metrics["accuracy"] == expected.metrics["accuracy"]


def test_an_engine_that_answers_otherwise_is_refused(signal_run, found, monkeypatch):
    run, folder = signal_run
    whole = EngineFile.of(run, "onnx").check()
    monkeypatch.setattr(EngineFile, "check", lambda self: replace(whole, same=1))
    items = np.load(folder / "X.npy")[:2]
    with pytest.raises(EngineError, match=r"ONNX Runtime answers otherwise.*use `engine='torch'`"):
        striate.load(run.folder.path, device="cpu", engine="onnx").predict([items])
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    monkeypatch.setattr(measure, "write_atomic", lambda path, content: None)
    result = measure.measure(run)
    assert not any(engine.agrees for engine in result.engines if engine.name in ENGINES)
    assert result.fastest(16) == "torch"
    assert "onnx is not used: 1 of " in result.as_text()


@pytest.fixture
def example(signal_run):
    """Inputs of a few items."""
    run, _ = signal_run
    return torch.zeros(2, *run.predictor.inputs.input_shape)


class Detector:
    """Calls the mean of the features the novelty."""

    def novelty(self, features):
        return features.mean(1)


def test_bfloat16_is_compared_by_answers_and_novelty(signal_run, example, monkeypatch):
    run, _ = signal_run
    monkeypatch.setitem(vars(run), "novelty_detector", Detector())
    exact = torch_session(run, torch.float32)
    found = compared(lambda: exact, run, example, QUIET)
    assert found.items == "test items" and found.agrees and found.beside[0].name == "novelty"
    outputs, _, features = exact(example.numpy())

    def apart(by, features_by):
        def answer(given):
            outputs, answers, features = exact(given)
            return outputs, answers + by, features + features_by

        return compared(lambda: answer, run, example, QUIET)

    assert not apart(0.002, 0).agrees and not apart(0, 100).agrees
    narrow = narrow_session(run, "torch bfloat16", QUIET)(example.numpy())
    assert outputs.shape == narrow[0].shape and features.shape == narrow[2].shape
    assert not (outputs == narrow[0]).all()
    assert narrow[0] == pytest.approx(outputs, abs=0.1)


def test_bfloat16_is_not_used_where_the_test_items_cannot_be_read(signal_run, example, monkeypatch):
    run, _ = signal_run
    monkeypatch.setattr("striate.run.deployment.check._test_batches", lambda *_: iter(()))
    exact = torch_session(run, torch.float32)
    with pytest.raises(EngineError, match="bfloat16 is not used: the test items"):
        compared(lambda: exact, run, example, QUIET)


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_answers_where_it_agreed_and_was_fastest(name, signal_run, monkeypatch):
    run, folder = signal_run
    items = np.load(folder / "X.npy")
    expected = run.predict([items])
    found = document({"torch": 1, name: 9}, (name,))
    monkeypatch.setattr(measure, "measured", lambda run: found)
    auto = striate.load(run.folder.path, device="cpu", engine="auto")
    assert auto.chosen_engine == name
    got = auto.predict([items])
    outputs = [p.probabilities[0] for p in got]
    exact = [p.probabilities[0] for p in expected]
    assert outputs == pytest.approx(exact, abs=0.05)
    assert [p.to_json() for p in auto.predict([items[:3]])] == [
        p.to_json() for p in run.predict([items[:3]])
    ]


def test_engines_for_which_there_is_no_time_are_left_out(signal_run, monkeypatch):
    run, _ = signal_run
    monkeypatch.setattr(measure, "write_atomic", lambda path, content: None)
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    found = measure.measure(run, seconds=-1)
    (timed,) = [engine for engine in found.engines if engine.timings]
    assert timed.name == "torch"
    assert {timing.calls for timing in timed.timings} == {measure.HASTY_CALLS}
    assert "onnx: it was not tried for want of time" in found.as_text()
    assert found.fastest(16) == "torch"


def test_an_engine_that_is_not_installed_is_told(signal_run, monkeypatch, tmp_path):
    run, _ = signal_run
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    result = measure.measure(run)
    assert {engine.name for engine in result.engines if engine.why_not} == set(ENGINES)
    assert 'pip install "striate[onnx]"' in result.as_text()


def test_an_unknown_engine(signal_run):
    run, _ = signal_run
    with pytest.raises(UnknownNameError, match=r"unknown engine 'onx'.*onnx"):
        striate.load(run.folder.path, engine="onx")


def test_the_commands(signal_run, found, capsys):
    def call_command(*arguments):
        code = command_line([*arguments])
        return code, *capsys.readouterr()

    run, folder = signal_run
    path = str(run.folder.path)
    code, out, _ = call_command("engines", path, "--device", "cpu")
    assert code == 0 and "as torch" in out and "--engine auto takes" in out
    code, out, _ = call_command("engines", path, "--device", "cpu", "--json")
    assert set(json.loads(out)["fastest"]) == {"1", "16"}
    code, _, error = call_command("engines", "--measure")
    assert code == 2 and "no RUN is given" in error
    plain = call_command(
        "eval", path, str(folder), "--device", "cpu", "--engine", "torch", "--json"
    )
    onnx = call_command("eval", path, str(folder), "--device", "cpu", "--engine", "onnx", "--json")
    assert plain[0] == onnx[0] == 0
    one, other = (json.loads(said[1])["metrics"]["log_loss"]["value"] for said in (plain, onnx))
    assert one == pytest.approx(other, abs=1e-4)
    code, _, error = call_command("predict", path, str(folder), "--engine", "tensorrt")
    assert code == 2 and "unknown engine 'tensorrt'" in error
