"""`fit`: from labelled data to a trained, calibrated, evaluated and explained classifier."""

from __future__ import annotations

import sys
import time as clock
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from striate.data import lock
from striate.data.dataset import Dataset
from striate.data.prepare import prepare
from striate.data.source import Source
from striate.data.sources import open_source
from striate.device import choose_device, keep_freed_memory
from striate.errors import DataError, RunError, StorageError
from striate.metrics import fit_temperature, log_loss_of, softmax
from striate.models import Network, create_model
from striate.progress import Progress, duration
from striate.recipes import finetune
from striate.recipes.baseline import features_of, probe_of, transformed_logits
from striate.recipes.choices import choose_image_size, choose_symmetry
from striate.recipes.config import FitConfig, parse_time
from striate.recipes.ledger import Ledger
from striate.recipes.predictor import Predictor
from striate.recipes.results import (
    mistake_pictures,
    predict_items,
    versions,
    write_history,
    write_predictions,
)
from striate.recipes.trained import Run
from striate.report import Choice, RunFacts, Seconds, TestItems, build_report, write_report
from striate.run import (
    CHECKPOINTS,
    LOCK,
    MODEL,
    ModelRecord,
    PreprocessingRecord,
    RunFolder,
    RunRecord,
    next_folder,
    sha256_file,
    write_atomic,
)
from striate.train.plan import Deadline, TrainPlan
from striate.transfer.probe import LinearProbe
from striate.typing import PathLike

DEFAULT_MODEL: Final = "efficientnet_lite0"
"""The network of `--model auto`: its ImageNet weights come with Striate, so it works offline."""
