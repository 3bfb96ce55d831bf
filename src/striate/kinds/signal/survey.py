"""What is gathered of training signals in one pass: channels, rates, lengths, mean and deviation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.source import Reading
from striate.errors import ArgumentError, DataError
from striate.kinds.inputs import in_order_of
from striate.kinds.signal.waveform import MelConfig, log_mel, to_rate

SOUND_RATE: Final = 4000
"""Samples a second from which on a signal is taken for sound."""

LONGEST: Final = 1 << 19
"""Most samples of an input, unless the user asks for more."""

FAINT: Final = 0.1
"""The deviation of a spectrogram's values below which the sounds hardly rise above its floor."""

DOUBTFUL: Final[Mapping[str, str]] = {
    "axes": "a signal is (channels, samples): if it is the other way around, swap its axes",
    "faint": "scale them to -1..1, or take the samples themselves (option input=raw)",
}
"""What to do about signals that are likely not what the user thinks, by the code of the remark."""

_MIXED: Final = 0
"""Stands for the number of channels of sounds that are mixed down to one."""


class Survey:
    """The gathering; `add` every training reading, then ask.

    Args:
        kind: "raw" or "mel" where the user chose.
        rate: Samples a second to which everything is brought, where the user chose.
        bands: Number of bands of a spectrogram.

    Attributes:
        names: Names of the channels, in their order; empty where they have none.
    """

    def __init__(self, kind: str | None, rate: float | None, bands: int) -> None:
        self._kind, self._asked_rate, self._bands = kind, rate, bands
        self._channels: Counter[int] = Counter()
        self._rates: Counter[float] = Counter()
        self._lengths: list[int] = []
        self._moments: defaultdict[tuple[int, str], _Moments] = defaultdict(_Moments)
        self._num_reordered = 0
        self._others: list[tuple[str, ...]] = []
        self.names: tuple[str, ...] = ()

    def add(self, reading: Reading) -> None:
        """Take in one training item; its channels are put in the order of the first one's."""
        self.names = self.names or reading.channel_names
        own, reading = reading.channel_names, in_order_of(self.names, reading)
        self._num_reordered += reading.channel_names != own
        if len(own) == len(self.names) and reading.channel_names != self.names:
            self._others.append(own)
        signal = np.asarray(reading.array, dtype=np.float32)
        rate = 1 / reading.spacing[0] if reading.spacing else 0.0
        self._channels[len(signal)] += 1
        self._rates[round(rate, 6)] += 1
        if len(self._channels) > 1 and not self._is_sound():
            return  # refused in the end, with the whole table
        if self._asked_rate and rate:
            signal, rate = to_rate(signal, rate, self._asked_rate), float(self._asked_rate)
        self._lengths.append(signal.shape[1])
        self._add_moments(len(signal), signal, rate)
        if self._is_sound() and len(signal) > 1:
            self._add_moments(_MIXED, mixed_down(signal), rate)

    def _add_moments(self, channels: int, signal: NDArray[np.float32], rate: float) -> None:
        self._moments[channels, "raw"].add(signal.astype(np.float64))
        if self._kind != "raw" and rate and (self._kind == "mel" or rate >= SOUND_RATE):
            config = MelConfig.for_rate(rate, self._bands)
            maps = log_mel(torch.from_numpy(signal)[None], config)[0].flatten(1)
            self._moments[channels, "mel"].add(maps.double().numpy())

    def _is_sound(self) -> bool:
        return min(self._rates) >= SOUND_RATE

    @property
    def is_mixed(self) -> bool:
        """Whether sounds of one channel and of several are brought to one."""
        return len(self._channels) > 1 and self._is_sound()

    def channels(self) -> int:
        """Of every input; sounds of different numbers of channels are mixed down to one.

        Raises:
            DataError: None was added, or they differ and are no sounds.
        """
        if not self._channels:
            raise DataError("there are no training signals")
        if self.is_mixed:
            return 1
        if len(self._channels) > 1:
            raise DataError(
                "signals have different numbers of channels",
                why=_table(self._channels, "channels"),
                fix="give all the same channels",
            )
        return next(iter(self._channels))

    def rate(self) -> float:
        """Samples a second of every input; 0 where not known.

        Raises:
            DataError: They differ, or only some are known.
        """
        known = {rate: count for rate, count in self._rates.items() if rate}
        if self._asked_rate and known and len(known) == len(self._rates):
            return float(self._asked_rate)
        if len(self._rates) > 1:
            raise DataError(
                "signals have different sample rates",
                why=_table(self._rates, "samples a second"),
                fix="choose one with the option sample_rate, to which the others are resampled"
                if len(known) == len(self._rates)
                else "give all of them a rate, or none",
            )
        if self._asked_rate:
            raise ArgumentError(
                f"sample_rate={self._asked_rate}", why="the signals' own rates are not known"
            )
        return next(iter(known), 0.0)

    def input(self) -> Literal["raw", "mel"]:
        """What the network sees.

        Raises:
            ArgumentError: Spectrograms are wanted, and the rate is not known.
        """
        rate = self.rate()
        if self._kind == "mel" and not rate:
            raise ArgumentError("input='mel'", why="the signals' sample rate is not known")
        if self._kind in ("raw", "mel"):
            return "mel" if self._kind == "mel" else "raw"
        return "mel" if rate >= SOUND_RATE else "raw"

    def length(self) -> int:
        """Samples of an input: the longest, within twice the median and `LONGEST`."""
        return min(max(self._lengths), 2 * int(np.median(self._lengths)), LONGEST)

    def moments(self, kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel of what the network sees."""
        if not self.is_mixed:
            return self._moments[self.channels(), kind].result()
        mixed = self._moments[_MIXED, kind]
        if 1 in self._channels:
            mixed.merge(self._moments[1, kind])
        return mixed.result()

    def remarks(self, length: int, lengths: str, rate: float) -> tuple[tuple[str, str], ...]:
        """What is done to the signals, as pairs of code and message."""
        found = self._doubts()
        if self.is_mixed:
            table = _table(self._channels, "channels")
            found.append(("mixed-down", f"sounds are mixed down to one channel ({table})"))
        if self._num_reordered:
            text = f"in {self._num_reordered} training signals the columns are in another order: "
            found.append(("reordered", f"{text}they were put in that of {', '.join(self.names)}"))
        if self._others:
            text = f"{len(self._others)} training signals have columns of other names, as "
            text += f"{', '.join(self._others[0])} for {', '.join(self.names)}: taken by place"
            found.append(("other-columns", text))
        shorter = sum(one < length for one in self._lengths)
        longer = sum(one > length for one in self._lengths)
        if shorter or longer:
            span = f"{min(self._lengths)} to {max(self._lengths)} samples"
            how = f"{shorter} shorter ones are filled up behind, {longer} longer ones cropped"
            if lengths == "resample":
                how = f"{shorter + longer} are stretched or squeezed"
            text = f"training signals have {span}; inputs have {length}: {how}"
            found.append(("lengths-differ", text))
        others = {one: count for one, count in self._rates.items() if one and one != rate}
        if others:
            text = f"{sum(others.values())} training signals were resampled to {rate:g} a second: "
            found.append(("resampled", text + _table(Counter(others), "a second")))
        return tuple(found)

    def _doubts(self) -> list[tuple[str, str]]:
        """What is likely not as the user thinks, as pairs of code and message."""
        found = []
        channels, longest = self.channels(), max(self._lengths)
        if channels > longest:
            found.append(("axes", f"signals of {channels} channels and {longest} samples at most"))
        if self.input() == "mel" and max(self.moments("mel")[1]) < FAINT:
            text = "the sounds are so faint that their spectrograms hold next to nothing"
            found.append(("faint", text))
        return found


def mixed_down(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of all channels, (1, samples)."""
    mean: NDArray[np.float32] = signal.mean(0, keepdims=True)
    return mean


class _Moments:
    """Sums of (channels, samples) for mean and deviation, exact enough in float64."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0

    def add(self, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        self._count += values.shape[1]
        self._sum = self._sum + values.sum(1)
        self._squares = self._squares + np.square(values).sum(1)

    def merge(self, others: _Moments) -> None:
        self._count += others._count
        self._sum = self._sum + others._sum
        self._squares = self._squares + others._squares

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        mean = np.atleast_1d(self._sum / self._count)
        variance = np.atleast_1d(self._squares / self._count) - mean**2
        # What cancellation leaves of a constant channel is no deviation; that of a channel in a large
        # unit (tesla of a brain) is small, and one.
        variance[variance < 1e-12 * mean**2] = 0
        std = np.sqrt(variance)
        return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def _table(counts: Counter[Any], unit: str) -> str:
    rows = sorted(counts.items())
    return ", ".join(f"{f'{value:g}' if value else 'unknown'} {unit}: {n}" for value, n in rows)
