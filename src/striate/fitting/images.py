"""A fit of images: frozen features with a probe and a kernel machine, then fine-tuning.

Or training from scratch, where that is asked for.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ImageDataset
from striate.data.prepare import prepare
from striate.errors import ArgumentError
from striate.fitting import finetune
from striate.fitting.baseline import (
    crops,
    early_baseline,
    features_of,
    has_all_scales,
    probe_cross_outputs,
    transformed_losses,
)
from striate.fitting.choices import choose_image_size, choose_symmetry
from striate.fitting.kernel import KernelProbe, kernel_cross_outputs, kernel_probe_of
from striate.fitting.pipeline import (
    EVALUATION_SHARE,
    LEAST_TRAINING,
    REPORTING,
    Candidate,
    Chosen,
    Pipeline,
)
from striate.kinds.image.symmetry import SYMMETRIES
from striate.metrics import Calibration
from striate.models import Network, create_model
from striate.models.kernel_machine import NAME as KERNEL_MACHINE
from striate.progress import duration
from striate.report import AnyReport, Choice, Picture
from striate.run.folder import PreprocessingRecord
from striate.run.pictures import image_pictures
from striate.run.predictor import BATCH_SIZE, ImagePredictor, Predictor
from striate.tasks import Task
from striate.transfer.probe import LinearProbe

TRAINING_BATCH: Final = 32

_MAPS_SHARE: Final = 0.25
"""Of the time for fine-tuning, the most that storing maps of frozen blocks may take."""

_FROZEN_COST: Final = 0.5
"""What the frozen blocks take of a pass through the network, about."""

_STEP_COST: Final = 2.0
"""What an item takes in a training step and validation, in passes through the network, about."""

LEAST_EPOCHS: Final = 4
"""Fewer epochs of fine-tuning seldom pay (see docs/performance.md)."""


@dataclass(frozen=True, kw_only=True)
class _Simple:
    """A model on frozen features, which fine-tuning has to beat.

    Attributes:
        name: for the user.
        loss: on validation, calibrated, of what was fitted to the training items.
        cross_loss: computes that of a cross-validation in the training items.
        make: the candidate, from the pretrained network.
    """

    name: str
    loss: float
    cross_loss: Callable[[], float]
    make: Callable[[Network], Candidate]


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
        """What the method asks for; by default the best of probe, kernel machine and fine-tuning."""
        job = self.job
        method = job.config.method
        if method == "scratch":
            return Chosen(candidate=self._from_scratch(task), probe=None)
        network = self._pretrained(task)
        features = job.ledger.timed(
            "features",
            lambda: features_of(
                network,
                self._dataset,
                self._size,
                job.ledger,
                job.progress,
                job.stop,
                seed=job.config.seed,
                look=early_baseline(
                    task,
                    network.num_features,
                    seed=job.config.seed,
                    seconds=job.seconds,
                    tell=partial(self.tell_validation, task, "first baseline"),
                ),
            ),
        )
        pooled = features[:, -network.num_features :]
        probe, probe_outputs = self.fit_probe(task, pooled)
        network.classifier.load_state_dict(probe.as_head().state_dict())
        if method == "probe":
            return Chosen(candidate=self._probe(task, network), probe=probe_outputs)
        simple = _Simple(
            name="probe",
            loss=task.calibrated(probe_outputs.val, self._dataset.indices("val"))[1],
            cross_loss=lambda: task.calibrated(
                *probe_cross_outputs(
                    task, pooled, self._dataset.indices("train"), probe, job.config.seed
                )
            )[1],
            make=lambda backbone: self._probe(task, backbone),
        )
        if method == "kernel" or (method == "auto" and has_all_scales(network, features)):
            kernel = self._kernel(task, network, features)
            if method == "kernel":
                return Chosen(candidate=kernel.make(network), probe=probe_outputs)
            simple = self._better_fitted(simple, kernel, task.metrics[0])
        # A resumed fit goes on with fine-tuning however little time is left.
        if method == "auto" and not job.ledger.decide("tune", self._worth_tuning):
            why = f"of fine-tuning the time allows fewer than {LEAST_EPOCHS} epochs"
            job.tell(Choice(topic="method", choice=simple.name, why=why))
            return Chosen(candidate=simple.make(network), probe=probe_outputs)
        symmetry = job.decide("symmetry", lambda: self._symmetry(task, network, probe, pooled))
        views = job.decide("views", lambda: self._views(network, symmetry))
        seconds = job.seconds_left() - self._evaluation_seconds(views) - REPORTING
        untouched = copy.deepcopy(network)
        tuned = self._fine_tuned(task, network, symmetry, views, seconds)
        if method == "auto" and not self._better(tuned, simple, task.metrics[0]):
            return Chosen(candidate=simple.make(untouched), probe=probe_outputs)
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

    def _kernel(self, task: Task, network: Network, features: Tensor) -> _Simple:
        """A kernel machine on the features of every scale.

        Raises:
            ArgumentError: the items are too many for features of every scale.
        """
        job, seed = self.job, self.job.config.seed
        if not has_all_scales(network, features):
            raise ArgumentError(
                "--method kernel",
                why=f"{len(features)} items are too many to keep their features of every scale",
                fix="use --method auto or finetune",
            )
        train, val = self._dataset.indices("train"), self._dataset.indices("val")
        probe = job.ledger.timed(
            "train",
            lambda: kernel_probe_of(
                task, features, train, seed=seed, ledger=job.ledger, topic="kernel"
            ),
        )
        outputs = probe.outputs(features[val])
        self.tell_validation(task, "kernel machine", "frozen features of every scale", outputs)

        def make(backbone: Network) -> Candidate:
            return self._kernel_machine(task, backbone, features, probe)

        def cross_loss() -> float:
            return task.calibrated(*kernel_cross_outputs(task, features, train, probe, seed=seed))[
                1
            ]

        loss = task.calibrated(outputs, val)[1]
        return _Simple(name="kernel machine", loss=loss, cross_loss=cross_loss, make=make)

    def _kernel_machine(
        self, task: Task, network: Network, features: Tensor, probe: KernelProbe
    ) -> Candidate:
        """The kernel machine as the result, fitted again to the validation items too."""
        job, seed = self.job, self.job.config.seed
        learnt = np.flatnonzero(self._dataset.splits != "test")
        final = kernel_probe_of(
            task, features, learnt, seed=seed, ledger=job.ledger, topic="final kernel", like=probe
        )
        held_out = kernel_cross_outputs(task, features, learnt, probe, seed=seed)
        machine = final.machine(network, job.config.model)
        predictor = self._predictor(machine, "identity")
        candidate = self.refitted(task, "kernel", KERNEL_MACHINE, predictor, held_out)
        return replace(candidate, details={"backbone": job.config.model})

    def _better_fitted(self, probe: _Simple, kernel: _Simple, loss_name: str) -> _Simple:
        """The model on frozen features that cross-validation prefers; the user is told.

        Both are fitted within seconds, so the whole training part can judge, which is larger than
        the validation part.
        """

        def decide() -> tuple[str, Choice]:
            losses = probe.cross_loss(), kernel.cross_loss()
            better = kernel if losses[1] < losses[0] else probe
            why = (
                f"{loss_name.replace('_', ' ')} in cross-validation: {losses[0]:.4f} probe, "
                f"{losses[1]:.4f} kernel machine"
            )
            return better.name, Choice(topic="on frozen features", choice=better.name, why=why)

        return kernel if self.job.decide("frozen features", decide) == kernel.name else probe

    def _better(self, tuned: Candidate, simple: _Simple, loss_name: str) -> bool:
        """Whether fine-tuning beats the model on frozen features; the user is told."""
        kept = tuned.loss <= simple.loss
        self.job.tell(
            Choice(
                topic="method",
                choice="fine-tuning" if kept else simple.name,
                why=f"{loss_name.replace('_', ' ')} on validation: {tuned.loss:.4f} fine-tuned, "
                f"{simple.loss:.4f} {simple.name}",
            )
        )
        return kept

    def _worth_tuning(self) -> bool:
        """Whether there is time for enough epochs, going by how long the features took."""
        job = self.job
        if job.config.epochs is not None:
            return True
        seconds = job.seconds_left() - EVALUATION_SHARE * job.config.time - REPORTING
        one_item = job.ledger.seconds("features") / len(self._dataset.items)
        epoch = _STEP_COST * one_item * len(self._dataset.indices("train"))
        return seconds >= LEAST_TRAINING and (1 - _MAPS_SHARE) * seconds >= LEAST_EPOCHS * epoch

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
        job = self.job
        one_view: float = job.ledger.decide("seconds a view", lambda: self._one_view(network))
        views = "identity"
        for name, numbers in SYMMETRIES.items():
            if len(numbers) * one_view <= EVALUATION_SHARE * job.config.time:
                views = name
            if name == symmetry:
                break
        why = (
            f"{duration(one_view)} for the held-out items in each of {len(SYMMETRIES[views])} views"
        )
        return views, Choice(topic="prediction", choice=f"mean over {views}", why=why)

    def _one_view(self, network: Network) -> float:
        """Seconds that predicting the held-out items takes in one view, by a batch of them."""
        dataset = self._dataset
        predictor = self._predictor(network, "identity")
        held_out = np.concatenate([dataset.indices("val"), dataset.indices("test")])
        pixels = dataset.pixels.center_crops(held_out[:BATCH_SIZE], self._size)
        predictor.outputs(pixels)
        began = time.monotonic()
        predictor.outputs(pixels)
        return (time.monotonic() - began) / len(pixels) * len(held_out)

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
