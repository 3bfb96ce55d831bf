"""Signals as inputs: lengths, rates, normalization, spectrograms, augmentation."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.readers.signal import read_signal_table
from striate.data.source import Reading, UnreadableItem
from striate.errors import ArgumentError, DataError, UnknownNameError
from striate.kinds.signal.augment import DRAWS, SignalAugment, vary_signals, vary_spectrograms
from striate.kinds.signal.inputs import SignalInputs
from striate.kinds.signal.waveform import MelConfig, log_mel, mel_filters, to_length, to_rate

RNG = np.random.default_rng(0)


def fixed(numbers):
    """Draws that give these numbers."""
    return SimpleNamespace(uniforms=lambda count: numbers[:, :count])


def reading(array: np.ndarray, rate: float | None = None) -> Reading:
    spacing = () if rate is None else (1 / rate,)
    return Reading(array=array.astype(np.float32), sha256="", spacing=spacing)


def readings(lengths: list[int], channels: int = 2, rate: float | None = None) -> list[Reading]:
    scale = np.arange(1, channels + 1)[:, None]
    return [reading(RNG.normal(5, 3, (channels, n)) * scale, rate) for n in lengths]


def draws(count: int, value: float | None = None) -> np.ndarray:
    if value is not None:
        return np.full((count, len(DRAWS)), value)
    return np.random.default_rng(1).uniform(size=(count, len(DRAWS)))


def test_normalization_is_of_the_training_items_alone() -> None:
    train = readings([100] * 20)
    feed = SignalInputs.fitted(train, {})
    stacked = np.stack([r.array for r in train])
    np.testing.assert_allclose(feed.mean, stacked.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(feed.std, stacked.std((0, 2)), rtol=1e-6)
    x = feed.inputs(train)
    assert x.shape == (20, *feed.input_shape) == (20, 2, 100) and x.dtype == torch.float32
    torch.testing.assert_close(x.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std((0, 2), correction=0), torch.ones(2), atol=1e-5, rtol=0)
    other = reading(stacked[0] + 100)
    assert (feed.inputs([other]) > 5).all()


@pytest.mark.parametrize("unit", [1e-13, 1e-22])
@pytest.mark.parametrize("normalize", ["train", "item"])
def test_signals_in_a_large_unit_are_normalized_too(unit: float, normalize: str) -> None:
    plain = readings([100] * 8)
    small = [reading(r.array * np.float32(unit)) for r in plain]
    options = {"normalize": normalize}
    expected = SignalInputs.fitted(plain, options).inputs(plain)
    found = SignalInputs.fitted(small, options).inputs(small)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_signals_of_more_channels_than_samples_are_doubted() -> None:
    notes = SignalInputs.fitted(readings([9] * 4, channels=128), {}).notes()
    assert [(note.code, note.severity) for note in notes] == [("axes", "warning")]
    assert not SignalInputs.fitted(readings([9] * 4, channels=9), {}).notes()


def test_sounds_below_the_floor_of_the_spectrogram_are_doubted() -> None:
    noise = [RNG.normal(size=(1, 8000)) for _ in range(4)]
    for level, codes in ((1e-6, ["faint"]), (1e-2, [])):
        feed = SignalInputs.fitted([reading(level * x, 8000) for x in noise], {})
        assert [note.code for note in feed.notes()] == codes
    loud = SignalInputs.fitted([reading(1e-6 * x, 8000) for x in noise], {"input": "raw"})
    assert not loud.notes()


def test_bands_are_refused_where_there_is_no_spectrogram() -> None:
    with pytest.raises(ArgumentError, match="bands=32: the inputs are the samples themselves"):
        SignalInputs.fitted(readings([100] * 3), {"bands": 32})


def test_a_rate_that_is_wrong_costs_its_item_and_no_memory() -> None:
    feed = SignalInputs.fitted([reading(RNG.normal(size=(1, 800)), 8000.0)], {"input": "raw"})
    with pytest.raises(UnreadableItem, match=r"0\.1 samples a second; at 8000"):
        feed.inputs([reading(RNG.normal(size=(1, 8000)), 0.1)])


def test_a_rate_far_below_is_reached_in_steps() -> None:
    seconds = np.arange(4_000_000) / 20_000
    slow = to_rate(np.cos(2 * np.pi * 0.05 * seconds)[None].astype(np.float32), 20_000, 2)
    assert slow.shape == (1, 400)
    expected = np.cos(2 * np.pi * 0.05 * np.arange(400) / 2)
    np.testing.assert_allclose(slow[0, 20:-20], expected[20:-20], atol=0.01)


def table(*columns: tuple[str, float]) -> Reading:
    """A table of noise around a value for each column."""
    rows = [RNG.normal(size=50) for _ in columns]
    lines = [
        ",".join(f"{value + row[n]:.3f}" for row, (_, value) in zip(rows, columns, strict=True))
        for n in range(50)
    ]
    header = ",".join(name for name, _ in columns)
    return read_signal_table("\n".join([header, *lines]).encode())


def test_columns_of_tables_go_by_their_names() -> None:
    train = [table(("x", 0), ("y", 90)), table(("Y", 90), ("X", 0)), table(("x", 0), ("y", 90))]
    feed = SignalInputs.fitted(train, {"normalize": "none"})
    feed = SignalInputs.from_json(json.loads(json.dumps(feed.to_json())))
    np.testing.assert_allclose(feed.mean, [0, 90], atol=1)
    for item in (*train, table(("y", 90), ("x", 0))):
        np.testing.assert_allclose(feed.inputs([item])[0].mean(1), [0, 90], atol=1)
    assert "in 1 training signals the columns are in another order" in feed.notes()[0].message


def test_columns_of_other_names_are_taken_by_place_and_noted() -> None:
    train = [table(("x", 0), ("y", 90)), table(("a", 0), ("b", 90)), reading(np.ones((2, 50)))]
    feed = SignalInputs.fitted(train, {})
    assert [note.code for note in feed.notes()] == ["other-columns"]
    assert "as a, b for x, y" in feed.notes()[0].message


def test_each_item_by_itself() -> None:
    items = readings([50, 50])
    feed = SignalInputs.fitted(items, {"normalize": "item"})
    x = feed.inputs([items[0], reading(items[0].array * 7 + 3)])
    torch.testing.assert_close(x[0], x[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(x.std(-1, correction=0), torch.ones(2, 2), atol=1e-5, rtol=0)
    as_stored = SignalInputs.fitted(items, {"normalize": "none"}).inputs(items)
    assert np.array_equal(as_stored[0].numpy(), items[0].array)


def test_a_constant_channel_is_no_division_by_zero() -> None:
    items = [reading(np.full((1, 30), 7.1)) for _ in range(3)]
    for normalize in ("train", "item"):
        x = SignalInputs.fitted(items, {"normalize": normalize}).inputs(items)
        assert x.isfinite().all() and x.abs().max() < 1e-3


def test_unequal_lengths_are_cropped_or_filled_up_and_said() -> None:
    items = readings([40, 50, 50, 60], channels=1)
    feed = SignalInputs.fitted(items, {})
    assert feed.length == 60
    x = feed.inputs(items)
    assert (x[0, 0, 40:] == 0).all() and (x[0, 0, :40] != 0).any()
    (note,) = feed.notes()
    assert "40 to 60 samples; inputs have 60: 3 shorter ones are filled up" in note.message
    short = SignalInputs.fitted(items, {"length": 40})
    middle = (items[3].array[:, 10:50] - short.mean[0]) / short.std[0]
    np.testing.assert_allclose(short.inputs([items[3]])[0], middle, rtol=1e-5)
    stretched = SignalInputs.fitted(items, {"lengths": "resample"})
    assert "3 are stretched or squeezed" in stretched.notes()[0].message
    assert (stretched.inputs(items)[0, 0, 50:] != 0).any()


def test_one_very_long_signal_does_not_set_the_length() -> None:
    feed = SignalInputs.fitted(readings([10] * 9 + [5000], channels=1), {})
    assert feed.length == 20 and "1 longer ones cropped" in feed.notes()[0].message
    assert not SignalInputs.fitted(readings([10] * 3), {}).notes()


def test_fault_54_mixed_rates_are_a_table_or_are_resampled_when_asked() -> None:
    items = readings([800] * 3, rate=8000) + readings([1600], rate=16000)
    with pytest.raises(DataError, match=r"8000 samples a second: 3, 16000 samples a second: 1"):
        SignalInputs.fitted(items, {})
    feed = SignalInputs.fitted(items, {"sample_rate": 8000, "input": "raw"})
    assert feed.rate == 8000 and feed.length == 800
    assert "1 training signals were resampled to 8000" in feed.notes()[0].message
    unknown = [*readings([800], rate=8000), *readings([800])]
    with pytest.raises(DataError, match="unknown samples a second: 1"):
        SignalInputs.fitted(unknown, {})
    with pytest.raises(ArgumentError, match="own rates are not known"):
        SignalInputs.fitted(readings([800]), {"sample_rate": 8000})


def test_fault_54_mixed_channels_are_a_table() -> None:
    items = readings([50] * 2, channels=1) + readings([50], channels=3)
    with pytest.raises(DataError, match="1 channels: 2, 3 channels: 1"):
        SignalInputs.fitted(items, {})
    feed = SignalInputs.fitted(items[:2], {})
    with pytest.raises(UnreadableItem, match="3 channels, and the others have 1"):
        feed.inputs(items)


def test_a_tone_is_the_same_at_every_rate() -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 100 * np.arange(rate) / rate)[None]

    slow = to_rate(tone(8000).astype(np.float32), 8000, 2000)
    assert slow.shape == (1, 2000)
    np.testing.assert_allclose(slow[0, 50:-50], tone(2000)[0, 50:-50], atol=5e-3)
    feed = SignalInputs.fitted([reading(tone(2000), 2000)], {"normalize": "none"})
    x = feed.inputs([reading(tone(8000), 8000)])
    np.testing.assert_allclose(x[0, 0, 50:-50], tone(2000)[0, 50:-50], atol=5e-3)
    line = np.linspace(0, 1, 7, dtype=np.float32)[None]
    np.testing.assert_allclose(to_length(line, 19)[0], np.linspace(0, 1, 19), atol=1e-6)


def test_sound_becomes_a_spectrogram_by_itself() -> None:
    items = readings([8000, 8000], channels=1, rate=8000)
    feed = SignalInputs.fitted(items, {})
    assert feed.input == "mel" and feed.input_shape == (1, 64, 101)
    x = feed.inputs(items)
    assert x.shape == (2, 1, 64, 101)
    torch.testing.assert_close(x.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert feed.augmented(items, fixed(draws(2))).shape == x.shape
    slow = readings([800], channels=1, rate=100)
    assert SignalInputs.fitted(slow, {}).input == "raw"
    with pytest.raises(ArgumentError, match="rate is not known"):
        SignalInputs.fitted(readings([800]), {"input": "mel"})


@pytest.mark.slow  # librosa is slow to import
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_mel_filters_equal_librosas(rate: int) -> None:
    filters = pytest.importorskip("librosa.filters", exc_type=ImportError)
    config = MelConfig.for_rate(rate)
    expected = filters.mel(
        sr=rate, n_fft=config.window, n_mels=config.bands, htk=True, norm=None, fmin=0
    )
    np.testing.assert_allclose(mel_filters(config).numpy(), expected, atol=1e-5)


def test_log_mel_equals_a_plain_fourier_transform() -> None:
    config = MelConfig(rate=8000, bands=20, window=256, hop=80)
    signal = np.sin(np.arange(1000) * 0.3)
    padded = np.pad(signal, 128)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    frames = np.stack([padded[i * 80 : i * 80 + 256] * window for i in range(13)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    expected = np.log(mel_filters(config).numpy() @ power.T + 1e-6)
    got = log_mel(torch.tensor(signal, dtype=torch.float32)[None, None], config)[0, 0]
    assert got.shape == (20, config.num_frames(1000))
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_json_gives_the_same_feed() -> None:
    items = readings([40, 60], rate=8000)
    feed = SignalInputs.fitted(items, {"augment": 0.5})
    again = SignalInputs.from_json(json.loads(json.dumps(feed.to_json())))
    assert again == feed and torch.equal(again.inputs(items), feed.inputs(items))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"inputs": "raw"}, UnknownNameError, "did you mean 'input'"),
        ({"input": "wave"}, ArgumentError, "choose raw or mel"),
        ({"lengths": "cut"}, ArgumentError, "choose crop or resample"),
        ({"length": 0}, ArgumentError, "1 at least"),
        ({"augment": -1}, ArgumentError, "0 at least"),
        ({"sample_rate": 0}, ArgumentError, "above 0"),
    ],
)
def test_bad_options_are_named(options, error, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=said):
        SignalInputs.fitted(readings([50]), options)
    with pytest.raises(DataError, match="no training signals"):
        SignalInputs.fitted([], {})


# --- augmentation ---


def wave(count: int = 4, channels: int = 2, length: int = 300) -> torch.Tensor:
    time = torch.arange(length) / length
    turns = torch.arange(1, count * channels + 1).view(count, channels, 1)
    return torch.sin(2 * torch.pi * turns * time) * 2**0.5


def test_the_same_draws_give_the_same_items_in_any_batch() -> None:
    items = readings([50] * 6)
    feed = SignalInputs.fitted(items, {})
    numbers = draws(6)
    whole = feed.augmented(items, fixed(numbers))
    parts = [feed.augmented(items[i : i + 1], fixed(numbers[i : i + 1])) for i in range(6)]
    torch.testing.assert_close(whole, torch.cat(parts))
    assert not torch.equal(whole, feed.augmented(items, fixed(draws(6)[::-1].copy())))
    assert not torch.equal(whole, feed.inputs(items))
    still = SignalInputs.fitted(items, {"augment": 0})
    assert torch.equal(still.augmented(items, fixed(numbers)), still.inputs(items))


def test_a_shift_is_a_shift() -> None:
    only = SignalAugment(shift=0.1, warp=0, scale=0, noise=0)
    numbers = draws(4, 0.5)
    numbers[:, DRAWS.index("shift")] = 1.0
    moved = vary_signals(wave(), numbers, only)
    torch.testing.assert_close(moved[..., 30:], wave()[..., :-30], atol=1e-5, rtol=0)
    assert torch.equal(moved[..., :30], wave()[..., :1].expand(-1, -1, 30))


def test_scale_and_noise_are_as_large_as_said() -> None:
    x = torch.zeros(2000, 1, 50)
    noisy = vary_signals(x, draws(2000), SignalAugment(shift=0, warp=0, scale=0, noise=0.3))
    # The deviation is uniform in 0 to 0.3, so its mean square is 0.03.
    assert float(noisy.square().mean()) == pytest.approx(0.03, rel=0.1)
    scaled = vary_signals(x + 1, draws(2000), SignalAugment(shift=0, warp=0, scale=0.2, noise=0))
    logs = scaled[:, 0, 0].log()
    assert float(logs.std()) == pytest.approx(0.2, rel=0.1) and abs(float(logs.mean())) < 0.02


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.9), st.integers(0, 10**6), st.integers(2, 60))
def test_time_never_runs_backwards(warp: float, seed: int, length: int) -> None:
    numbers = np.random.default_rng(seed).uniform(size=(3, len(DRAWS)))
    rising = torch.arange(length, dtype=torch.float32).expand(3, 1, -1).contiguous()
    moved = vary_signals(rising, numbers, SignalAugment(shift=0.2, warp=warp, scale=0, noise=0))
    assert (moved.diff(dim=-1) >= -1e-4).all()
    assert moved.min() >= 0 and moved.max() <= length - 1


def test_spectrograms_lose_one_band_and_one_stretch_of_time() -> None:
    maps = torch.ones(200, 2, 40, 100)
    covered = vary_spectrograms(maps, draws(200), SignalAugment(mask=0.3)) == 0
    bands = covered[:, 0].all(-1).sum(-1)
    frames = covered[:, 0].all(-2).sum(-1)
    assert bands.max() <= 12 and frames.max() <= 30 and bands.float().mean() > 4
    assert torch.equal(covered[:, 0], covered[:, 1])
    inside = covered[0, 0].all(-1).int()
    assert inside.diff().abs().sum() <= 2  # one stretch


def test_ranges_of_the_augmentation() -> None:
    with pytest.raises(ArgumentError, match="warp=1"):
        SignalAugment(warp=1)
    with pytest.raises(ArgumentError, match="noise=-1"):
        SignalAugment(noise=-1)
    assert SignalAugment().times(0) == SignalAugment(shift=0, warp=0, scale=0, noise=0, mask=0)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
@pytest.mark.parametrize("kind", ["raw", "mel"])
def test_sounds_of_one_and_of_two_channels_are_mixed_down(order, kind) -> None:
    mono = readings([3000] * 3, channels=1, rate=8000)
    stereo = readings([3000] * 2, channels=2, rate=8000)
    mixed = [reading(r.array.mean(0, keepdims=True), 8000) for r in stereo]
    items = [mono, stereo] if order == (1, 2) else [stereo, mono]
    feed = SignalInputs.fitted(items[0] + items[1], {"input": kind})
    plain = SignalInputs.fitted(mono + mixed, {"input": kind})
    assert feed.channels == 1
    np.testing.assert_allclose([feed.mean, feed.std], [plain.mean, plain.std], rtol=1e-5)
    torch.testing.assert_close(feed.inputs(stereo), feed.inputs(mixed))
    assert "mixed down to one channel (1 channels: 3, 2 channels: 2)" in feed.notes()[0].message


def test_other_signals_of_different_channels_are_refused() -> None:
    items = readings([50], channels=1, rate=100) + readings([50], channels=2, rate=100)
    with pytest.raises(DataError, match="different numbers of channels"):
        SignalInputs.fitted(items, {})
