"""What a fit did not look for, and why."""

from __future__ import annotations

from striate.data.source import Note


def left_out(
    what: str,
    why: str,
    advice: str = "striate check looks for them without a limit of time",
    *,
    code: str = "not-examined",
) -> tuple[Note, ...]:
    """A remark that something was not looked for.

    Args:
        what: What was not, as a clause.
        why: Why not, as a clause.
        advice: What to do about it.
        code: What the remark is found by.
    """
    message = f"{what}: {why}"
    return (Note(code=code, message=message, severity="info", advice=advice),)
