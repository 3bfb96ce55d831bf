"""The end of a fit: the test items are opened once, and everything is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from striate.data.source import Note
from striate.data.splits import SPLITS
from striate.files import sha256_file, write_atomic
from striate.fitting.baseline import FEATURED, Baseline
from striate.fitting.candidate import Candidate, predicted
from striate.fitting.context import FitContext
from striate.fitting.held_out import held_out_items
from striate.fitting.method import load_methods
from striate.metrics.intervals import share_estimate
from striate.metrics.novelty import is_unknown
from striate.metrics.unlabelled.held_out import FeatureSample
from striate.report.facts import NUM_MISTAKES, RunFacts
from striate.report.schema import NoveltyFigures, Seconds
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
from striate.run.results import versions, write_history, write_predictions, write_report
from striate.tasks.objective import Evaluation


def evaluated(context: FitContext, candidate: Candidate, baseline: Baseline | None) -> Evaluation:
    """The model's and the baseline's outputs on the test items."""
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
    return Evaluation(
        outputs=outputs,
        calibration=candidate.calibration,
        probe=baseline.outputs if baseline is not None and baseline.knows_all else None,
        novelty=np.concatenate(novelty) if novelty else None,
        sample=sample,
    )


def write_outcome(
    context: FitContext,
    candidate: Candidate,
    evaluation: Evaluation,
    notes: Sequence[Note] = (),
) -> None:
    """Write weights, predictions, history, report and, last, the record of the run.

    Args:
        context: The fit.
        candidate: The result.
        evaluation: Its outputs of the test items.
        notes: What was found out about the data on the way.
    """
    folder, dataset = context.folder, context.dataset
    weights_sha256 = _write_weights(folder, candidate)
    parts = [(dataset.indices("test"), evaluation.outputs)]
    if candidate.outputs is not None:
        parts.insert(0, (dataset.indices("val"), candidate.outputs))
    write_predictions(
        folder, context.task, dataset, candidate.calibration, parts, evaluation.novelty
    )
    if candidate.novelty_detector is not None:
        folder.write_arrays(NOVELTY, candidate.novelty_detector.tensors())
    if (held_out := held_out_items(context, candidate, evaluation)) is not None:
        folder.write_arrays(HELD_OUT, held_out.tensors())
    write_history(folder, context.history)
    report = context.objective.report(
        _facts(context, candidate, evaluation, notes), evaluation, seed=context.options.seed
    )
    pictures, choices = mistake_pictures(
        context.kind, context.task, report, candidate.predictor, dataset
    )
    for choice in choices:
        context.tell(choice)
    report = report.model_copy(update={"choices": (*report.choices, *choices)})
    write_report(folder, context.task, report, pictures)
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


def _facts(
    context: FitContext, candidate: Candidate, evaluation: Evaluation, notes: Sequence[Note]
) -> RunFacts:
    dataset, steps = context.dataset, context.steps
    method = load_methods().get(candidate.method)
    return RunFacts(
        striate=version("striate"),
        task=run_name(dataset.name),
        kind=dataset.kind,
        nouns=context.source.nouns or context.kind.nouns,
        run=str(context.folder.path),
        split_sizes={part: len(dataset.indices(part)) for part in SPLITS},
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
        notes=(*dataset.notes, *notes),
        skipped=dataset.skipped,
        choices=context.choices,
        candidates=context.candidates,
        history=context.history,
        history_of="" if context.trained == candidate.method else context.trained,
        throughput=_throughput(context),
        novelty=_novelty_figures(context, candidate, evaluation),
    )


def _novelty_figures(
    context: FitContext, candidate: Candidate, evaluation: Evaluation
) -> NoveltyFigures | None:
    """How many test items are taken for unknown, and which are the strangest of them."""
    detector, novelty, dataset = candidate.novelty_detector, evaluation.novelty, context.dataset
    if detector is None or novelty is None:
        return None
    test = dataset.indices("test")
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
