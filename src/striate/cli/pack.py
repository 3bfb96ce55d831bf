"""`striate pack`: any data set as shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from striate.cli.shared import AsJson, print_result


def pack(
    data: Annotated[str, Argument(metavar="DATA", help="What `striate fit` takes.")],
    out: Annotated[Path, Option(metavar="SHARDS", help="Folder to write to, new or empty.")],
    shard_size: Annotated[
        float, Option(metavar="MB", help="Size of a shard in megabytes, about.", min=0.001)
    ] = 256,
    kind: Annotated[str, Option(help="What an item is, as in `striate fit --kind`.")] = "auto",
    json: AsJson = False,
) -> int:
    """Write DATA into tar files with an index, to be read from a disk or a server."""
    from striate.data.layouts import open_source
    from striate.data.layouts.shards import pack as pack_source
    from striate.kinds.kind import kind_named
    from striate.progress import Progress

    source = open_source(data, None if kind == "auto" else kind_named(kind).name)
    packed = pack_source(
        source, out, shard_bytes=round(shard_size * 1e6), progress=Progress(quiet=json)
    )
    return print_result(packed, json)
