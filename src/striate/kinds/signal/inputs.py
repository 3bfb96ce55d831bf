"""Signals as inputs: raw waveforms of one length, or their log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import Draws
from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import ArgumentError
from striate.kinds.inputs import Inputs, check_option_names, in_order_of, number_option
from striate.kinds.signal.augment import DRAWS, SignalAugment, vary_signals, vary_spectrograms
from striate.kinds.signal.survey import DOUBTFUL, SOUND_RATE, Survey, mixed_down
from striate.kinds.signal.waveform import MelConfig, log_mel, to_length, to_rate
from striate.models.catalog import find
from striate.progress import counted

OPTIONS: Final = ("input", "length", "lengths", "normalize", "sample_rate", "bands", "augment")
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "input": ("raw", "mel"),
    "lengths": ("crop", "resample"),
    "normalize": ("train", "item", "none"),
}


@dataclass(frozen=True, kw_only=True)
class SignalInputs(Inputs[Tensor]):
    """How signals become inputs.

    Attributes:
        channels: Number of channels of every signal.
        length: Number of samples of an input, before the spectrogram.
        input: "raw", the samples themselves; "mel", log-mel spectrograms, two axes.
        lengths: What is done to a signal of another length: "crop", cut to a stretch (the middle;
            in training any) or filled up with the training mean behind; "resample", stretched.
        normalize: "train", by the training items' mean and deviation; "item", by each item's own,
            channel by channel, as is usual in the UCR archive; "none".
        rate: Samples a second; 0 where not known. Signals of another rate are resampled to it.
        bands: Number of bands of a mel spectrogram.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        strength: Factor on `SignalAugment`'s defaults; 0 trains on the signals as they are.
        remarks: What was done, as pairs of code and message.
        names: Names of the channels, in their order; items that have the same in another order are
            brought to it. Empty where the first training item has none.
    """

    channels: int
    length: int
    input: Literal["raw", "mel"] = "raw"
    lengths: Literal["crop", "resample"] = "crop"
    normalize: Literal["train", "item", "none"] = "train"
    rate: float = 0.0
    bands: int = 64
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    strength: float = 1.0
    remarks: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs that suit training signals.

        Spectrograms are chosen by themselves where the rate is one of sound (4 kHz and more). The
        length is the longest signal's, but at most twice the median and at most `survey.LONGEST`.

        Args:
            readings: Readings of training items alone.
            options: "input", "lengths", "normalize" (see the attributes); "length", samples;
                "sample_rate", samples a second to which all are brought; "bands" of a
                spectrogram; "augment", the factor on the augmentation.

        Raises:
            UnknownNameError: There is no such option.
            ArgumentError: A value is not allowed.
            DataError: Channels or rates differ; their numbers are told in a table.
        """
        _check_options(options)
        bands = int(number_option(options, "bands", cls.bands, 1, whole=True))
        length = int(number_option(options, "length", 0, int("length" in options), whole=True))
        rate = number_option(options, "sample_rate", 0.0)
        if "sample_rate" in options and not rate:
            raise ArgumentError(f"sample_rate={options['sample_rate']!r}", why="it is above 0")
        survey = Survey(kind=options.get("input"), rate=rate or None, bands=bands)
        for reading in readings:
            survey.add(reading)
        channels, rate, kind = survey.channels(), survey.rate(), survey.input()
        if kind == "raw" and "bands" in options:
            why = "the inputs are the samples themselves, and no spectrograms"
            raise ArgumentError(f"bands={options['bands']!r}", why=why, fix="give input=mel too")
        length = length or survey.length()
        mean, std = survey.moments(kind)
        inputs = cls(
            channels=channels,
            length=length,
            input=kind,
            lengths=options.get("lengths", "crop"),
            normalize=options.get("normalize", "train"),
            rate=rate,
            bands=bands,
            mean=mean,
            std=std,
            strength=number_option(options, "augment", cls.strength),
            names=survey.names if len(survey.names) == channels else (),
        )
        return replace(inputs, remarks=survey.remarks(length, inputs.lengths, rate))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, length), or (channels, bands, frames)."""
        if self.input == "raw":
            return self.channels, self.length
        return self.channels, self.bands, self._mel.num_frames(self.length)

    def notes(self) -> tuple[Note, ...]:
        """What was cropped, filled up or resampled, and what is doubtful of the signals."""
        return tuple(
            Note(code=code, message=text, advice=DOUBTFUL[code])
            if code in DOUBTFUL
            else Note(code=code, message=text, severity="info")
            for code, text in self.remarks
        )

    def details(self) -> Mapping[str, str]:
        """The rate, and the mean and the deviation of the values over the training signals."""
        rate = f"{self.rate:g} samples a second" if self.rate else "not known"
        pairs = zip(self.mean[:3], self.std[:3], strict=True)
        values = ", ".join(f"{mean:.4g} ± {std:.3g}" for mean, std in pairs)
        shown = "" if len(self.mean) <= 3 else " and so on"
        return {"rate": rate, "values": f"{counted(self.channels, 'channel')}, {values}{shown}"}

    def inputs(self, readings: Sequence[Reading]) -> Tensor:
        """(n, channels, length) or (n, channels, bands, frames), without anything random.

        Raises:
            UnreadableItem: A signal has another number of channels, or no rate for a spectrogram.
        """
        waves = self._waves(readings, np.full(len(readings), 0.5))
        return waves if self.input == "raw" else self._spectrograms(waves)

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> Tensor:
        """The inputs varied by `vary_signals`, and spectrograms by `vary_spectrograms`."""
        if not self.strength:
            return self.inputs(readings)
        numbers = draws.uniforms(len(DRAWS))
        waves = self._waves(readings, numbers[:, DRAWS.index("place")])
        augment = SignalAugment().times(self.strength)
        if self.input == "raw":
            return vary_signals(waves, numbers, augment)
        # A sound is neither warped nor drowned: noise is relative to its own deviation.
        gentle = replace(augment, warp=0.0, noise=augment.noise / 10)
        maps = self._spectrograms(_relative(waves, numbers, gentle))
        return vary_spectrograms(maps, numbers, augment)

    def network_options(self, name: str) -> dict[str, Any]:
        """Dilations of fixed kernels follow from the length."""
        options = super().network_options(name)
        fixed = find(name).config.built_for_size
        return {**options, "input_size": self.length} if fixed else options

    @property
    def _mel(self) -> MelConfig:
        return MelConfig.for_rate(self.rate, self.bands)

    def _waves(self, readings: Sequence[Reading], places: NDArray[np.float64]) -> Tensor:
        """(n, channels, length), each cut at its place from 0 to 1; normalized where it is raw."""
        rows = [self._row(r, float(p)) for r, p in zip(readings, places, strict=True)]
        return torch.from_numpy(np.stack(rows))

    def _spectrograms(self, waves: Tensor) -> Tensor:
        return self._normalized(log_mel(waves, self._mel))

    def _row(self, reading: Reading, place: float) -> NDArray[np.float32]:
        """(channels, length) of one item."""
        reading = in_order_of(self.names, reading)
        signal = np.array(reading.array, dtype=np.float32)  # a copy: torch wants to write
        sound = bool(reading.spacing) and 1 / reading.spacing[0] >= SOUND_RATE
        if sound and signal.ndim == 2 and self.channels == 1 < len(signal):
            signal = mixed_down(signal)
        if signal.ndim != 2 or len(signal) != self.channels:
            swapped = signal.ndim == 2 and signal.shape[1] == self.channels
            raise UnreadableItem(
                f"{counted(len(signal), 'channel')}, and the others have {self.channels}"
                + "; if these are its samples, swap its axes" * swapped
            )
        if self.rate and reading.spacing:
            signal = to_rate(signal, 1 / reading.spacing[0], self.rate)
        if self.lengths == "resample":
            signal = to_length(signal, self.length)
        if self.input == "raw":
            signal = self._normalized(torch.from_numpy(signal)[None])[0].numpy()
        spare = self.length - signal.shape[1]
        if spare < 0:
            first = round(-spare * place)
            return signal[:, first : first + self.length]
        return np.pad(signal, ((0, 0), (0, spare))) if spare else signal

    def _normalized(self, x: Tensor) -> Tensor:
        """(n, channels, ...) with a mean of 0 and a deviation of 1, however `normalize` says."""
        if self.normalize == "none":
            return x
        if self.normalize == "item":
            flat = x.flatten(2).double()  # the squares of small numbers are none in float32
            mean, std = flat.mean(-1).to(x), flat.std(-1, correction=0).to(x)
        else:
            mean, std = torch.tensor(self.mean)[None], torch.tensor(self.std)[None]
        shape = (*mean.shape, *[1] * (x.ndim - 2))
        # What rounding leaves of a constant channel is no deviation.
        varies = std > 1e-6 * mean.abs()
        return (x - mean.view(shape)) / torch.where(varies, std, 1.0).view(shape)


def _relative(signals: Tensor, draws: NDArray[np.float64], augment: SignalAugment) -> Tensor:
    """Vary sounds, whose loudness is any: the noise follows each one's own deviation."""
    std = signals.flatten(1).double().std(1, correction=0)
    std = torch.where(std > 0, std, 1.0).to(signals)[:, None, None]
    return vary_signals(signals / std, draws, augment) * std


def _check_options(options: Mapping[str, Any]) -> None:
    check_option_names("signals", options, OPTIONS)
    for name, choices in CHOICES.items():
        if name in options and options[name] not in choices:
            raise ArgumentError(f"{name}={options[name]!r}", fix=f"choose {' or '.join(choices)}")
