"""A folder with a page that runs the exported file in the browser, by onnxruntime-web."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from striate.errors import EngineError, OptionError
from striate.files import folder_for_work, sha256, sha256_file, size_text, write_atomic
from striate.progress import ProgressLike, as_progress
from striate.run.deployment.check import Check
from striate.run.deployment.onnx_web import FILES, NOTICE, runtime_folder
from striate.run.deployment.pictures import FILE
from striate.run.export import FOLDER, export
from striate.typing import PathLike

if TYPE_CHECKING:
    from striate.run.run import Run

WEB: Final = "web"
"""What `striate export --to` takes."""

CARD: Final = "card.json"

LIST: Final = "files.json"
"""The files of the page with their version, for the browser to keep; it marks a folder as ours."""

RUNTIME: Final = "onnxruntime"

_PAGE: Final = Path(__file__).with_name("page")


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page for the browser.

    Attributes:
        path: Its folder.
        files: Names of its files.
        card: What the model takes and gives.
        check: Of the model's answers.
    """

    path: Path
    files: tuple[str, ...]
    card: dict[str, Any]
    check: Check

    def as_json(self) -> dict[str, Any]:
        """The document of `striate export --json`."""
        return {"files": [str(self.path / name) for name in self.files], **self.card}

    def as_text(self) -> str:
        """What was written, and how it is opened."""
        size = sum((self.path / name).stat().st_size for name in self.files)
        return "\n".join(
            [
                f"{self.path} ({size_text(size)}, for a browser)",
                self.check.as_text(),
                f"open it with: python -m http.server --directory {self.path}",
            ]
        )


def export_page(
    run: Run,
    *,
    out: PathLike | None = None,
    force: bool = False,
    progress: ProgressLike = None,
) -> Page:
    """Write a folder with a page that answers for pictures in the browser, without a server.

    Any server of plain files will do. What the page needs is in the folder: the model with its
    preprocessing, the classes, the page, and onnxruntime-web, which is taken from `node_modules`
    or fetched by npm once.

    Args:
        run: The finished run, of 8-bit pictures.
        out: The folder; by default `export/web` in the run's folder.
        force: Whether a model that answers otherwise than the run is kept.
        progress: Told of the work.

    Raises:
        OptionError: The folder holds files of the user's.
        EngineError: The run does not take pictures, or the file answers otherwise.
        MissingExtraError: ONNX is not installed.
        MachineError: onnxruntime-web cannot be had.
        StorageError: A file cannot be written.
    """
    progress = as_progress(progress)
    folder = Path(out) if out else run.folder.path / FOLDER / WEB
    others = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if others and not (folder / LIST).is_file():
        why = "it holds files that are no page of ours"
        raise OptionError("out", str(folder), why=why, fix="choose a new folder")
    given = run.predictor.inputs.exported
    if given is None or given.details.get("pictures") is None:
        raise EngineError("there is no page for this run", why="it takes no 8-bit pictures")
    runtime = runtime_folder(progress)
    with (
        folder_for_work(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as place,
    ):
        exported = export(run, "onnx", out=Path(place) / "m.onnx", force=force, progress=progress)
        (Path(place) / FILE).replace(folder / FILE)
    (folder / RUNTIME).mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(runtime / name, folder / RUNTIME / name)
    write_atomic(folder / RUNTIME / "NOTICE.txt", NOTICE.encode())
    pages = sorted(path.name for path in _PAGE.iterdir() if path.is_file())
    for name in pages:
        shutil.copyfile(_PAGE / name, folder / name)
    card = exported.card
    write_atomic(folder / CARD, json.dumps(card, ensure_ascii=False).encode())
    kept = [FILE, CARD, *(name for name in pages if name != "offline.js")]
    kept += [f"{RUNTIME}/{name}" for name in FILES]
    sums = "".join(sha256_file(folder / name) for name in sorted(kept))
    listed = {"version": f"striate-{sha256(sums.encode())[:16]}", "files": kept}
    write_atomic(folder / LIST, json.dumps(listed, indent=2).encode())
    files = (*kept, LIST, "offline.js", f"{RUNTIME}/NOTICE.txt")
    return Page(path=folder, files=files, card=card, check=exported.check)
