"""Label errors: are planted ones ranked at least as high as cleanlab ranks them?

    python benchmarks/label_errors.py [--seeds 5] [--cleanlab PYTHON]

5 and 10 % of the labels of three sets of scikit-learn (digits, breast cancer, wine) are changed at
random. A standardized logistic regression gives each item probabilities in a cross-validation of
five folds, and both programs rank the items by them, on the same probabilities. Printed is the mean
average precision at finding the changed labels over the seeds, and for Striate the share of changed
labels that it lists for which it proposes the true class.

Striate lists items in doubt, the most doubtful first; items that are not listed come after them, by
the probability of their own label. cleanlab's ranking is `get_label_quality_scores`, by each of its
methods. cleanlab is no dependency: `--cleanlab` names an interpreter that has it, by default this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from striate.metrics.items.label_errors import doubtful_labels

SETS = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}
SHARES = (0.05, 0.1)
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


def striate_scores(P: NDArray, labels: NDArray) -> tuple[NDArray, dict[int, int]]:
    """How doubtful each label is, and the class that is proposed for those in doubt."""
    scores = -P[np.arange(len(labels)), labels]
    listed = doubtful_labels(P, labels)
    for place, one in enumerate(listed):
        scores[one.item] = 1 + len(listed) - place
    return scores, {one.item: one.likely for one in listed}


def cleanlab_scores(P: NDArray, labels: NDArray, interpreter: str) -> dict[str, NDArray]:
    """How doubtful each label is, by each of cleanlab's methods."""
    with tempfile.TemporaryDirectory() as work:
        given, found = Path(work) / "given.npz", Path(work) / "found.npz"
        np.savez(given, P=P, labels=labels)
        command = [interpreter, "-c", CLEANLAB, str(given), str(found), *METHODS]
        subprocess.run(command, check=True)
        stored = np.load(found)
        return {method: -stored[method] for method in METHODS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cleanlab", default=sys.executable, help="interpreter that has cleanlab")
    arguments = parser.parse_args()
    print("| set | changed | Striate | right class |", " | ".join(METHODS), "|")
    for name, load in SETS.items():
        X, truth = load(return_X_y=True)
        for share in SHARES:
            rows = []
            for seed in range(arguments.seeds):
                labels = planted(truth, share, np.random.default_rng(seed))
                model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
                folds = StratifiedKFold(5, shuffle=True, random_state=seed)
                P = cross_val_predict(model, X, labels, cv=folds, method="predict_proba")
                wrong = labels != truth
                scores, proposed = striate_scores(P, labels)
                found = [item for item in np.flatnonzero(wrong) if item in proposed]
                right = np.mean([proposed[item] == truth[item] for item in found])
                theirs = cleanlab_scores(P, labels, arguments.cleanlab)
                precisions = [average_precision_score(wrong, theirs[m]) for m in METHODS]
                rows.append([average_precision_score(wrong, scores), right, *precisions])
            figures = " | ".join(f"{figure:.3f}" for figure in np.mean(rows, 0))
            print(f"| {name} | {share:.0%} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
