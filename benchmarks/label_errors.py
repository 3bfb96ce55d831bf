"""Label errors: are planted ones ranked at least as high as cleanlab ranks them, and what is mended?

    python benchmarks/label_errors.py [--sets NAME ...] [--seeds 5] [--first 0] [--cleanlab PYTHON]

5 and 10 % of the labels of solar cells, digits, two sets of series and molecules by solubility are
changed at random to another class. A third of the items with their right labels is for the test; of
the others Striate's probes on frozen features give calibrated probabilities in a cross-validation,
as in `striate check`, and both programs rank the items by them, on the same probabilities. Printed
are, as means over the seeds (each with its own changes and its own test part):

- the average precision at finding the changed labels, of Striate and of cleanlab's three scores
  (`get_label_quality_scores`), and Striate's lead over the best of the three, with its standard
  error over the seeds, which are paired;
- the share of changed labels that Striate lists, and of those the share for which it proposes the
  right class;
- the accuracy of a probe on the test part: learnt from the changed labels, from those that are
  patched as Striate proposes, and from the right ones; and the share of what was lost that is back.

Striate's ranking is that of `label_doubts`, of which `check` lists the items in doubt. cleanlab is no
dependency: `--cleanlab` names an interpreter that has it, by default this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from league_sets import SETS
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor

from striate.fitting.baseline import Baseline
from striate.fitting.context import FitContext
from striate.fitting.options import FitOptions
from striate.fitting.prepare import read_dataset
from striate.fitting.steps import Steps
from striate.kinds.kind import kind_named
from striate.metrics.items.label_doubts import label_doubts
from striate.metrics.items.label_errors import doubtful_labels
from striate.progress import Progress
from striate.run.folder import RunFolder
from striate.tasks.classification.target import ClassTarget
from striate.tasks.objective import Objective
from striate.tasks.task import task_of

NAMES = ("solar-cells", "digits", "italy-power", "osu-leaf", "solubility")
SHARES = (0.05, 0.1)
TEST_SHARE = 1 / 3
METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")

CLEANLAB = """
import sys, numpy as np
from cleanlab.rank import get_label_quality_scores
given = np.load(sys.argv[1])
found = {m: get_label_quality_scores(given["labels"], given["P"], method=m) for m in sys.argv[3:]}
np.savez(sys.argv[2], **found)
"""


def planted(labels: NDArray, share: float, rng: np.random.Generator) -> NDArray:
    """Labels of which a share is changed to another class."""
    changed = labels.copy()
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    num_classes = labels.max() + 1
    changed[wrong] = (labels[wrong] + rng.integers(1, num_classes, len(wrong))) % num_classes
    return changed


class Subject:
    """A set with its frozen features, and probes of any labels.

    Args:
        name: Name of the set.
        folder: For what is read and computed.
    """

    def __init__(self, name: str, folder: Path) -> None:
        source, options = SETS[name].open(), FitOptions()
        kind, task = kind_named(source.kind), task_of(source.listing.items)
        chosen, _ = kind.choose(source, options.for_inputs(kind.named_options))
        quiet = Progress(quiet=True)
        dataset, inputs = read_dataset(
            source, kind, task, folder=folder / "data", options=chosen, seed=0, progress=quiet
        )
        made = RunFolder.create(folder / "check")
        context = FitContext(
            options=options, source=source, kind=kind, task=task, folder=made,
            steps=Steps(made, {}, resume=False), device=torch.device("cpu"), progress=quiet,
            stop=lambda: False, began=time.monotonic(),
        )  # fmt: skip
        context.dataset, context.inputs = dataset, inputs
        context.objective, context.defaults = task.objective(dataset), kind.defaults(inputs)
        context.objective.quick = context.defaults.quick_probes
        self._context, self.features = context, Baseline(context).pooled
        self.truth = context.objective.values

    def objective(self, labels: NDArray) -> Objective:
        """The task on the same items with other labels."""
        target = ClassTarget(
            classes=self._context.dataset.classes, values=labels, strata=labels, answers=labels
        )
        objective = self._context.task.objective(replace(self._context.dataset, target=target))
        objective.quick = self._context.defaults.quick_probes
        return objective

    def probabilities(self, labels: NDArray, learnt: NDArray) -> tuple[NDArray, NDArray]:
        """Calibrated probabilities by probes that have not seen the items, and which items."""
        objective = self.objective(labels)
        config = objective.probe_config(0)
        C = objective.fit_probe(self.features, learnt, config).C
        outputs, covered = objective.cross_outputs(self.features, learnt, replace(config, Cs=(C,)))
        calibration, _ = objective.calibrate(outputs, covered)
        return calibration.answers(outputs.numpy()), covered

    def accuracy(self, labels: NDArray, learnt: NDArray, tested: NDArray) -> float:
        """Of a probe that learns these labels, on items with their right ones."""
        objective = self.objective(labels)
        probe = objective.fit_probe(self.features, learnt, objective.probe_config(0))
        answers: Tensor = probe.logits(self.features[torch.from_numpy(tested)])
        return float((answers.argmax(1).numpy() == self.truth[tested]).mean())


def cleanlab_scores(P: NDArray, labels: NDArray, interpreter: str) -> dict[str, NDArray]:
    """How doubtful each label is, by each of cleanlab's methods."""
    with tempfile.TemporaryDirectory() as work:
        given, found = Path(work) / "given.npz", Path(work) / "found.npz"
        np.savez(given, P=P, labels=labels)
        command = [interpreter, "-c", CLEANLAB, str(given), str(found), *METHODS]
        subprocess.run(command, check=True)
        stored = np.load(found)
        return {method: -stored[method] for method in METHODS}


def trials(
    subject: Subject, share: float, seeds: Sequence[int], cleanlab: str
) -> Iterator[list[float]]:
    """The figures of each seed, as the columns of the table are made of."""
    truth = subject.truth
    for seed in seeds:
        splitter = StratifiedShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
        ((learnt, tested),) = splitter.split(truth, truth)
        learnt.sort()
        labels = truth.copy()
        labels[learnt] = planted(truth[learnt], share, np.random.default_rng(seed))
        P, items = subject.probabilities(labels, learnt)
        wrong = labels[items] != truth[items]
        scores, listed = label_doubts(P, labels[items]), doubtful_labels(P, labels[items])
        theirs = cleanlab_scores(P, labels[items], cleanlab)
        found = [one for one in listed if wrong[one.item]]
        right = np.mean([one.likely == truth[items[one.item]] for one in found])
        patched = labels.copy()
        for one in listed:
            patched[items[one.item]] = one.likely
        unsure = [items[one.item] for one in listed if not one.is_sure]
        yield [
            average_precision_score(wrong, scores),
            *(average_precision_score(wrong, theirs[method]) for method in METHODS),
            len(found) / wrong.sum(),
            float(right),
            subject.accuracy(labels, learnt, tested),
            subject.accuracy(patched, np.setdiff1d(learnt, unsure), tested),
            subject.accuracy(truth, learnt, tested),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=NAMES, choices=sorted(SETS))
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cleanlab", default=sys.executable, help="interpreter that has cleanlab")
    arguments = parser.parse_args()
    heads = ("set", "changed", "Striate", *METHODS, "lead over the best", "listed", "right class",
             "accuracy: changed", "patched", "right labels", "back")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as work:
            subject = Subject(name, Path(work))
            for share in SHARES:
                rows = np.array(list(trials(subject, share, seeds, arguments.cleanlab)))
                print(line(name, share, rows), flush=True)


def line(name: str, share: float, rows: NDArray) -> str:
    """A row of the table from the figures of all seeds."""
    means = rows.mean(0)
    leads = rows[:, 0] - rows[:, 1 + means[1:4].argmax()]
    error = leads.std(ddof=1) / len(leads) ** 0.5 if len(leads) > 1 else float("nan")
    changed, patched, right = means[6:]
    back = f"{(patched - changed) / (right - changed):.0%}" if right > changed else "none lost"
    figures = [f"{figure:.3f}" for figure in means]
    lead = f"{leads.mean():+.3f} ± {error:.3f}"
    return f"| {' | '.join([name, f'{share:.0%}', *figures[:4], lead, *figures[4:], back])} |"


if __name__ == "__main__":
    main()
