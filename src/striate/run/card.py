"""`MODEL_CARD.md`: what a finished run is, how good it is and where not, in Hugging Face's layout.

Source: Mitchell et al., "Model cards for model reporting", FAT* 2019; the sections and the head are
those of https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from striate.data.snapshot import from_json
from striate.errors import OptionError, StriateError, one_line
from striate.files import check_output, write_atomic
from striate.metrics.intervals import Estimate, number_text
from striate.progress import duration
from striate.report.outlook import learning_sentence, slice_rows
from striate.report.page import NBSP, sentence
from striate.report.schema import RunReport
from striate.run.folder import LOCK, MODEL_CARD
from striate.run.run import Run
from striate.typing import PathLike

_MAX_CLASSES: Final = 50
"""Classes that are listed one by one."""

_WARNINGS: Final = 12
"""Warnings on the data that are listed."""


def write_card(run: Run, out: PathLike | None = None) -> Path:
    """Write the model card of a run.

    Args:
        run: The run.
        out: The file; by default `MODEL_CARD.md` in the run's folder.

    Returns:
        The file's path.

    Raises:
        OptionError: Another file is there, such as a card to which somebody has added.
    """
    path = run.folder.path / MODEL_CARD if out is None else Path(out)
    check_output(path, [], "out")
    content = model_card(run).encode()
    if path.is_file() and path.read_bytes() not in (b"", content):
        why = "it holds something else, such as a card that somebody has changed"
        raise OptionError("out", str(path), why=why, fix="choose another file, or move it away")
    write_atomic(path, content)
    return path


def model_card(run: Run, *, counted: Run | None = None) -> str:
    """The model card of a run, as Markdown with a head in YAML.

    Args:
        run: The run.
        counted: The run whose record of the data says how many items each class has, where that of
            a shared one was left out.
    """
    report = run.report
    parts = [
        _head(run, report),
        f"# {_plain(report.task)}: {run.task.name} of {report.nouns[1]}",
        *_summary(run, report),
        *_details(run, report),
        *_uses(report),
        *_limits(report),
        *_training(run, report, _class_counts(counted or run)),
        *_evaluation(run, report),
        *_resources(report),
        f"This card was written by striate {run.record.striate} from the run's report. What only "
        "people know (who made it, the licence, who is affected) is for them to add.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run: Run, report: RunReport) -> str:
    """The metadata; every value is JSON, which is YAML too."""
    tag = run.kind.hub_tags.get(run.task.name)
    tags = ["striate", run.kind.name, run.task.name, report.method]
    figures = [
        {"type": name, "value": estimate.value, "name": name.replace("_", " ")}
        for name, estimate in _figures(report)
        if estimate.value is not None
    ]
    result = {
        "task": {"type": tag or "other", "name": run.task.name},
        "dataset": {"type": "other", "name": report.task},
        "metrics": figures,
    }
    entries: dict[str, Any] = {
        "library_name": "striate",
        "tags": tags,
        **({"pipeline_tag": tag} if tag else {}),
        "metrics": [figure["type"] for figure in figures],
        "model-index": [{"name": f"{report.task}-{report.method}", "results": [result]}],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in entries.items()]
    return "\n".join(["---", *lines, "---"])


def _summary(run: Run, report: RunReport) -> list[str]:
    """The verdict of the report."""
    verdict = run.task.context(report)["verdict"]
    return [f"**{_plain(verdict.headline)}.**", _list(map(_plain, verdict.sentences))]


def _details(run: Run, report: RunReport) -> list[str]:
    made = f"{report.method}: {report.method_summary}" if report.method_summary else report.method
    facts = {
        "Task": run.task.name,
        "Input": f"{run.kind.name}, {report.model_details.get('input', '')}",
        "Network": report.model,
        "Weights": report.weights,
        "Method": made,
        "Parameters": report.model_details.get("parameters", ""),
        "Made": f"{run.record.created} with striate {run.record.striate}, seed {run.record.seed}",
    }
    listed = [f"**{name}:** {_plain(str(value))}" for name, value in facts.items() if value]
    classes = ""
    if report.classes:
        shown = ", ".join(map(_plain, report.classes[:_MAX_CLASSES]))
        more = len(report.classes) - _MAX_CLASSES
        classes = f"Classes: {shown}" + (f" and {more} more" if more > 0 else "") + "."
    return ["## Model Details", _list(listed), classes]


def _uses(report: RunReport) -> list[str]:
    one, many = report.nouns
    return [
        "## Uses",
        f"For {many} that come from where those of the data below came from. For others its figures "
        f"say nothing: measure it on labelled {many} of the new origin (`striate eval`) first.",
        "## How to Get Started with the Model",
        f"```python\nimport striate\n\nrun = striate.load({report.run!r})\n"
        f'run.predict("path/to/{one}")\n```',
    ]


def _limits(report: RunReport) -> list[str]:
    """What is unlike the data, the worst parts, few items, and what was found in the data."""
    many = report.nouns[1]
    lines = [
        f"On {row['name']} the {report.slices.error_name} is {row['error']} "
        f"({row['interval']}; {row['num_items']} {many}), elsewhere {row['others']}."
        for row in slice_rows(report)
        if report.slices is not None
    ]
    if report.slices is not None and not report.slices.found:
        lines.append(
            f"Of {report.slices.num_tried} parts of the test {many} that were looked at none is "
            "clearly worse than the others."
        )
    novelty = report.novelty
    if novelty is not None:
        lines.append(
            f"A {report.nouns[0]} unlike all that it learnt from is marked as unknown; "
            f"{novelty.false_alarms:.0%} of known ones are marked by mistake. What resembles a "
            "known kind is not noticed."
        )
    lines.append(learning_sentence(report))
    warned = [issue for issue in report.data_issues if issue.severity == "warning"]
    found = [sentence(issue.message) for issue in warned[:_WARNINGS]]
    if len(warned) > _WARNINGS:
        found.append(f"{len(warned) - _WARNINGS} more are in `report.json`.")
    told = ["What was found in the data:", _list(map(_plain, found))] if found else []
    return ["## Bias, Risks, and Limitations", _list(map(_plain, filter(None, lines))), *told]


def _training(run: Run, report: RunReport, counted: Mapping[str, int]) -> list[str]:
    """The data with the items of each class, and the choices that were made."""
    many, sizes = report.nouns[1], report.split_sizes
    tested = "tested in folds" if report.folds else "to test"
    told = (
        f"`{_code(run.record.data)}`: {sizes['train']} {many} to train, {sizes['val']} to "
        f"validate, {sizes['test']} {tested}."
    )
    counts = counted if report.classes else {}
    table = ""
    if counts:
        rows = [(_plain(name), str(counts.get(name, 0))) for name in report.classes[:_MAX_CLASSES]]
        table = _table(("Class", many.capitalize()), rows)
    choices = [f"{choice.topic}: {choice.choice} ({choice.why})" for choice in report.choices]
    return [
        "## Training Details",
        "### Training Data",
        told,
        table,
        "### Training Procedure",
        _list(map(_plain, choices)),
    ]


def _class_counts(run: Run) -> dict[str, int]:
    """Items of each class; none where the record of the data is gone."""
    try:
        taken = from_json(run.folder.read_json(LOCK))
    except StriateError:
        return {}
    return Counter(item.label for item in taken.items)


def _evaluation(run: Run, report: RunReport) -> list[str]:
    """How it was tested, the figures with their intervals, class by class and fold by fold."""
    many, size = report.nouns[1], report.split_sizes["test"]
    how = f"On {size} {many} that took no part in the training."
    if report.folds:
        how = (
            f"On {size} {many}, each tested once in a nested cross-validation of "
            f"{report.folds.num_folds} folds, by a model that was made without it. Intervals are "
            f"{report.folds.widening:.2f} times as wide as those of independent models."
        )
    rows = [(name.replace("_", " "), *_cells(estimate)) for name, estimate in _figures(report)]
    parts = [
        "## Evaluation",
        "### Testing Data, Factors & Metrics",
        how,
        "### Results",
        _table(("Figure", "Value", "95 % interval"), rows),
    ]
    by_class = [
        (_plain(row.name), *_cells(row.recall), str(row.support))
        for row in getattr(report, "per_class", ())[:_MAX_CLASSES]
        if isinstance(getattr(row, "recall", None), Estimate)
    ]
    if by_class:
        parts.append(_table(("Class", "Found (recall)", "95 % interval", f"Test {many}"), by_class))
    if report.folds:
        names = list(report.folds.by_fold[0].metrics)
        folds = [
            (
                str(fold.fold),
                str(fold.num_items),
                *(_cells(fold.metrics[name])[0] for name in names),
                _plain(fold.method),
            )
            for fold in report.folds.by_fold
        ]
        head = ("Fold", "Tested", *(name.replace("_", " ") for name in names), "Method")
        parts.append(_table(head, folds))
    return parts


def _resources(report: RunReport) -> list[str]:
    """Hardware, time, and energy where it could be read."""
    lines = [
        f"**Hardware:** {_plain(report.hardware)}" if report.hardware else "",
        f"**Time:** {duration(report.seconds.total)}",
    ]
    if report.energy_joules is not None:
        watt_hours = number_text(report.energy_joules / 3600)
        lines.append(f"**Energy of the processors meanwhile:** {watt_hours} Wh")
    return ["## Environmental Impact", _list(filter(None, lines))]


def _figures(report: RunReport) -> list[tuple[str, Estimate]]:
    return [(name, figure) for name, figure in report.test if isinstance(figure, Estimate)]


def _cells(figure: Estimate) -> tuple[str, str]:
    """A figure and its interval."""
    if figure.value is None:
        return "–", figure.reason
    limits = "" if figure.ci95 is None else " to ".join(f"{x:.4g}" for x in figure.ci95)
    return f"{figure.value:.4g}", limits


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; cells are in one line, and their bars are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text if "\\|" in text else text.replace("|", "\\|")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(text: str) -> str:
    """Text from outside as Markdown shows it unchanged, in one line."""
    shown = one_line(text.replace(NBSP, " "))
    for mark in "\\`*_[]<>|#":
        shown = shown.replace(mark, f"\\{mark}")
    return shown


def _code(text: str) -> str:
    return one_line(text).replace("`", "'")
