"""`striate engines`: the inference engines that a trained model can be exported for."""

from __future__ import annotations


def engines() -> int:
    """List the engines with their files, and what is missing here."""
    from striate.cli.models import table
    from striate.engines import load_engines

    rows = [("name", "file", "read by", "here")]
    for name, engine in load_engines().items():
        missing = engine.missing()
        here = f'pip install "striate[{engine.extra}]"' if missing else "ready"
        rows.append((name, engine.suffix, engine.reader, here))
    print(table(rows))
    return 0
