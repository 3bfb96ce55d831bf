"""Inference engines, one file each: how a trained network is written for them, and read."""

from striate.engines.engine import ENGINES, Deployment, Engine, Session, load_engines

__all__ = ["ENGINES", "Deployment", "Engine", "Session", "load_engines"]
