"""Where the file of a set of pretrained weights lies; fetched from the hub where it must be."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from striate.errors import MissingExtraError, WeightsUnavailableError
from striate.weights.manifest import Source

TIMEOUT: Final = 5.0
"""Seconds in which the hub must answer."""


def fetch_first(name: str, candidates: Sequence[Source]) -> tuple[Source, Path]:
    """The first source that can be had, and its file.

    Args:
        name: of the network, for the message.
        candidates: in order of preference; at least one.

    Raises:
        WeightsUnavailableError: none can be had.
    """
    reasons = []
    for source in candidates:
        try:
            return source, fetch(source)
        except (MissingExtraError, WeightsUnavailableError) as error:
            reasons.append(f"{error.what}, {error.why}" if error.why else error.what)
    raise WeightsUnavailableError(
        f"no pretrained weights of {name} can be had",
        why=" and ".join(reasons),
        fix=f"get them with: {candidates[0].command}",
    )


def fetch(source: Source) -> Path:
    """The file of a source.

    Raises:
        WeightsUnavailableError: not on this machine, and not to be had from the network.
        MissingExtraError: it is on the hub, and the hub's client is not installed.
    """
    return _in_package(source) if source.kind == "package" else _on_hub(source)


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
    try:
        return Path(hf_hub_download(source.location, source.file, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        # Asked first, as a download without a network is tried again for half a minute.
        get_hf_file_metadata(hf_hub_url(source.location, source.file), timeout=TIMEOUT)
        return Path(hf_hub_download(source.location, source.file, etag_timeout=TIMEOUT))
    # The client lets the errors of its HTTP library through, which differ between its versions.
    except Exception as error:
        raise WeightsUnavailableError(
            f"{source.location} is not cached",
            why=f"the hub did not answer ({type(error).__name__})",
            fix=f"with a network, get it with: {source.command}",
        ) from error
