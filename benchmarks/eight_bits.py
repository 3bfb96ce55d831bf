"""A backbone in 8 bits, and heads refitted to its features: accuracy, size and speed; decision 5.

    python benchmarks/eight_bits.py --folder FOLDER [--quantize onnxruntime nncf] [--size 224]

EfficientNet-Lite0's features of every scale of the solar cells, in float32 and by the network in 8
bits: by ONNX Runtime (ranges of 128 items, weights by channel) or by NNCF for OpenVINO (200 items,
mean errors of layers corrected; `pip install nncf`). The items that give the ranges are drawn from all, without labels. On
random stratified splits, three quarters to fit, a probe of the pooled features and a kernel machine
of all are used as they were fitted in float, behind a line for each feature that least squares put
through the training items, and fitted anew to the features in 8 bits. An interval is 1.96 standard
errors of the difference, item by item, over all splits together.

What is in FOLDER is not computed again. `--speed` times the files in turns on one thread instead, and
`--items 200 --size 96` tries the script.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from striate.bench.benchmark import load
from striate.bench.turns import Contender, timed_in_turns
from striate.engines import Deployment, load_engines
from striate.models import create_model
from striate.models.kernel_machine import ScaleFeatures
from striate.nn.fuse import fold_batch_norm
from striate.transfer.logistic_probe import fit_probe
from striate.transfer.probe import ProbeConfig

NETWORK: Final = "efficientnet_lite0"
QUANTIZERS: Final = ("onnxruntime", "nncf")
SUFFIXES: Final = {"float32": ".onnx", "onnxruntime": ".onnx", "nncf": ".xml"}
GAMMA: Final = 0.5
RIDGE: Final = 30.0

Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Outputs = Callable[[NDArray[np.float32]], NDArray[np.float64]]


class Features(nn.Module):
    """From pixels to the features of every scale, batch norms folded."""

    def __init__(self, size: int) -> None:
        super().__init__()
        network = create_model(NETWORK, weights="imagenet").eval()
        self.preprocessing = network.preprocessing
        self.pooled = network.num_features
        self.features = fold_batch_norm(ScaleFeatures(network), torch.zeros(1, 3, size, size))

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.features(self.preprocessing.normalize(pixels)),)


def cells(size: int, count: int | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(n, 3, size, size) solar cells, and whether each is more likely defective than not."""
    from elpv_dataset.utils import load_dataset

    images, chances, _ = load_dataset()
    chosen = np.random.default_rng(0).permutation(len(images))[:count]
    pixels = torch.from_numpy(images[chosen]).float()[:, None]
    small = nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    levels = small.round().clamp(0, 255).byte().expand(-1, 3, -1, -1)
    return levels.contiguous().numpy(), (np.asarray(chances)[chosen] > 0.5).astype(np.int64)


def drawn(images: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """Some items one by one."""
    chosen = np.random.default_rng(0).permutation(len(images))[:count]
    return [images[place : place + 1] for place in chosen]


def by_onnxruntime(given: Path, out: Path, images: NDArray[np.uint8]) -> None:
    """8 bits of every convolution and sum, by ONNX Runtime's static quantization."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime is untyped
        def __init__(self) -> None:
            self.items = iter(drawn(images, 128))

        def get_next(self) -> dict[str, Any] | None:
            return next(({"pixels": item} for item in self.items), None)

    quantize_static(
        given,
        out,
        Reader(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add"],
    )


def by_nncf(given: Path, out: Path, images: NDArray[np.uint8]) -> None:
    """8 bits by NNCF, which corrects the mean error of each layer."""
    import nncf
    import openvino

    model = openvino.Core().read_model(given)
    items = nncf.Dataset(drawn(images, 200))
    quantized = nncf.quantize(model, items, preset=nncf.QuantizationPreset.MIXED, subset_size=200)
    openvino.save_model(quantized, out, compress_to_fp16=False)


def made(name: str, folder: Path, size: int, images: NDArray[np.uint8]) -> Path:
    """The file of a way, which is written where it is missing."""
    path = folder / f"{name}{SUFFIXES[name]}"
    if path.exists():
        return path
    if name == "float32":
        example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
        deployment = Deployment(
            module=Features(size).eval(),
            example=example,
            input_name="pixels",
            output_names=("features",),
            card={},
        )
        load_engines().get("onnx").write(deployment, path)
        return path
    quantize = {"onnxruntime": by_onnxruntime, "nncf": by_nncf}[name]
    quantize(made("float32", folder, size, images), path, images)
    return path


def answering(path: Path, precision: str = "f32", *, openvino: bool = False) -> Answer:
    """A file by its engine, on one thread."""
    if path.suffix == ".onnx" and not openvino:
        session = load_engines().get("onnx").load(path)
        return lambda x: session(x)[0]
    import openvino as runtime

    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    model = runtime.Core().compile_model(path, "CPU", options)
    return lambda x: np.array(model(x)[0])


def features(name: str, folder: Path, size: int, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, f) by a way."""
    kept = folder / f"{name}.npy"
    if not kept.exists():
        answer = answering(made(name, folder, size, images))
        parts = [answer(images[start : start + 8]) for start in range(0, len(images), 8)]
        np.save(kept, np.concatenate(parts))
    return np.load(kept)


def probe(given: NDArray[np.float32], labels: NDArray[np.int64], pooled: int) -> Outputs:
    """A logistic regression of the pooled features, which come last."""
    config = ProbeConfig(Cs=(1e-3, 3e-3, 1e-2), quick=True)
    x, y = torch.from_numpy(given[:, -pooled:].copy()), torch.from_numpy(labels)
    fitted = fit_probe(x, y, int(labels.max()) + 1, config=config)
    return lambda other: fitted.logits(torch.from_numpy(other[:, -pooled:].copy())).numpy()


def kernel(given: NDArray[np.float32], labels: NDArray[np.int64], pooled: int) -> Outputs:
    """A kernel ridge regression of all features, by a Gaussian kernel."""
    mean, spread = given.mean(0), given.std(0)
    scale = np.where(spread > 1e-6, spread, np.inf)
    known = (given - mean) / scale
    squares = (known**2).sum(1)

    def alike(other: NDArray[np.float32]) -> NDArray[np.float64]:
        x = (other - mean) / scale
        apart = (x**2).sum(1)[:, None] + squares[None] - 2 * x @ known.T
        return np.exp(-GAMMA * np.maximum(apart, 0) / known.shape[1]).astype(np.float64)

    wanted = 2.0 * np.eye(int(labels.max()) + 1)[labels] - 1
    weights = solve(alike(given) + np.eye(len(given)) / RIDGE, wanted, assume_a="pos")
    return lambda other: alike(other) @ weights


def lines(
    given: NDArray[np.float32], wanted: NDArray[np.float32]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """For each feature the line by which least squares make the wanted ones of those given."""
    mean, spread, target = given.mean(0), given.std(0), wanted.mean(0)
    together = ((given - mean) * (wanted - target)).mean(0)
    slope = np.where(spread > 1e-6, together / np.maximum(spread**2, 1e-12), 0)
    return lambda other: ((other - mean) * slope + target).astype(np.float32)


def judge(
    name: str, whole: NDArray, narrow: NDArray, labels: NDArray, pooled: int, seeds: int
) -> None:
    """Print the accuracies of a way."""
    varied = (whole.std(0) > 1e-6) & (narrow.std(0) > 1e-6)
    alike = [
        float(np.corrcoef(whole[:, place], narrow[:, place])[0, 1])
        for place in np.flatnonzero(varied)
    ]
    low, middle = np.quantile(alike, (0.1, 0.5))
    print(
        f"{name}: correlation of a feature with that in float: median {middle:.3f}, of a tenth below {low:.3f}"
    )
    right: dict[str, list[NDArray[np.bool_]]] = {}
    for seed in range(seeds):
        train, test = train_test_split(
            np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=seed
        )
        correct = lines(narrow[train], whole[train])
        for head in (probe, kernel):
            fitted = head(whole[train], labels[train], pooled)
            again = head(narrow[train], labels[train], pooled)
            outputs = {
                "float": fitted(whole[test]),
                "as it was": fitted(narrow[test]),
                "behind lines": fitted(correct(narrow[test])),
                "fitted anew": again(narrow[test]),
            }
            for what, found in outputs.items():
                row = right.setdefault(f"{head.__name__} {what}", [])
                row.append(found.argmax(1) == labels[test])
    for what, parts in right.items():
        found = np.concatenate(parts).astype(float)
        before = np.concatenate(right[f"{what.split()[0]} float"]).astype(float)
        apart, error = (
            100 * (found - before).mean(),
            196 * (found - before).std() / len(found) ** 0.5,
        )
        print(f"  {what:20} {100 * found.mean():.2f} %  {apart:+.2f} +- {error:.2f}", flush=True)


def speed(folder: Path, size: int, images: NDArray[np.uint8], names: Sequence[str]) -> None:
    """Print how many times as fast as ONNX Runtime in float32 each file is."""
    paths = {name: made(name, folder, size, images) for name in ("float32", *names)}
    answers = {
        "ONNX Runtime float32": answering(paths["float32"]),
        "OpenVINO float32": answering(paths["float32"], openvino=True),
        "OpenVINO bfloat16": answering(paths["float32"], "bf16", openvino=True),
    }
    answers |= {f"8 bits by {name}": answering(paths[name]) for name in names}
    for batch in (1, 16):
        x = images[:batch]
        before = load()
        contenders = [
            Contender(name=name, run=partial(answer, x), items=batch)
            for name, answer in answers.items()
        ]
        first, *others = timed_in_turns(contenders)
        print(f"batch {batch}, load {before} before, {load()} after")
        for one in (first, *others):
            times, most = one.items_per_second / first.items_per_second, one.fastest / first.fastest
            print(f"  {one.name:22} {times:.2f} (of the fastest rounds {most:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quantize", nargs="+", choices=QUANTIZERS, default=("onnxruntime",))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--items", type=int, help="of the 2,624 cells (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = given.folder / f"{given.size}-{given.items or 'all'}"
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = cells(given.size, given.items)
    if given.speed:
        speed(folder, given.size, images, given.quantize)
        return
    pooled = create_model(NETWORK, weights=None).num_features
    whole = features("float32", folder, given.size, images)
    for name in given.quantize:
        narrow = features(name, folder, given.size, images)
        judge(name, whole, narrow, labels, pooled, given.seeds)
        for path in sorted(folder.glob(f"{name}.*")):
            print(f"  {path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
