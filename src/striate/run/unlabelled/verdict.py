"""The verdict of `drift` in one plain sentence, with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.run.unlabelled.checks import joined

if TYPE_CHECKING:
    from striate.run.unlabelled.drift import Drift


def verdict(result: Drift) -> str:
    """Whether the items are like those that the run was made from, and what to do, in a sentence.

    Args:
        result: What was found; its own verdict is not looked at.
    """
    one, many = result.nouns
    count = result.num_items
    what = f"the {count} new {many}" if count != 1 else f"the new {one}"
    found = {check.name for check in result.checks if check.found}
    if not found:
        return (
            f"No drift: {what} {'look' if count != 1 else 'looks'} like those that the run was "
            "made from, so its figures can be expected to hold for them."
        )
    how = f" (they are {joined([d.says for d in result.differences], 3)})" * bool(
        result.differences
    )
    strange = sum(bool(prediction.unknown) for prediction in result.seen.predictions)
    if "unknown" in found and (2 * strange > count or "features" not in found):
        return (
            f"Drift: {strange} of {what} are unlike anything that the run has learnt{how}: do not "
            "rely on its predictions for these; look at the strangest, and if such items will "
            "come, label some (striate suggest) and fit again."
        )
    if found & {"features", "plain-figures", "windows"}:
        when = ""
        first = next((w for w in result.windows if w.found), None)
        if first is not None and not all(w.found for w in result.windows):
            when = f", the first time from {first.first} to {first.last}"
        some = f", {strange} of them are unknown" if "unknown" in found else ""
        return (
            f"Drift: {what} differ from those that the run was made from{how}{when}{some}: find "
            "out what has changed (the device, the light, the format, where they come from), and before "
            "relying on predictions label some and check with striate eval."
        )
    moved = sorted(result.classes, key=lambda row: -abs(row.new - row.known))
    shares = [f"{row.name} {row.new:.0%} instead of {row.known:.0%}" for row in moved]
    told = f" ({joined(shares, 2)})" if shares else ""
    return (
        f"Drift: {what} look like known ones, but other answers are predicted for them{told}: if "
        "you did not expect that, check some by hand; the accuracy of the whole changes with the "
        "shares of the classes."
    )
