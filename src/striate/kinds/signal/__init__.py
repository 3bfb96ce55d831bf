"""Series and sounds."""

from striate.kinds.signal.kind import SignalKind

__all__ = ["SignalKind"]
