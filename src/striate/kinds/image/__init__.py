"""Images."""

from striate.kinds.image.kind import ImageKind

__all__ = ["ImageKind"]
