"""The end of a fit: the test items are opened once, and everything is written."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from striate.data.splits import SPLITS
from striate.device import hardware
from striate.files import sha256_file, write_atomic
from striate.fitting.baseline import FEATURED, Baseline
from striate.fitting.candidate import Candidate, predicted
from striate.fitting.check.in_fit import Found
from striate.fitting.check.nearest import with_nearest
from striate.fitting.context import FitContext
from striate.fitting.held_out import held_out_items
from striate.fitting.method import load_methods
from striate.metrics.intervals import Estimate, share_estimate
from striate.metrics.novelty import is_unknown
from striate.metrics.unlabelled.held_out import FeatureSample
from striate.report.facts import NUM_MISTAKES, EvaluatedItems, RunFacts
from striate.report.schema import Folds, NoveltyFigures, Seconds, with_wider_intervals
from striate.run.explain import mistake_pictures
from striate.run.folder import (
    HELD_OUT,
    MODEL,
    NOVELTY,
    REPORT_HTML,
    REPORT_JSON,
    RUN,
    ModelRecord,
    RunFolder,
    RunRecord,
    Search,
    run_name,
)
from striate.run.results import (
    PredictedItems,
    versions,
    write_history,
    write_predictions,
    write_report,
)
from striate.tasks.objective import Evaluation


@dataclass(frozen=True, kw_only=True)
class Tested:
    """The test items of a fit, or of all folds of one, and what was predicted of them.

    Attributes:
        indices: Positions of the test items.
        items: The items with their outputs, as the report takes them.
        parts: What `predictions.csv` holds.
        novelty: (items,) Novelty of the test items; None where it is not known.
        sample: Features of some of them; None of all folds, whose features are of several models.
        folds: The figures of each fold of a cross-validation; None without one.
    """

    indices: NDArray[np.int64]
    items: EvaluatedItems
    parts: Sequence[PredictedItems]
    novelty: NDArray[np.float64] | None = None
    sample: FeatureSample | None = None
    folds: Folds | None = None


def evaluated(context: FitContext, candidate: Candidate, baseline: Baseline | None) -> Tested:
    """The test items, with the model's and the baseline's outputs."""
    test, detector = context.dataset.indices("test"), candidate.novelty_detector
    novelty: list[NDArray[np.float64]] = []
    sample = FeatureSample(len(test))

    def look(features: Tensor) -> None:
        sample.take(features.numpy())
        if detector is not None:
            novelty.append(detector.novelty(features.numpy()))

    began = monotonic()
    outputs = predicted(context, candidate.predictor, test, "predicting test", look)
    context.predicted_per_second = len(test) / max(monotonic() - began, 1e-9)
    strange = np.concatenate(novelty) if novelty else None
    evaluation = Evaluation(
        outputs=outputs,
        calibration=candidate.calibration,
        probe=baseline.outputs if baseline is not None and baseline.knows_all else None,
        novelty=strange,
    )

    def part(indices: NDArray[np.int64], some: Tensor, **more: Any) -> PredictedItems:
        return PredictedItems(
            indices=indices, outputs=some, calibration=candidate.calibration, **more
        )

    parts = [part(test, outputs, novelty=strange)]
    if candidate.outputs is not None:
        parts.insert(0, part(context.dataset.indices("val"), candidate.outputs))
    return Tested(
        indices=test,
        items=context.objective.evaluated(evaluation),
        parts=parts,
        novelty=strange,
        sample=sample,
    )


def write_outcome(
    context: FitContext,
    candidate: Candidate,
    tested: Tested,
    found: Found,
) -> None:
    """Write weights, predictions, history, report and, last, the record of the run.

    Args:
        context: The fit.
        candidate: The result.
        tested: The test items and what was predicted of them.
        found: What was found in the items on the way.
    """
    folder, dataset = context.folder, context.dataset
    weights_sha256 = _write_weights(folder, candidate)
    write_predictions(folder, context.task, dataset, tested.parts)
    if candidate.novelty_detector is not None:
        folder.write_arrays(NOVELTY, candidate.novelty_detector.tensors())
    held_out = held_out_items(
        context, candidate, tested.sample, tested.parts[-1].outputs, tested.novelty
    )
    if held_out is not None:
        folder.write_arrays(HELD_OUT, held_out.tensors())
    write_history(folder, context.history)
    report = context.objective.report(
        _facts(context, candidate, tested, found), tested.items, seed=context.options.seed
    )
    report = with_nearest(context, candidate, report)
    if tested.folds is not None:
        report = with_wider_intervals(report, tested.folds.widening)
    pictures, choices = mistake_pictures(
        context.kind, context.task, report, candidate.predictor, dataset
    )
    for choice in choices:
        context.tell(choice)
    report = report.model_copy(update={"choices": (*report.choices, *choices)})
    write_report(folder, context.task, report, pictures)
    tests = {name: figure.value for name, figure in report.test if isinstance(figure, Estimate)}
    context.log.figures({name: value for name, value in tests.items() if value is not None})
    # Last: where it is there, the run is whole.
    search: Search = "ended early" if context.finishing else "complete"
    folder.write_record(_record(context, candidate, weights_sha256, search))
    if not context.finishing:
        context.steps.clear()


def write_best_so_far(context: FitContext, candidate: Candidate) -> None:
    """Make the folder a run that can be used while the fit looks for something better."""
    if not context.strategy.is_writer:
        return
    weights_sha256 = _write_weights(context.folder, candidate)
    context.folder.write_record(_record(context, candidate, weights_sha256, "running"))


def _write_weights(folder: RunFolder, candidate: Candidate) -> str:
    """Write the weights; their SHA-256. What tells of other weights is taken away before."""
    for name in (RUN, NOVELTY, HELD_OUT, REPORT_JSON, REPORT_HTML):
        (folder.path / name).unlink(missing_ok=True)
    state = {
        name: tensor.cpu().contiguous()
        for name, tensor in candidate.predictor.network.state_dict().items()
    }
    write_atomic(folder.path / MODEL, save(state))
    return sha256_file(folder.path / MODEL)


def _facts(context: FitContext, candidate: Candidate, tested: Tested, found: Found) -> RunFacts:
    dataset, steps = context.dataset, context.steps
    method = load_methods().get(candidate.method)
    return RunFacts(
        striate=version("striate"),
        task=run_name(dataset.name),
        kind=dataset.kind,
        nouns=context.source.nouns or context.kind.nouns,
        run=str(context.folder.path),
        split_sizes={
            **{part: len(dataset.indices(part)) for part in SPLITS},
            "test": len(tested.indices),
        },
        folds=tested.folds,
        slices=found.slices,
        learning_curve=found.learning_curve,
        followed=found.followed,
        hardware=hardware(context.device),
        energy_joules=None if context.energy is None else context.energy.joules(),
        method=candidate.method,
        method_summary=method.description,
        is_baseline=method.is_baseline,
        model=candidate.model,
        weights=candidate.weights,
        classes=dataset.classes,
        model_details={
            **candidate.details,
            "parameters": sum(p.numel() for p in candidate.predictor.network.parameters()),
            **candidate.predictor.inputs.details(),
            "input": " x ".join(map(str, candidate.predictor.inputs.input_shape)),
            "device": f"{context.device.type}, {torch.get_num_threads()} threads",
        },
        seconds=Seconds(
            total=context.seconds(),
            first_baseline=context.first_baseline,
            features=steps.seconds("features"),
            train=steps.seconds("train"),
            evaluate=steps.seconds("evaluate"),
        ),
        notes=(*dataset.notes, *found.notes),
        data_command=_data_command(context),
        skipped=dataset.skipped,
        choices=context.choices,
        candidates=context.candidates,
        history=context.history,
        history_of="" if context.trained == candidate.method else context.trained,
        throughput=_throughput(context),
        novelty=_novelty_figures(context, candidate, tested),
    )


def _data_command(context: FitContext) -> str:
    """What shows the findings in the data with pictures; empty where they have no address."""
    name = context.source.name
    if not (name.startswith("sample:") or Path(name).exists()):
        return ""
    return f"striate check {shlex.quote(name)} --html findings.html --patch-out patch.csv"


def _novelty_figures(
    context: FitContext, candidate: Candidate, tested: Tested
) -> NoveltyFigures | None:
    """How many test items are taken for unknown, and which are the strangest of them."""
    detector, novelty, dataset = candidate.novelty_detector, tested.novelty, context.dataset
    if detector is None or novelty is None:
        return None
    test = tested.indices
    unknown = is_unknown(novelty)
    order = np.argsort(-novelty, kind="stable")
    return NoveltyFigures(
        false_alarms=detector.false_alarms,
        num_items=detector.num_items,
        flagged=share_estimate(float(unknown.mean()), dataset.duplicate_groups[test]),
        strangest=tuple(dataset.ids(test[order[unknown[order]]][:NUM_MISTAKES])),
    )


def _throughput(context: FitContext) -> dict[str, float]:
    """Items a second, by what was done."""
    rates = {}
    if features := context.steps.seconds("features"):
        num_items = context.steps.step(FEATURED, lambda: len(context.dataset.items))
        rates["features"] = num_items / features
    if context.history:
        rates["train"] = float(np.median([row["samples_per_second"] for row in context.history]))
    return {**rates, "predict": context.predicted_per_second}


def _record(
    context: FitContext, candidate: Candidate, weights_sha256: str, search: Search
) -> RunRecord:
    network = candidate.predictor.network
    return RunRecord(
        striate=version("striate"),
        task=context.task.name,
        kind=context.dataset.kind,
        data=context.dataset.name,
        classes=context.dataset.classes,
        model=ModelRecord(
            name=candidate.model, options=asdict(network.config), sha256=weights_sha256
        ),
        preprocessing=candidate.predictor.inputs.to_json(),
        calibration=candidate.calibration.to_json(),
        method=candidate.method,
        config=context.options.to_json(),
        seed=context.options.seed,
        device=str(context.device),
        versions=versions(),
        command=sys.argv,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        search=search,
    )
