"""Where the files of onnxruntime-web come from: one version of its npm package, checked by hashes."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from striate.errors import MachineError, one_line
from striate.files import sha256, sha256_file, user_cache_folder, write_atomic
from striate.progress import Progress

PACKAGE: Final = "onnxruntime-web"

VERSION: Final = "1.30.0"

FILES: Final = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
"""The files that compute on the processor, of the package's folder `dist`, and their SHA-256."""

NOTICE: Final = f"{PACKAGE} {VERSION}, MIT licence, https://github.com/microsoft/onnxruntime\n"

_SECONDS: Final = 600.0
"""After which npm is given up."""


def runtime_folder(progress: Progress) -> Path:
    """The folder with the files: of `node_modules` here, of the cache, or fetched by npm into it.

    Args:
        progress: Told where something is fetched.

    Raises:
        MachineError: They are not here, and npm cannot fetch them, or they are others.
    """
    cache = user_cache_folder() / f"{PACKAGE}-{VERSION}"
    for folder in (Path("node_modules", PACKAGE, "dist"), cache):
        if all((folder / name).is_file() for name in FILES) and not _changed(folder):
            return folder
    progress.say(f"fetching {PACKAGE} {VERSION} by npm, once")
    _fetch(cache)
    return cache


def _changed(folder: Path) -> list[str]:
    """Names of files that are not those of the version."""
    return [name for name, digest in FILES.items() if sha256_file(folder / name) != digest]


def _fetch(cache: Path) -> None:
    what = f"{PACKAGE} {VERSION} is not here"
    fix = f"run `npm install {PACKAGE}@{VERSION}` in this folder, with a network"
    npm = shutil.which("npm")
    if npm is None:
        raise MachineError(what, why="npm is not installed", fix=f"install npm, or {fix}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asked = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        try:
            subprocess.run(asked, cwd=folder, check=True, capture_output=True, timeout=_SECONDS)
            (packed,) = Path(folder).glob("*.tgz")
            with tarfile.open(packed) as archive:
                for name, digest in FILES.items():
                    member = archive.extractfile(f"package/dist/{name}")
                    content = b"" if member is None else member.read()
                    if sha256(content) != digest:
                        raise MachineError(f"{name} of {PACKAGE} {VERSION} is another file")
                    write_atomic(cache / name, content)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode(errors="replace").strip().splitlines() or ["npm failed"]
            raise MachineError(what, why=one_line(lines[-1][:200]), fix=fix) from None
        except (
            subprocess.TimeoutExpired,
            OSError,
            KeyError,
            ValueError,
            tarfile.TarError,
        ) as error:
            raise MachineError(what, why=one_line(str(error)[:200]), fix=fix) from None
