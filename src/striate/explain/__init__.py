"""Where a network looks for its answer; each method is a file that adds itself to `METHODS`."""

from striate.explain.gradcam import gradcam
from striate.explain.integrated_gradients import integrated_gradients
from striate.explain.method import METHODS, Explainable, Method, explain
from striate.explain.occlusion import occlusion
from striate.explain.picture import colourize, overlay
from striate.explain.saliency import saliency

__all__ = [
    "METHODS",
    "Explainable",
    "Method",
    "colourize",
    "explain",
    "gradcam",
    "integrated_gradients",
    "occlusion",
    "overlay",
    "saliency",
]
