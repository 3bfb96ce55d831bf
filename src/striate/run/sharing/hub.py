"""Runs on the Hugging Face hub: pushed there, and opened by `hf://user/name[@revision]`."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from striate.errors import (
    ArgumentError,
    MachineError,
    MissingExtraError,
    OptionError,
    RunError,
    WeightsUnavailableError,
    one_line,
)
from striate.files import sha256_file
from striate.run.checksums import CHECKSUMS
from striate.run.folder import (
    HISTORY,
    MODEL,
    NOVELTY,
    REPORT_HTML,
    REPORT_JSON,
    RUN,
    RunFolder,
)
from striate.typing import PathLike

if TYPE_CHECKING:
    from striate.run.run import Run

SCHEME: Final = "hf:/"
"""How an address begins, also one that `Path` has taken for a path and lost a slash of."""

TAKEN: Final = (RUN, MODEL, NOVELTY, HISTORY, REPORT_JSON, REPORT_HTML, CHECKSUMS)
"""Files that are taken from the hub; no other one is downloaded or opened."""

PICKLED: Final = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of files that are, or may hold, Python objects, which run code when they are opened."""

TIMEOUT: Final = 10.0
"""Seconds in which the hub must answer."""

_ADDRESS: Final = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([^@\s]+))?/?")
_REPO: Final = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_LOG_IN: Final = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A run on the hub.

    Attributes:
        repo: The repository, as "user/name".
        revision: A branch, a tag or a commit; None for the newest.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repo}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What was pushed.

    Attributes:
        address: As `striate.load` takes it, with the commit.
        url: Of the page of the run.
        files: Names of the files.
    """

    address: str
    url: str
    files: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The document of `striate push --json`."""
        return {**asdict(self), "files": list(self.files)}

    def as_text(self) -> str:
        """Where it is, and what it holds."""
        return f"{self.url}\nload it with: striate.load({self.address!r})\n{', '.join(self.files)}"


def address_of(text: str) -> Address:
    """The address in a text.

    Raises:
        RunError: It is none.

    >>> address_of("hf://ada/cells@v2")
    Address(repo='ada/cells', revision='v2')
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise RunError(f"{text!r} is no address", fix="write hf://user/name or hf://user/name@v1")
    return Address(repo=found[1], revision=found[2])


def opened(path: PathLike) -> RunFolder:
    """The folder of a run: one on this machine, or what an address of the hub stands for.

    Args:
        path: The folder, or `hf://user/name[@revision]`.

    Raises:
        RunError: There is no finished run, or a file is not what was pushed.
        WeightsUnavailableError: The hub cannot be reached, and the run is not in the cache.
        MissingExtraError: The hub's client is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(
            f"the run is of type {type(path).__name__}", fix="give the path of its folder"
        )
    text = path if isinstance(path, str) else Path(path).as_posix()
    if not text.startswith(SCHEME):
        return RunFolder.open(Path(path))
    address = address_of(text)
    folder = RunFolder(_fetched(address))
    _check(folder, address)
    return folder


def push(
    run: Run, repo: str, *, token: str | None = None, private: bool = False, novelty: bool = False
) -> Pushed:
    """Push a run to the hub, in one commit; see `Run.push_to_hub`."""
    from striate.run.sharing.published import CARD, write_shared

    hub = _client()
    if not _REPO.fullmatch(repo):
        raise OptionError("repo", repo, fix="write it as user/name")
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = write_shared(run, folder, f"hf://{repo}", novelty=novelty)
        with _hub_errors(Address(repo=repo), "cannot push to"):
            url = api.create_repo(repo, private=private, exist_ok=True)
            if private and not api.repo_info(repo, timeout=TIMEOUT).private:
                raise RunError(
                    f"{repo} is public already, and nothing was pushed",
                    fix="make it private on its page, or choose another name",
                )
            commit = api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message=f"A run of striate {run.record.striate}",
                delete_patterns=[name for name in (*TAKEN, CARD) if name not in files],
            )
    address = Address(repo=repo, revision=commit.oid)
    return Pushed(address=str(address), url=str(url), files=tuple(files))


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    return huggingface_hub


def _fetched(address: Address) -> Path:
    """The folder in the hub's cache, filled if need be; that of a commit never changes."""
    hub = _client()
    if address.revision and _COMMIT.fullmatch(address.revision):
        path = _cached(hub, address)
        if path is not None:
            return path
    try:
        info = hub.HfApi().repo_info(address.repo, revision=address.revision, timeout=TIMEOUT)
    except Exception as error:
        path = None if _is_refusal(error) else _cached(hub, address)
        if path is not None:
            return path
        with _hub_errors(address, "cannot load", ", and the run is not in its cache"):
            raise
    names = [file.rfilename for file in info.siblings or ()]
    pickled = [name for name in names if name.endswith(PICKLED)]
    if pickled:
        raise RunError(
            f"{address} is refused",
            why=f"it holds {pickled[0]}, which may be a pickle and run code",
            fix="push the run with `striate push`, which writes safetensors",
        )
    if RUN not in names:
        raise RunError(f"no run of Striate at {address}", why=f"{RUN} is missing")
    with _hub_errors(address, "cannot load"):
        return _snapshot(hub, address)


def _snapshot(hub: Any, address: Address, **options: Any) -> Path:
    found = hub.snapshot_download(
        address.repo, revision=address.revision, allow_patterns=list(TAKEN), **options
    )
    return Path(found)


def _cached(hub: Any, address: Address) -> Path | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = _snapshot(hub, address, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return path if (path / RUN).is_file() and (path / MODEL).is_file() else None


def _is_refusal(error: Exception) -> bool:
    """Whether the hub answered, and said no."""
    from huggingface_hub.errors import (
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    return isinstance(error, HFValidationError | RepositoryNotFoundError | RevisionNotFoundError)


@contextmanager
def _hub_errors(address: Address, what: str, missing: str = "") -> Iterator[None]:
    """Turn what the hub's client raises into one line.

    Raises:
        RunError: The hub refuses.
        WeightsUnavailableError: The hub cannot be reached.
        MachineError: Something else went wrong on the way.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    what = f"{what} {address}"
    try:
        yield
    except (RunError, MachineError):
        raise
    except GatedRepoError as error:
        fix = f"ask for it on https://huggingface.co/{address.repo}"
        raise RunError(what, why="its owner gives access on request", fix=fix) from error
    except RepositoryNotFoundError as error:
        why = "there is no such repository, or it is private and this login may not see it"
        raise RunError(what, why=why, fix=f"check the name, or {_LOG_IN}") from error
    except RevisionNotFoundError as error:
        why = f"the repository has no revision {address.revision!r}"
        raise RunError(what, why=why) from error
    except HFValidationError as error:
        raise RunError(what, why=_first_line(error)) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status in (401, 403):
            why = "this login may not do that" if status == 403 else "there is no valid login"
            raise RunError(what, why=why, fix=f"{_LOG_IN} of one who may") from error
        why = f"the hub answered {status}" if status >= 500 else _first_line(error)
        raise WeightsUnavailableError(what, why=why, fix="try again later") from error
    # The client lets the errors of its HTTP library through, which differ between its versions.
    except Exception as error:
        name = type(error.__cause__ or error).__name__
        why = f"the hub does not answer ({name}){missing}"
        raise WeightsUnavailableError(what, why=why, fix="try again with a network") from error


def _first_line(error: Exception) -> str:
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0][:200])


def _check(folder: RunFolder, address: Address) -> None:
    """Make sure that every file is what was pushed, and that the weights are safetensors.

    Raises:
        RunError: One is not.
    """
    place = folder.path.parent.parent
    fix = f"delete {str(place)!r} and load it again; if that does not help, push it again"
    if not (folder.path / CHECKSUMS).is_file():
        raise RunError(f"{address} has no {CHECKSUMS}", fix="push the run with `striate push`")
    sums = folder.checksums() or {}
    there = [name for name in TAKEN if name != CHECKSUMS and (folder.path / name).is_file()]
    for name in dict.fromkeys((RUN, MODEL, *there, *sums)):
        path = folder.path / name
        if name not in sums or not path.is_file() or sha256_file(path) != sums[name]:
            raise RunError(f"{name} of {address} is not what was pushed", fix=fix)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder.path / MODEL, framework="numpy"):
            pass
    except SafetensorError as error:
        why = f"it is no safetensors file ({one_line(str(error))})"
        raise RunError(f"{MODEL} of {address} is refused", why=why) from error
