"""`export`: a finished run as a file for an inference engine, checked to answer as the run does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from striate.engines import Engine, load_engines
from striate.errors import EngineError, OptionError
from striate.files import (
    check_output,
    folder_for_work,
    size_text,
    storage_error,
    write_atomic,
)
from striate.progress import ProgressLike, as_progress
from striate.run.deployment.answering import deployment_of
from striate.run.deployment.check import Check, compare_answers
from striate.run.deployment.pictures import FILE, READER, check_pictures, write_pictures
from striate.run.run import Run
from striate.typing import PathLike

FOLDER: Final = "export"
"""Of a run, for exported files."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file for an inference engine.

    Attributes:
        path: Path of the file.
        files: All files that belong to it; the card is the last.
        engine: The engine that reads it.
        card: What a user of the file must know.
        check: The check of its answers.
    """

    path: Path
    files: tuple[Path, ...]
    engine: Engine
    card: dict[str, Any]
    check: Check

    def as_json(self) -> dict[str, Any]:
        """The document of `striate export --json`."""
        return {"files": [str(path) for path in self.files], **self.card}

    def as_text(self) -> str:
        """What was written, and how it is used."""
        size = sum(path.stat().st_size for path in self.files)
        lines = [f"{self.path} ({size_text(size)}, for {self.engine.reader})", self.check.as_text()]
        given = self.card["input"]
        lines.append(
            f"input {given['name']}: {given['type']} {_shape(given['shape'])}, {given['means']}"
        )
        lines += [
            f"output {output['name']}: {output['type']} {_shape(output['shape'])}, {output['means']}"
            for output in self.card["outputs"]
        ]
        if path := next((path for path in self.files if path.name == FILE), None):
            reader = path.with_name(READER)
            lines.append(f"whole pictures of any size: {path}, read by `python {reader} PICTURE`")
        lines.append(f"all of this and the classes: {self.files[-1]}")
        return "\n".join(lines)


def export(
    run: Run,
    to: str,
    *,
    out: PathLike | None = None,
    force: bool = False,
    progress: ProgressLike = None,
) -> Exported:
    """Write a finished run into a file that answers without Striate, and check its answers.

    The file takes pixels of 0 to 255 (of other kinds: what the inputs make of an item) and gives
    calibrated probabilities, or numbers, with what the run promises of them (sets of classes, or
    intervals) and how strange the item is. It is refused where it answers a test item otherwise
    than the run: where a probability differs by more than 0.001, or a set or whether the item is
    unknown differs by more than a tie.

    Args:
        run: The finished run.
        to: Name of the engine.
        out: Where to write; by default `export/model` in the run's folder.
        force: Whether a file that answers otherwise is kept; its card says by how much.
        progress: Told of the work.

    Raises:
        UnknownNameError: There is no such engine.
        ArgumentError: `out` does not end as the engine's files do, or is a file of the user's.
        MissingExtraError: The engine is not installed.
        RunError: The run's weights are missing or damaged.
        EngineError: The engine cannot take the network, or answers otherwise.
        StorageError: The file cannot be written.
    """
    progress = as_progress(progress)
    engine = load_engines().get(to)
    engine.require()
    on_cpu = Run(run.folder.path, device="cpu")
    path = Path(out) if out else run.folder.path / FOLDER / f"model{engine.suffix}"
    if path.suffix != engine.suffix:
        raise OptionError("out", str(path), fix=f"let it end in {engine.suffix}")
    card_path = path.with_name(f"{path.name}.json")
    check_output(path, [], "out", ours=card_path.is_file() or out is None, makes_folder=True)
    check_output(card_path, [], "out", ours=path.is_file() or out is None, makes_folder=True)
    if engine.takes_pictures and out is not None:
        check_pictures(path)
    deployment = deployment_of(on_cpu)
    try:
        with (
            folder_for_work(path.parent),
            tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder,
        ):
            part = Path(folder) / path.name
            progress.say(f"writing {path.name} for {engine.reader}")
            engine.write(deployment, part)
            beside = deployment.output_names[2:]
            session = engine.load(part)
            check = compare_answers(session, on_cpu, deployment.example, progress, beside)
            if not (check.passed or force):
                others = (name for name in load_engines().names() if name != engine.name)
                raise EngineError(
                    f"{engine.reader} answers otherwise",
                    why=check.as_text(),
                    fix=f"export to {' or '.join(others)}, or keep the file with `force=True`",
                )
            files = [
                file.replace(path.with_name(file.name)) for file in sorted(Path(folder).iterdir())
            ]
    except OSError as error:
        raise storage_error(path, 0, error) from None
    card = {**deployment.card, "check": asdict(check)}
    write_atomic(card_path, json.dumps(card, indent=2, ensure_ascii=False).encode())
    if engine.takes_pictures:
        progress.say("writing the file that takes whole pictures")
        files += write_pictures(on_cpu, path, card, force=force)
    files.append(card_path)
    return Exported(path=path, files=tuple(files), engine=engine, card=card, check=check)


def _shape(sizes: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, sizes))})"
