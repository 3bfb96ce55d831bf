"""A fit of signals, volumes or graphs: a probe of frozen features, and a network from scratch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.batches import batch_bounds
from striate.data.dataset import ReadDataset
from striate.data.prepare import prepare_readings
from striate.data.randomness import epoch_order, item_keys, uniforms
from striate.errors import ArgumentError, StoppedError
from striate.fitting.baseline import probe_cross_outputs, probe_of
from striate.fitting.kind_defaults import defaults_of
from striate.fitting.pipeline import (
    LEAST_TRAINING,
    Candidate,
    Chosen,
    Pipeline,
)
from striate.fitting.training import Training
from striate.kinds import Feed, feed_of
from striate.kinds.graph.inputs import GraphFeed
from striate.metrics import Calibration
from striate.models import GRAPH_MODELS, Network, create_model
from striate.models.minirocket import MiniRocket, fit_biases
from striate.nn.layout import placed
from striate.nn.parameters import plain_groups
from striate.ops.inputs import Inputs
from striate.report import AnyReport, Choice, Picture
from striate.run.folder import CHECKPOINTS, FeedRecord
from striate.run.pictures import feed_pictures
from striate.run.predictor import TOGETHER, FeedPredictor, Predictor
from striate.tasks import ProbeOutputs, Task

LEAST_JUDGES: Final = 20
"""Validation items below which a network, whose best epoch they choose, is not set against a probe.

Of so few each changes the accuracy by more than five points.
"""

STANDARD_ERRORS: Final = 2.0
"""By which a trained network has to beat a probe."""


class FeedPipeline(Pipeline):
    """A fit of items that a feed turns into inputs."""

    _dataset: ReadDataset
    _feed: Feed

    def look(self) -> ReadDataset:
        """Read everything once, and fit the feed to the training items."""
        job = self.job
        kind = job.source.kind
        self._dataset = prepare_readings(
            job.source,
            folder=job.folder.path / CHECKPOINTS,
            seed=job.config.seed,
            progress=job.progress,
        )
        train = self._dataset.indices("train")
        self._feed = feed_of(kind).fitted(
            self._dataset.readings.each(train), job.config.feed_options(kind)
        )
        self._defaults = defaults_of(kind, self._feed.input_shape)
        for note in self._feed.notes():
            job.progress.say(f"{note.severity}: {note.message}")
        return self._dataset

    def train(self, task: Task) -> Chosen:
        """What the method asks for; by default the better of a probe and a network from scratch."""
        job, defaults = self.job, self._defaults
        method = job.config.method
        if method in ("probe", "finetune") and defaults.features is None:
            raise ArgumentError(
                f"--method {method}",
                why=f"no frozen features are known for a {job.source.kind}",
                fix="use --method scratch",
            )
        if method == "finetune" and not defaults.pretrained:
            raise ArgumentError(
                "--method finetune",
                why=f"there are no pretrained weights for a {job.source.kind}",
                fix="use --method probe or scratch",
            )
        if method == "scratch" or defaults.features is None:
            return Chosen(candidate=self._from_scratch(task), probe=None)
        network = self._feature_network(task)
        features = job.ledger.timed("features", lambda: self._features(network))
        probe, probe_outputs = self.fit_probe(task, features)
        network.classifier.load_state_dict(probe.as_head().state_dict())
        if method == "finetune":
            return Chosen(candidate=self._fine_tuned(task, network), probe=probe_outputs)
        if method == "auto":
            against = job.ledger.decide("against training", self._against_training)
            if against:
                job.tell(Choice(topic="method", choice="probe", why=against))
            else:
                trained = self._from_scratch(task)
                if self._surely_better(task, trained, probe_outputs):
                    return Chosen(candidate=trained, probe=probe_outputs)
        return Chosen(candidate=self._probe(task, network, features), probe=probe_outputs)

    def outputs(self, predictor: Predictor, indices: NDArray[np.int64], label: str) -> Tensor:
        """Of the items' plain inputs."""
        assert isinstance(predictor, FeedPredictor)
        found = []
        with self.job.progress.track(label, len(indices), "items") as tracker:
            for part in self._parts(indices):
                self._heed_stop()
                found.append(predictor.outputs(self._dataset.readings.take(part)))
                tracker.advance(len(part))
        return torch.cat(found)

    def pictures(self, report: AnyReport, predictor: Predictor) -> Mapping[str, Picture]:
        """The worst mistakes, drawn as their kind asks for."""
        assert isinstance(predictor, FeedPredictor)
        return feed_pictures(report, predictor, self._dataset)

    def preprocessing(self, predictor: Predictor) -> FeedRecord:
        """The feed's own record."""
        return FeedRecord(feed=self._feed.to_json())

    def input_shape(self) -> Sequence[int]:
        """As the feed has it."""
        return self._feed.input_shape

    def _make(self, name: str, task: Task, weights: str | None = None) -> Network:
        """A network for the feed's inputs."""
        torch.manual_seed(self.job.config.seed)
        options = network_options(self._feed, name)
        network = create_model(name, num_classes=task.num_outputs, weights=weights, **options)
        return network.to(self.job.device)

    def _feature_network(self, task: Task) -> Network:
        weights = "imagenet" if self._defaults.pretrained else None
        network = self._make(str(self._defaults.features), task, weights)
        if isinstance(network, MiniRocket):
            train = self._dataset.indices("train")
            inputs = self._feed.inputs(self._dataset.readings.take(train))
            assert isinstance(inputs, Tensor)
            fit_biases(network, inputs, self.job.config.seed)
        assert isinstance(network, Network)
        return network

    def _features(self, network: Network) -> Tensor:
        """(items, features) frozen features of every item."""

        def make() -> dict[str, Tensor]:
            network.eval()
            found = []
            total = len(self._dataset.items)
            with self.job.progress.track("features", total, "items") as tracker:
                for batch in self._plain_inputs(np.arange(total)):
                    self._heed_stop()
                    inputs = placed(batch, self.job.device)
                    assert isinstance(inputs, Tensor)
                    with torch.inference_mode():
                        maps = network.forward_features(inputs)
                        found.append(network.pool(maps).flatten(1).float().cpu())
                    tracker.advance(len(batch))
            return {"features": torch.cat(found)}

        return self.job.ledger.tensors("features", make)["features"]

    def _plain_inputs(self, indices: NDArray[np.int64]) -> Iterator[Inputs]:
        """Inputs without chance, in order, in batches that are computed at once."""
        for part in self._parts(indices):
            yield self._feed.inputs(self._dataset.readings.take(part))

    def _parts(self, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        size = TOGETHER[self._feed.kind]
        return np.split(indices, range(size, len(indices), size))

    def _heed_stop(self) -> None:
        if self.job.stop():
            raise StoppedError

    def _predictor(self, network: Network) -> FeedPredictor:
        return FeedPredictor(
            network=network.eval(),
            feed=self._feed,
            calibration=Calibration(),
            device=self.job.device,
        )

    def _probe(self, task: Task, network: Network, features: Tensor) -> Candidate:
        """The probe as the result, fitted again to the validation items too.

        Small data has no item to spare. It is calibrated on what probes of its strength say of
        items that each was not fitted to.
        """
        job = self.job
        seed = job.config.seed
        learnt = np.flatnonzero(task.dataset.splits != "test")
        probe = probe_of(task, features, learnt, seed, job.ledger, "final probe")
        network.classifier.load_state_dict(probe.as_head().state_dict())
        held_out = probe_cross_outputs(task, features, learnt, probe, seed)
        name = str(self._defaults.features)
        return self.refitted(task, "probe", name, self._predictor(network), held_out)

    def _against_training(self) -> str:
        """Why training a network beside the probe is not worth the while; empty where it is."""
        if self.job.config.epochs is not None:
            return ""
        num_judges = len(self._dataset.indices("val"))
        if num_judges < LEAST_JUDGES:
            return f"{num_judges} validation items cannot tell whether a trained network is better"
        enough = self.seconds_to_train() >= LEAST_TRAINING
        return "" if enough else "no time is left for training"

    def _surely_better(self, task: Task, trained: Candidate, probe: ProbeOutputs) -> bool:
        """Whether a trained network beats the probe on validation by more than chance may give.

        Of two models that small data cannot tell apart, the simpler one: the network has to win by
        two standard errors, for its best epoch was chosen by the very items that judge here.
        """
        val = task.dataset.indices("val")
        assert trained.outputs is not None, "a trained network leaves the validation items out"
        calibration, probe_loss = task.calibrated(probe.val, val)
        gains = task.item_losses(probe.val, calibration, val) - task.item_losses(
            trained.outputs, trained.predictor.calibration, val
        )
        margin = STANDARD_ERRORS * float(gains.std() / np.sqrt(len(gains)))
        kept = trained.loss < probe_loss - margin
        self.job.tell(
            Choice(
                topic="method",
                choice="training from scratch" if kept else "probe",
                why=f"{task.metrics[0].replace('_', ' ')} on validation: {trained.loss:.4f} "
                f"trained, {probe_loss:.4f} probe; chance gives differences of {margin:.4f}",
            )
        )
        return kept

    def _from_scratch(self, task: Task) -> Candidate:
        asked = self.job.config.model
        name = self._defaults.network if asked == "auto" else asked
        weights = self.job.config.weights
        network = self._make(name, task, None if weights == "auto" else weights)
        return self._trained(task, "scratch", name, network, self._defaults.learning_rate)

    def _fine_tuned(self, task: Task, network: Network) -> Candidate:
        name = str(self._defaults.features)
        return self._trained(task, "finetune", name, network, self._defaults.fine_tuning_rate)

    def _trained(
        self, task: Task, method: str, name: str, network: Network, rate: float
    ) -> Candidate:
        job, defaults = self.job, self._defaults
        end = time.monotonic() + self.seconds_to_train()
        val = self._dataset.indices("val")
        training = Training(
            trainee=network,
            task=task,
            learning_rate=rate,
            batches=FeedBatches(
                self._feed,
                self._dataset,
                task,
                batch_size=defaults.batch_size,
                least_steps=defaults.least_steps,
                seed=job.config.seed,
            ),
            validation=lambda: self._plain_inputs(val),
            validated=val,
            groups=plain_groups(network, defaults.weight_decay),
            batch_size=defaults.batch_size,
            max_epochs=defaults.max_epochs,
            clip_norm=defaults.clip_norm,
        )
        history = self.run_training(training, end)
        return self.candidate(task, method, name, self._predictor(network), history)


class FeedBatches:
    """Training batches of augmented items, drawn without state.

    Args:
        feed: makes inputs.
        dataset: of the items.
        task: makes targets.
        batch_size: items in a batch; a last batch of one joins the one before it.
        least_steps: batches in an epoch, at least; the items are gone through as often as it takes.
        seed: of the order and the augmentation.
    """

    def __init__(
        self,
        feed: Feed,
        dataset: ReadDataset,
        task: Task,
        *,
        batch_size: int,
        least_steps: int,
        seed: int,
    ) -> None:
        self._feed, self._dataset, self._task, self._seed = feed, dataset, task, seed
        self._indices = dataset.indices("train")
        self._keys = item_keys(dataset.ids(self._indices))
        self._bounds = batch_bounds(len(self._indices), batch_size)
        self._passes = -(-least_steps // len(self._bounds))

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self._passes * len(self._bounds)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and targets from a step on."""
        for step in range(start_step, self.steps_per_epoch):
            chosen, number = self._chosen(epoch, step)
            draws = uniforms(
                self._keys[chosen], self._feed.num_draws, seed=self._seed, epoch=number
            )
            indices = self._indices[chosen]
            inputs = self._feed.augmented(self._dataset.readings.take(indices), draws)
            yield inputs, self._task.training_targets(indices)

    def ids(self, epoch: int, step: int) -> list[str]:
        """The items of one batch."""
        return self._dataset.ids(self._indices[self._chosen(epoch, step)[0]])

    def _chosen(self, epoch: int, step: int) -> tuple[NDArray[np.int64], int]:
        """Places among the training items, and the number of the pass that they belong to."""
        within, place = divmod(step, len(self._bounds))
        number = epoch * self._passes + within
        start, stop = self._bounds[place]
        return epoch_order(self._seed, number, len(self._indices))[start:stop], number


def network_options(feed: Feed, name: str) -> dict[str, Any]:
    """What `create_model` must know of a feed's inputs."""
    channels, *space = feed.input_shape
    if isinstance(feed, GraphFeed):
        takes_edges = name in GRAPH_MODELS and GRAPH_MODELS.get(name).takes_edges
        return {
            "in_channels": channels,
            "edge_channels": feed.edge_channels if takes_edges else 0,
        }
    options: dict[str, Any] = {"rank": len(space), "in_channels": channels}
    if name == "minirocket":
        options["input_size"] = space[0]
    return options
