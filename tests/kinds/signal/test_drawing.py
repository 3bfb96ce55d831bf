"""Signals as drawings: lanes, heat, times, and what was added behind a short one."""

import base64
import xml.etree.ElementTree as ET
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.source import Reading
from striate.errors import ArgumentError
from striate.kinds.signal import drawing
from striate.kinds.signal.drawing import MARGIN, WIDTH, signal_svg
from striate.kinds.signal.inputs import SignalInputs
from striate.models import create_model

SVG = "{http://www.w3.org/2000/svg}"


def example(channels: int = 3, length: int = 200) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(length)
    signal = np.stack([np.sin(time * (0.05 + 0.03 * c)) for c in range(channels)])
    heat = np.exp(-(((time - length / 4) / 10) ** 2))
    return signal, heat


@pytest.mark.parametrize("length", [1, 2, 24, 200, 50_000])
@pytest.mark.parametrize("channels", [1, 3, 60])
def test_everything_lies_inside(channels: int, length: int) -> None:
    root = ET.fromstring(signal_svg(*example(channels, length)))
    height = float(root.get("height"))
    lines = root.findall(f"{SVG}polyline")
    assert float(root.get("width")) == WIDTH and len(lines) == channels
    for line in lines:
        points = np.array([p.split(",") for p in line.get("points").split()], float)
        assert (points >= 0).all() and (points <= [WIDTH, height]).all()
        assert len(points) <= 2 * WIDTH


def test_the_heat_is_where_it_is_said_to_be() -> None:
    root = ET.fromstring(signal_svg(*example()))
    bars = [rect for rect in root.findall(f"{SVG}rect") if rect.get("fill-opacity")]
    strongest = max(bars, key=lambda rect: float(rect.get("fill-opacity")))
    assert float(strongest.get("x")) == pytest.approx(WIDTH / 4, abs=10)
    assert len(bars) < 60


def test_a_short_peak_among_many_samples_is_drawn() -> None:
    signal, heat = np.zeros((1, 100_000)), np.zeros(100_000)
    signal[0, 70_000], heat[70_000] = 1, 1
    root = ET.fromstring(signal_svg(signal, heat))
    points = root.find(f"{SVG}polyline").get("points").split()
    ys = [float(point.split(",")[1]) for point in points]
    assert max(ys) - min(ys) > 80
    assert len([r for r in root.findall(f"{SVG}rect") if r.get("fill-opacity")]) == 1


def texts(svg: str) -> list[str]:
    return [element.text for element in ET.fromstring(svg).findall(f"{SVG}text")]


def test_times_are_written() -> None:
    signal, heat = example(2, 101)
    assert texts(signal_svg(signal, heat, rate=50)) == ["0 s", "0.5 s", "1 s", "1.5 s", "2 s"]
    assert texts(signal_svg(signal, heat)) == ["0", "25", "50", "75", "100"]


def drawn(svg: str) -> tuple[float, list[tuple[float, float]], np.ndarray]:
    """Where the hatch begins; place and opacity of each bar; (points, 2) of the line."""
    root = ET.fromstring(svg)
    rects = root.findall(f"{SVG}rect")
    (hatch,) = [float(r.get("x")) for r in rects if r.get("fill") == "url(#padding)"]
    bars = [
        (float(r.get("x")), float(r.get("fill-opacity"))) for r in rects if r.get("fill-opacity")
    ]
    points = root.find(f"{SVG}polyline").get("points").split()
    return hatch, bars, np.array([p.split(",") for p in points], float)


def test_padding_is_hatched_and_holds_no_evidence() -> None:
    """A short signal whose network looks at the silence behind it."""
    signal, heat = np.zeros((1, 401)), np.zeros(401)
    signal[0, :100] = np.sin(np.arange(100))
    heat[40], heat[300] = 0.5, 1.0
    hatch, bars, line = drawn(signal_svg(signal, heat, rate=400, num_padded=301))
    assert hatch == pytest.approx(MARGIN + 99 / 400 * (WIDTH - 2 * MARGIN), abs=0.1)
    ((place, opacity),) = bars  # scaled to the most in the signal itself
    assert place == pytest.approx(MARGIN + 40 / 401 * (WIDTH - 2 * MARGIN), abs=4)
    assert opacity == 0.75
    assert line[:, 0].max() <= hatch + 0.1 and np.ptp(line[:, 1]) > 80
    said = " ".join(texts(signal_svg(signal, heat, rate=400, num_padded=301)))
    assert "The signal ends at 0.25 s; what is hatched was added behind it. The most" in said
    assert said.endswith("lies there, and is not shown: do not rely on the rest.")


def word(place: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """A sound with 0.1 s of noise in 1 s of near silence, evidence at a place, a spectrogram."""
    signal, heat = 1e-4 * np.ones((1, 1000)), np.zeros(1000)
    signal[0, 400:500] = np.random.default_rng(0).normal(size=100)
    heat[place : place + 50] = 1.0
    return signal, heat, (np.random.default_rng(1).random((16, 20)), np.ones((16, 20)))


def test_evidence_in_silence_is_said_to_be() -> None:
    signal, heat, bands = word(700)
    said = " ".join(texts(signal_svg(signal, heat, rate=1000, bands=bands)))
    assert "Grey bars below the time axis mark silence." in said
    assert "Most of the evidence lies in silence" in said
    signal, heat, bands = word(420)
    svg = signal_svg(signal, heat, rate=1000, bands=bands)
    assert "mark silence" in svg and "lies in silence" not in svg
    assert "silence" not in signal_svg(signal, heat, rate=1000)  # a series is not heard


def test_silence_is_what_lies_far_below_the_loudest() -> None:
    quiet = drawing.silence(word(0)[0])
    assert quiet[:390].all() and quiet[510:].all() and not quiet[405:495].any()
    assert drawing._stretches(quiet)[0][0] == 0 and len(drawing._stretches(quiet)) == 2


def test_a_spectrogram_is_drawn_where_one_is_seen() -> None:
    signal, heat, bands = word(420)
    root = ET.fromstring(signal_svg(signal, heat, rate=1000, num_padded=250, bands=bands))
    image = root.find(f"{SVG}image")
    assert float(image.get("width")) == pytest.approx(0.75 * (WIDTH - 2 * MARGIN), abs=0.1)
    with Image.open(BytesIO(base64.b64decode(image.get("href").partition(",")[2]))) as shown:
        assert shown.size == (15, 16)  # the added quarter is left out
    bottom = float(image.get("y")) + float(image.get("height"))
    assert bottom < float(root.get("height"))


def test_evidence_before_the_padding_is_drawn_as_it_is() -> None:
    signal, heat = np.ones((1, 401)), np.zeros(401)
    heat[40], heat[300] = 1.0, 0.5
    svg = signal_svg(signal, heat, num_padded=301)
    assert "The signal ends at sample 100" in svg and "most evidence" not in svg
    assert len(drawn(svg)[1]) == 1
    assert not any(drawn(signal_svg(signal, 1.0 * (heat == 0.5), num_padded=301))[1])
    assert "url(#padding)" not in signal_svg(signal, heat)


@pytest.mark.parametrize(
    ("signal", "heat", "said"),
    [
        (np.zeros((1, 5)), np.zeros(4), r"heat of \(4,\) for a signal of \(1, 5\)"),
        (np.zeros((1, 5)), np.full(5, 2.0), "heat from 2 to 2"),
        (np.full((1, 5), np.nan), np.zeros(5), "not finite"),
        (np.zeros((0, 5)), np.zeros(5), "for a signal of"),
    ],
)
def test_what_cannot_be_drawn(signal: np.ndarray, heat: np.ndarray, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        signal_svg(signal, heat)


def click(length: int, place: int, rate: float) -> Reading:
    samples = np.zeros((1, length), np.float32)
    samples[0, place : place + 30] = np.random.default_rng(0).normal(size=30)
    return Reading(array=samples, sha256="", spacing=(1 / rate,))


@pytest.fixture
def shown(monkeypatch):
    """What `picture` hands on to be drawn."""
    calls = []

    def record(signal, heat, *, rate=0.0, num_padded=0, bands=None):
        calls.append(SimpleNamespace(signal=signal, heat=heat, rate=rate, num_padded=num_padded))
        return "<svg/>"

    monkeypatch.setattr(drawing, "signal_svg", record)

    def show(network, feed, reading, method):
        cpu = torch.device("cpu")
        drawing.picture(network.eval(), feed, reading, 0, method, device=cpu, item="")
        return calls.pop()

    return show


@pytest.mark.parametrize("length", [400, 700])
def test_a_sound_is_drawn_as_heard_with_its_heat_over_time(length: int, shown) -> None:
    sound = click(length, length // 2 + 40, 8000.0)
    feed = SignalInputs(
        channels=1, length=400, input="mel", normalize="none", rate=8000.0, bands=16
    )
    network = create_model("resnet18", rank=2, in_channels=1, num_classes=2)
    found = shown(network, feed, sound, "occlusion")
    start = (length - 400) // 2
    assert np.array_equal(found.signal, sound.array[:, start : start + 400])
    assert (found.rate, found.num_padded) == (8000.0, 0)
    assert found.heat.shape == (400,) and found.heat.max() <= 1


@pytest.mark.parametrize(("rate", "num_real"), [(8000.0, 150), (16000.0, 75)])
def test_what_was_added_behind_a_short_sound_is_known(rate: float, num_real: int, shown) -> None:
    feed = SignalInputs(
        channels=1, length=400, input="mel", normalize="none", rate=8000.0, bands=16
    )
    network = create_model("resnet18", rank=2, in_channels=1, num_classes=2)
    found = shown(network, feed, click(150, 20, rate), "saliency")
    assert found.num_padded == 400 - num_real
    assert found.signal[:, :num_real].any() and not found.signal[:, num_real:].any()


def test_a_series_is_drawn_as_the_network_saw_it(shown) -> None:
    series = Reading(array=np.arange(30, dtype=np.float32)[None], sha256="")
    feed = SignalInputs(channels=1, length=60, lengths="resample", mean=(15.0,), std=(8.0,))
    network = create_model("resnet18", rank=1, in_channels=1, num_classes=2)
    found = shown(network, feed, series, "gradcam")
    assert found.signal.shape == (1, 60) and found.heat.shape == (60,)
    assert (found.signal.min(), found.signal.max()) == pytest.approx((0, 29))
    assert (found.rate, found.num_padded) == (0, 0)
