"""A run as it is shared: the model and its figures, and nothing of the items or of this machine.

`run.json` names the data by the last part of its path and has no command line, output folder or
table of corrections. The report has no ids of items and no pictures, and of the slices only those
by class. What is left of texts is searched for the paths and the ids that the run knows, which are
replaced by dots. `data.lock.json`, `predictions.csv` and `held_out.safetensors`, which tell of single
items, stay behind; so does `novelty.safetensors`, which holds the features of known items, unless
it is requested.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from striate.errors import RunError, StriateError
from striate.files import sha256_file, write_atomic
from striate.run.card import model_card
from striate.run.folder import (
    HISTORY,
    LOCK,
    MODEL,
    NOVELTY,
    RunFolder,
    RunRecord,
    run_name,
)
from striate.run.results import write_report
from striate.run.run import Run

CARD: Final = "README.md"
"""The model card, by the name under which the hub shows it."""

HIDDEN: Final = "…"
"""What stands in the place of a path or an id."""

_OPEN_COLUMNS: Final = ("class", "true value")
"""Columns of slices whose values are the model's own; others may be of a manifest."""

_SHORTEST_ID: Final = 5
"""Characters of the ids that are searched for; a shorter one would be found in any text."""


def write_shared(run: Run, folder: Path, name: str, *, novelty: bool = False) -> list[str]:
    """Write a run as it is shared into an empty folder.

    Args:
        run: The run, whose fit has ended.
        folder: The folder.
        name: What the run is called where it is shared, as `striate.load` takes it.
        novelty: Whether the features of known items go with it, by which unknown ones are told.

    Returns:
        The names of the files.

    Raises:
        RunError: The fit has not ended, or a file is damaged.
    """
    source, shared = run.folder, RunFolder(folder)
    if sha256_file(source.path / MODEL) != run.record.model.sha256:
        raise RunError(source.changed(MODEL).what, fix="restore it, or fit again")
    private = private_texts(run)
    hidden = hide(run.report.model_dump(mode="json"), private)
    report = run.task.read_report(_without_items(hidden) | {"run": name, "data_command": ""})
    write_report(shared, run.task, report, {})
    taken = [MODEL, HISTORY, *[NOVELTY] * novelty]
    for file in taken:
        if (source.path / file).is_file():
            shutil.copyfile(source.path / file, folder / file)
    shared.write_record(shared_record(run.record, private))
    write_atomic(folder / CARD, model_card(Run(folder, device="cpu"), counted=run).encode())
    return sorted(path.name for path in folder.iterdir())


def shared_record(record: RunRecord, private: Sequence[str]) -> RunRecord:
    """`run.json` as it is shared.

    Args:
        record: The run's own.
        private: Texts to hide.
    """
    config = hide({**record.config, "out": None, "patch": None}, private)
    return record.model_copy(
        update={"data": _data_name(record.data), "command": [], "config": config}
    )


def private_texts(run: Run) -> list[str]:
    """Paths and ids of items that the run knows, the longest first."""
    record = run.record
    given = (record.config.get(name) for name in ("out", "patch", "weights"))
    named = [record.data, str(run.folder.path), *(text for text in given if text)]
    paths = [text for text in named if not text.startswith("sample:") and Path(text).parent.name]
    paths += [str(Path(text).resolve()) for text in paths]
    paths += [str(place) for place in (Path.cwd(), Path.home()) if len(place.parts) > 1]
    try:
        document = run.folder.read_json(LOCK)
        ids = [str(item["id"]) for part in ("items", "skipped") for item in document[part]]
    except (StriateError, KeyError, TypeError):
        ids = []
    open_names = {*record.classes, *run.report.nouns, _data_name(record.data)}
    ids = [
        name
        for name in ids
        if len(name) >= _SHORTEST_ID and not name.isdigit() and name not in open_names
    ]
    return sorted({*paths, *ids}, key=lambda text: (-len(text), text))


def hide(value: Any, private: Sequence[str]) -> Any:
    """A document of JSON in which no text holds a private one.

    Args:
        value: The document.
        private: Texts to hide, the longest first.
    """
    if isinstance(value, str):
        for text in private:
            if text in value:
                value = value.replace(text, HIDDEN)
        return value
    if isinstance(value, dict):
        return {hide(key, private): hide(entry, private) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [hide(entry, private) for entry in value]
    return value


def _without_items(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what it says of single items, and of columns of the user's."""
    issues = [{**issue, "ids": []} for issue in report["data_issues"]]
    less: dict[str, Any] = {"worst_mistakes": [], "data_issues": issues}
    if report["novelty"] is not None:
        less["novelty"] = {**report["novelty"], "strangest": []}
    if report["slices"] is not None:
        found = [one for one in report["slices"]["found"] if one["column"] in _OPEN_COLUMNS]
        less["slices"] = {**report["slices"], "found": found}
    return {**report, **less}


def _data_name(data: str) -> str:
    return data if data.startswith("sample:") else run_name(data)
