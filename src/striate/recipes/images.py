"""A fit of images: frozen features and a probe, fine-tuning from there, or training from scratch."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ImageDataset
from striate.data.prepare import prepare
from striate.data.symmetry import SYMMETRIES
from striate.metrics import Calibration
from striate.models import Network, create_model
from striate.progress import duration
from striate.recipes import finetune
from striate.recipes.baseline import crops, features_of, transformed_losses
from striate.recipes.choices import choose_image_size, choose_symmetry
from striate.recipes.pictures import image_pictures
from striate.recipes.pipeline import (
    EVALUATION_SHARE,
    LEAST_TRAINING,
    REPORTING,
    Candidate,
    Chosen,
    Pipeline,
)
from striate.recipes.predictor import BATCH_SIZE, ImagePredictor, Predictor
from striate.recipes.tasks import Task
from striate.report import AnyReport, Choice, Picture
from striate.run import PreprocessingRecord
from striate.transfer.probe import LinearProbe

TRAINING_BATCH: Final = 32

_MAPS_SHARE: Final = 0.25
"""Of the time for fine-tuning, the most that storing maps of frozen blocks may take."""

_FROZEN_COST: Final = 0.5
"""What the frozen blocks take of a pass through the network, about."""


class ImagePipeline(Pipeline):
    """A fit of images."""

    _dataset: ImageDataset
    _size: int

    def look(self) -> ImageDataset:
        """Decode once, at the size that the network will see."""
        job = self.job

        def choose() -> tuple[str, Choice]:
            size, choice = choose_image_size(job.source, job.config.image_size)
            return str(size), choice

        self._size = int(job.decide("image size", choose))
        self._dataset = prepare(
            job.source, size=self._size, seed=job.config.seed, progress=job.progress
        )
        return self._dataset

    def train(self, task: Task) -> Chosen:
        """A probe, and fine-tuning where it pays; or a network from scratch."""
        job = self.job
        method = job.config.method
        if method == "scratch":
            return Chosen(candidate=self._from_scratch(task), probe=None)
        network = self._pretrained(task)
        features = job.ledger.timed(
            "features",
            lambda: features_of(
                network, self._dataset, self._size, job.ledger, job.progress, job.stop
            ),
        )
        probe, probe_outputs = self.fit_probe(task, features)
        network.classifier.load_state_dict(probe.as_head().state_dict())
        if method == "probe":
            return Chosen(candidate=self._probe(task, network), probe=probe_outputs)
        symmetry = job.decide("symmetry", lambda: self._symmetry(task, network, probe, features))
        views = job.decide("views", lambda: self._views(network, symmetry))
        seconds = job.seconds_left() - self._evaluation_seconds(views) - REPORTING
        # A resumed fit goes on with fine-tuning however little time is left.
        if method == "auto" and not job.ledger.decide(
            "tune", lambda: job.config.epochs is not None or seconds >= LEAST_TRAINING
        ):
            job.tell(Choice(topic="method", choice="probe", why="no time is left for fine-tuning"))
            return Chosen(candidate=self._probe(task, network), probe=probe_outputs)
        probe_network = copy.deepcopy(network)
        tuned = self._fine_tuned(task, network, symmetry, views, seconds)
        if method == "auto":
            probe_loss = task.calibrated(probe_outputs.val, self._dataset.indices("val"))[1]
            if not self.better(tuned, probe_loss, task.metrics[0]):
                return Chosen(candidate=self._probe(task, probe_network), probe=probe_outputs)
        return Chosen(candidate=tuned, probe=probe_outputs)

    def outputs(self, predictor: Predictor, indices: NDArray[np.int64], label: str) -> Tensor:
        """Of central squares, averaged over the predictor's symmetries."""
        assert isinstance(predictor, ImagePredictor)
        found = []
        with self.job.progress.track(label, len(indices), "items") as tracker:
            for pixels in crops(self._dataset, indices, self._size, stop=self.job.stop):
                found.append(predictor.outputs(pixels))
                tracker.advance(len(pixels))
        return torch.cat(found)

    def pictures(self, report: AnyReport, predictor: Predictor) -> dict[str, Picture]:
        """The worst mistakes as the network saw them, and where it looked for its answer."""
        return image_pictures(report, predictor, self._dataset, self._size)

    def preprocessing(self, predictor: Predictor) -> PreprocessingRecord:
        """Size, normalization and views."""
        assert isinstance(predictor, ImagePredictor)
        prepared = predictor.network.preprocessing
        return PreprocessingRecord(
            mean=prepared.mean,
            std=prepared.std,
            image_size=self._size,
            symmetry=predictor.symmetry,
        )

    def input_shape(self) -> Sequence[int]:
        """Three channels, two axes."""
        return (3, self._size, self._size)

    def _pretrained(self, task: Task) -> Network:
        config = self.job.config
        weights = "imagenet" if config.weights == "auto" else config.weights
        network = create_model(config.model, num_classes=task.num_outputs, weights=weights)
        return network.to(self.job.device)

    def _predictor(self, network: Network, symmetry: str) -> ImagePredictor:
        return ImagePredictor(
            network=network.eval(),
            symmetry=symmetry,
            calibration=Calibration(),
            device=self.job.device,
        )

    def _probe(self, task: Task, network: Network) -> Candidate:
        predictor = self._predictor(network, "identity")
        return self.candidate(task, "probe", self.job.config.model, predictor)

    def _symmetry(
        self, task: Task, network: Network, probe: LinearProbe, features: Tensor
    ) -> tuple[str, Choice]:
        asked = self.job.config.symmetry
        if asked != "auto":
            return asked, Choice(topic="symmetry", choice=asked, why="asked for")
        losses, ignorance = transformed_losses(
            network, probe, features, task, self._dataset, self._size, self.job.stop
        )
        return choose_symmetry(losses, ignorance)

    def _views(self, network: Network, symmetry: str) -> tuple[str, Choice]:
        """The symmetries averaged in prediction: as many as the time allows."""
        job, dataset = self.job, self._dataset
        predictor = self._predictor(network, "identity")
        held_out = np.concatenate([dataset.indices("val"), dataset.indices("test")])
        pixels = dataset.pixels.center_crops(held_out[:BATCH_SIZE], self._size)
        predictor.outputs(pixels)
        began = time.monotonic()
        predictor.outputs(pixels)
        one_view = (time.monotonic() - began) / len(pixels) * len(held_out)
        views = "identity"
        for name, numbers in SYMMETRIES.items():
            if len(numbers) * one_view <= EVALUATION_SHARE * job.config.time:
                views = name
            if name == symmetry:
                break
        job.ledger.decide("seconds a view", lambda: one_view)
        why = (
            f"{duration(one_view)} for the held-out items in each of {len(SYMMETRIES[views])} views"
        )
        return views, Choice(topic="prediction", choice=f"mean over {views}", why=why)

    def _evaluation_seconds(self, views: str) -> float:
        one_view: float = self.job.ledger.decide("seconds a view", lambda: 0.0)
        return one_view * len(SYMMETRIES[views])

    def _fine_tuned(
        self, task: Task, network: Network, symmetry: str, views: str, seconds: float
    ) -> Candidate:
        job = self.job
        deadline = time.monotonic() + seconds
        training = job.ledger.timed(
            "train",
            lambda: finetune.tail_training(
                network,
                task,
                self._dataset,
                size=self._size,
                symmetry=symmetry,
                seed=job.config.seed,
                batch_size=TRAINING_BATCH,
                num_variants=job.ledger.decide("variants", lambda: self._variants(seconds)),
                folder=job.folder,
                progress=job.progress,
                stop=job.stop,
            ),
        )
        history = self.run_training(training, deadline)
        predictor = self._predictor(network, views)
        return self.candidate(task, "finetune", job.config.model, predictor, history)

    def _variants(self, seconds: float) -> int:
        """Augmented variants of an item: as many as can be made in a part of the time."""
        if self.job.config.epochs is not None:
            return finetune.NUM_VARIANTS
        dataset = self._dataset
        one_pass = self.job.ledger.seconds("features") / len(dataset.items)
        one_variant = _FROZEN_COST * one_pass * len(dataset.indices("train"))
        variants = finetune.NUM_VARIANTS
        while variants > 1 and variants * one_variant > _MAPS_SHARE * seconds:
            variants //= 2
        return variants

    def _from_scratch(self, task: Task) -> Candidate:
        job = self.job
        torch.manual_seed(job.config.seed)
        network = create_model(job.config.model, num_classes=task.num_outputs).to(job.device)
        training = finetune.full_training(
            network,
            task,
            self._dataset,
            size=self._size,
            symmetry="mirror" if job.config.symmetry == "auto" else job.config.symmetry,
            seed=job.config.seed,
            batch_size=TRAINING_BATCH,
            workers=job.config.workers,
        )
        deadline = time.monotonic() + self.seconds_to_train()
        history = self.run_training(training, deadline)
        predictor = self._predictor(network, "identity")
        return self.candidate(task, "scratch", job.config.model, predictor, history)
