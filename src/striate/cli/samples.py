"""`striate samples`: data sets that installed packages ship."""

from __future__ import annotations


def samples() -> int:
    """List the samples with kind, size and licence."""
    from striate.cli.models import table
    from striate.data.formats import load_formats
    from striate.data.layouts import SAMPLES

    load_formats()
    rows = [("name", "kind", "items", "licence", "what")]
    for name, sample in SAMPLES.items():
        rows.append(
            (
                f"sample:{name}",
                sample.kind,
                str(sample.num_items),
                sample.licence,
                sample.description,
            )
        )
    print(table(rows))
    return 0
