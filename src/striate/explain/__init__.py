from striate.explain.gradcam import gradcam
from striate.explain.method import METHODS, Explainable, Method, explain
from striate.explain.picture import colourize, overlay

__all__ = ["METHODS", "Explainable", "Method", "colourize", "explain", "gradcam", "overlay"]
