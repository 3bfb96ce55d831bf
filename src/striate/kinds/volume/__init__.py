"""Volumes and clips."""

from striate.kinds.volume.kind import VolumeKind

__all__ = ["VolumeKind"]
