"""What a user would take instead: each peer learns the items that are not for test.

A peer takes `Problem` and gives a class number (or a number) for every test item. It must end by
itself within the time; the league ends it where it does not.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from striate.data.source import Reading, Source

TRAINING_SHARE = 0.85
"""Share of the time that loops train for; the rest is for answering."""

EPOCHS, MIN_STEPS = 40, 400
"""A loop ends after so many epochs, or so many steps where those are more, however much time there is."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A set as a peer sees it.

    Attributes:
        source: The set, as Striate sees it.
        readings: Every item that can be read.
        ids: Their names.
        answers: (items,) class numbers, or numbers to predict.
        classes: Names of the classes; empty where numbers are predicted.
        train: Positions of the items to learn.
        test: Positions of the items to answer.
        seconds: The time that there is.
        seed: Seed of everything random.
    """

    source: Source
    readings: Sequence[Reading]
    ids: Sequence[str]
    answers: np.ndarray
    classes: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    seconds: float
    seed: int

    @property
    def kind(self) -> str:
        """Kind of the items."""
        return self.source.kind

    def flat(self, side: int = 32) -> np.ndarray:
        """(items, numbers) The samples themselves: images shrunk to `side`, the rest padded."""
        if self.kind == "image":
            pixels = self.pixels(side).numpy()
            return pixels.reshape(len(pixels), -1)
        length = max(reading.array.size for reading in self.readings)
        rows = np.zeros((len(self.readings), length), np.float32)
        for row, reading in zip(rows, self.readings, strict=True):
            row[: reading.array.size] = reading.array.ravel()
        return rows

    def pixels(self, side: int, channels: int = 1) -> torch.Tensor:
        """(items, channels, side, side) Images, 0 to 1; no larger than they are unless needed."""
        found = []
        for reading in self.readings:
            image = torch.from_numpy(np.asarray(reading.array, np.float32)) / 255
            image = image.mean(0, keepdim=True) if channels == 1 else image[:3]
            image = image.expand(channels, *image.shape[1:])
            if channels == 3 or max(image.shape[1:]) > side:
                image = F.interpolate(
                    image[None], size=(side, side), mode="bilinear", antialias=True
                )[0]
            found.append(image)
        return torch.stack(found)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One peer.

    Attributes:
        kinds: Kinds of items that it is for.
        needs: Packages without which there is none.
        numbers: Whether it predicts numbers too.
        run: Learns and answers.
        what: What it is, for the table.
    """

    kinds: tuple[str, ...]
    run: Callable[[Problem], np.ndarray]
    what: str
    needs: tuple[str, ...] = ()
    numbers: bool = True

    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def striate_itself(problem: Problem) -> np.ndarray:
    """`striate.fit` in the time, with nothing chosen by hand."""
    import csv

    import striate

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        striate.fit(problem.source, out=out, time=f"{problem.seconds:g}s", seed=problem.seed)
        with (out / "predictions.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    said = {row["item"]: row["prediction"] for row in rows}
    number = {name: place for place, name in enumerate(problem.classes)}
    names = [said[problem.ids[place]] for place in problem.test]
    if problem.classes:
        return np.array([number[name] for name in names])
    return np.array([float(name) for name in names])


def svm(problem: Problem) -> np.ndarray:
    """A support vector machine on the samples, C by cross-validation."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    machine = SVC() if problem.classes else SVR()
    name = type(machine).__name__.lower()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), machine), {f"{name}__C": [1, 10, 100]}, cv=3
    )
    flat, train = problem.flat(), problem.train
    search.fit(flat[train], problem.answers[train])
    return np.asarray(search.predict(flat[problem.test]))


def forest(problem: Problem) -> np.ndarray:
    """A forest on the samples."""
    return _forest(problem, problem.flat())


def _forest(problem: Problem, features: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if problem.classes else RandomForestRegressor
    share = "sqrt" if problem.classes else 1 / 3
    model = kind(500, random_state=problem.seed, max_features=share)
    model.fit(features[problem.train], problem.answers[problem.train])
    return np.asarray(model.predict(features[problem.test]))


def molecule_forest(problem: Problem) -> np.ndarray:
    """A forest on Morgan fingerprints (radius 2, 2,048 places) and rdkit's list of descriptors."""
    from rdkit.Chem import Descriptors, MolFromSmiles, rdFingerprintGenerator

    if not all(reading.smiles for reading in problem.readings):
        return graph_forest(problem)
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    rows = []
    for reading in problem.readings:
        molecule = MolFromSmiles(reading.smiles)
        described = [compute(molecule) for _, compute in Descriptors.descList]
        rows.append([*morgan.GetCountFingerprintAsNumPy(molecule), *described])
    features = np.nan_to_num(np.array(rows, np.float64)).clip(-1e6, 1e6).astype(np.float32)
    return _forest(problem, features)


def graph_forest(problem: Problem) -> np.ndarray:
    """A forest on the histogram of degrees, the sizes and the means of the nodes' features."""
    rows = []
    for reading in problem.readings:
        nodes = reading.array.shape[1]
        edges = np.empty((2, 0), np.int64) if reading.edges is None else reading.edges
        degrees = np.bincount(edges[1], minlength=nodes)
        histogram = np.bincount(degrees.clip(max=15), minlength=16) / max(nodes, 1)
        rows.append([nodes, edges.shape[1], *histogram, *reading.array.mean(1)])
    return _forest(problem, np.array(rows))


def rocket(problem: Problem) -> np.ndarray:
    """aeon's MultiRocket-Hydra with its defaults (of numbers: MultiRocket)."""
    arrays = [np.asarray(reading.array, np.float64) for reading in problem.readings]
    length = max(max(array.shape[1] for array in arrays), 10)
    equal = np.stack([np.pad(a, ((0, 0), (0, length - a.shape[1])), "edge") for a in arrays])
    if problem.classes:
        from aeon.classification.convolution_based import MultiRocketHydraClassifier as Rocket
    else:
        from aeon.regression.convolution_based import MultiRocketRegressor as Rocket
    model = Rocket(random_state=problem.seed)
    model.fit(equal[problem.train], problem.answers[problem.train])
    return np.asarray(model.predict(equal[problem.test]))


def plain_loop(problem: Problem) -> np.ndarray:
    """A plain PyTorch loop: pretrained EfficientNet-Lite0, flips, AdamW and one cycle, until the end.

    The network is Striate's, for timm ships no weights; nothing else is. Images are brought to 128
    pixels, and the epochs are planned by the time that the first steps take.
    """
    import striate

    network = striate.create_model(
        "efficientnet_lite0", weights="imagenet", num_classes=max(1, len(problem.classes))
    )
    images = problem.pixels(128, channels=3)
    images = network.preprocessing.normalize((images * 255).round().to(torch.uint8))
    return _trained(problem, network, images, rate=1e-3, flips=True)


def small_cnn(problem: Problem) -> np.ndarray:
    """A plain PyTorch loop: three blocks of convolution, norm and pooling from random weights."""
    arrays = [np.asarray(reading.array, np.float32) for reading in problem.readings]
    items = torch.from_numpy(np.stack(arrays))
    items = (items - items.mean()) / items.std()
    widths, layers = (items.shape[1], 32, 64, 128), []
    for place in range(3):
        layers += [
            torch.nn.Conv3d(widths[place], widths[place + 1], 3, padding=1),
            torch.nn.BatchNorm3d(widths[place + 1]),
            torch.nn.ReLU(),
            torch.nn.MaxPool3d(2) if place < 2 else torch.nn.AdaptiveAvgPool3d(1),
        ]
    head = torch.nn.Linear(128, max(1, len(problem.classes)))
    network = torch.nn.Sequential(*layers, torch.nn.Flatten(), head)
    return _trained(problem, network, items, rate=3e-3)


def _trained(
    problem: Problem,
    network: torch.nn.Module,
    items: torch.Tensor,
    *,
    rate: float,
    flips: bool = False,
    batch: int = 32,
) -> np.ndarray:
    """Train with one cycle of the rate for the time that there is, then answer."""
    torch.manual_seed(problem.seed)
    began, rng = time.monotonic(), np.random.default_rng(problem.seed)
    answers, mean, std = _targets(problem)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    batches = max(1, len(problem.train) // batch)
    most, done, share = max(EPOCHS * batches, MIN_STEPS), 0, 0.0
    network.train()
    while share < 1:
        for chosen in np.array_split(rng.permutation(problem.train), batches):
            spent = (time.monotonic() - began) / (TRAINING_SHARE * problem.seconds)
            share = min(1.0, max(spent, done / most))
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, 10 * share + 0.05) * (1 - share) + 1e-6
            given = items[chosen]
            if flips and rng.random() < 0.5:
                given = given.flip(-1)
            loss = _loss(network(given), answers[chosen], problem)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    network.eval()
    with torch.inference_mode():
        outputs = torch.cat([network(part) for part in items[problem.test].split(batch)])
    return _answers(outputs, mean, std, problem)


def _targets(problem: Problem) -> tuple[torch.Tensor, float, float]:
    if problem.classes:
        return torch.from_numpy(problem.answers), 0.0, 1.0
    known = problem.answers[problem.train]
    mean, std = float(known.mean()), float(known.std())
    return torch.from_numpy((problem.answers - mean) / std).float(), mean, std


def _loss(outputs: torch.Tensor, answers: torch.Tensor, problem: Problem) -> torch.Tensor:
    if problem.classes:
        return F.cross_entropy(outputs, answers, label_smoothing=0.1)
    return F.mse_loss(outputs[:, 0], answers)


def _answers(outputs: torch.Tensor, mean: float, std: float, problem: Problem) -> np.ndarray:
    if problem.classes:
        return outputs.argmax(1).numpy()
    return outputs[:, 0].numpy() * std + mean


def geometric_gin(problem: Problem) -> np.ndarray:
    """PyTorch Geometric's GIN (four layers of 64, mean over nodes), for half of the time."""
    from torch_geometric.data import Batch, Data
    from torch_geometric.nn.models import GIN
    from torch_geometric.nn.pool import global_add_pool, global_mean_pool

    torch.manual_seed(problem.seed)
    began, rng = time.monotonic(), np.random.default_rng(problem.seed)
    nodes = np.concatenate([problem.readings[i].array for i in problem.train], 1)
    scale = np.where(nodes.std(1) > 0, nodes.std(1), 1)[:, None]
    shift = nodes.mean(1)[:, None]
    graphs = [
        Data(
            x=torch.from_numpy(((one.array - shift) / scale).T.astype(np.float32)),
            edge_index=torch.from_numpy(one.edges),
        )
        for one in problem.readings
    ]
    answers, mean, std = _targets(problem)
    body = GIN(len(shift), 64, 4, norm="batch_norm")
    head = torch.nn.Linear(128, max(1, len(problem.classes)))
    parameters = [*body.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 2e-3, weight_decay=0.02)

    def outputs(chosen: np.ndarray) -> torch.Tensor:
        batch = Batch.from_data_list([graphs[i] for i in chosen])
        found = body(batch.x, batch.edge_index)
        pooled = [
            pool(found, batch.batch, len(chosen)) for pool in (global_mean_pool, global_add_pool)
        ]
        return head(torch.cat(pooled, 1))

    for _ in range(100):
        if time.monotonic() - began > TRAINING_SHARE * problem.seconds:
            break
        body.train()
        for chosen in np.array_split(
            rng.permutation(problem.train), max(1, len(problem.train) // 32)
        ):
            share = min(1.0, (time.monotonic() - began) / (TRAINING_SHARE * problem.seconds))
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - share) + 1e-6
            loss = _loss(outputs(chosen), answers[chosen], problem)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    body.eval()
    with torch.inference_mode():
        return _answers(outputs(problem.test), mean, std, problem)


def geometric_gcn(problem: Problem) -> np.ndarray:
    """PyTorch Geometric's GCN of two layers of 16 (Kipf and Welling's), 200 epochs."""
    from torch_geometric.nn.models import GCN

    torch.manual_seed(problem.seed)
    graph = problem.readings[0].graph
    x, edges = torch.from_numpy(graph.array.T.copy()), torch.from_numpy(graph.edges)
    places = np.array([reading.node for reading in problem.readings])
    network = GCN(x.shape[1], 16, 2, len(problem.classes), dropout=0.5)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=5e-4)
    truth = torch.from_numpy(problem.answers[problem.train])
    for _ in range(200):
        network.train()
        loss = F.cross_entropy(network(x, edges)[places[problem.train]], truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        return network(x, edges)[places[problem.test]].argmax(1).numpy()


def propagation(problem: Problem) -> np.ndarray:
    """Labels propagated along the edges (Zhu and Ghahramani, 2002), 100 rounds."""
    graph = problem.readings[0].graph
    places = np.array([reading.node for reading in problem.readings])
    count = graph.array.shape[1]
    matrix = np.zeros((count, count))
    matrix[graph.edges[1], graph.edges[0]] = 1
    matrix /= np.maximum(matrix.sum(1, keepdims=True), 1)
    given = np.eye(len(problem.classes))[problem.answers[problem.train]]
    belief = np.zeros((count, len(problem.classes)))
    for _ in range(100):
        belief[places[problem.train]] = given
        belief = matrix @ belief
    return belief[places[problem.test]].argmax(1)


PEERS: dict[str, Peer] = {
    "striate": Peer(
        kinds=("image", "signal", "volume", "graph", "node"),
        run=striate_itself,
        what="`striate.fit`, everything by default",
    ),
    "svm": Peer(kinds=("image", "signal"), run=svm, what="scikit-learn's SVM on the samples"),
    "forest": Peer(kinds=("image", "volume"), run=forest, what="random forest on the samples"),
    "plain-loop": Peer(
        kinds=("image",), run=plain_loop, what="plain PyTorch loop, pretrained EfficientNet-Lite0"
    ),
    "small-cnn": Peer(kinds=("volume",), run=small_cnn, what="plain PyTorch loop, small 3-D CNN"),
    "multirocket-hydra": Peer(
        kinds=("signal",), run=rocket, needs=("aeon",), what="aeon's MultiRocket-Hydra"
    ),
    "graph-forest": Peer(
        kinds=("graph",),
        run=molecule_forest,
        needs=("rdkit",),
        what="random forest on fingerprints and descriptors, or on degrees",
    ),
    "geometric-gin": Peer(
        kinds=("graph",),
        run=geometric_gin,
        needs=("torch_geometric",),
        what="PyTorch Geometric's GIN",
    ),
    "geometric-gcn": Peer(
        kinds=("node",),
        run=geometric_gcn,
        needs=("torch_geometric",),
        numbers=False,
        what="PyTorch Geometric's GCN",
    ),
    "propagation": Peer(kinds=("node",), run=propagation, numbers=False, what="label propagation"),
}
