"""A fit of the nodes of one large graph: a graph network from scratch, on all of it or on samples."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.batches import batch_bounds
from striate.data.dataset import ReadDataset
from striate.data.layouts.node_source import NodeSource
from striate.data.prepare import prepare_readings
from striate.data.randomness import epoch_order
from striate.data.source import Item
from striate.errors import ArgumentError
from striate.fitting.feeding import network_options
from striate.fitting.kind_defaults import NODE_DEFAULTS
from striate.fitting.pipeline import Chosen, Pipeline
from striate.fitting.training import Training
from striate.kinds.node.inputs import NodeInputs, node_feed
from striate.metrics import Calibration
from striate.models import create_model
from striate.models.graph_network import GraphNetwork
from striate.nn.parameters import plain_groups
from striate.ops.inputs import Inputs
from striate.report import AnyReport, Choice, Picture
from striate.run.folder import CHECKPOINTS, FeedRecord
from striate.run.pictures import node_pictures
from striate.run.predictor import NodePredictor, Predictor
from striate.tasks import Task

WHOLE: Final = 20_000
"""Nodes up to which every step sees the whole graph."""

FANOUT: Final = 10
"""Neighbours of a node that a step sees of a larger graph, at each convolution."""


class NodePipeline(Pipeline):
    """A fit of nodes."""

    _dataset: ReadDataset
    _inputs: NodeInputs

    def look(self) -> ReadDataset:
        """Check and split the nodes, and normalize by those of training."""
        job = self.job
        source = job.source
        assert isinstance(source, NodeSource)
        if job.config.options:
            raise ArgumentError(
                f"--option {next(iter(job.config.options))}", why="nodes have no such options"
            )
        self._dataset = prepare_readings(
            source,
            folder=job.folder.path / CHECKPOINTS,
            seed=job.config.seed,
            progress=job.progress,
        )
        feed = node_feed(source, self._items("train"))
        self._inputs = NodeInputs(source, feed)
        return self._dataset

    def train(self, task: Task) -> Chosen:
        """A network from scratch: no frozen features are known for nodes."""
        job = self.job
        if job.config.method in ("probe", "finetune"):
            raise ArgumentError(
                f"--method {job.config.method}",
                why="no frozen features are known for nodes",
                fix="use --method scratch",
            )
        asked = job.config.model
        name = NODE_DEFAULTS.network if asked == "auto" else asked
        torch.manual_seed(job.config.seed)
        weights = None if job.config.weights == "auto" else job.config.weights
        network = create_model(
            name,
            num_classes=task.num_outputs,
            weights=weights,
            level="node",
            **network_options(self._inputs.feed, name),
        ).to(job.device)
        end = time.monotonic() + self.seconds_to_train()
        val = self._dataset.indices("val")
        batches = NodeBatches(
            self._sampled(cast(GraphNetwork, network).config.depth),
            self._dataset,
            task,
            seed=job.config.seed,
        )
        training = Training(
            trainee=network,
            task=task,
            learning_rate=NODE_DEFAULTS.learning_rate,
            batches=batches,
            validation=lambda: iter([self._inputs.inputs(self._items("val"))]),
            validated=val,
            groups=plain_groups(network, NODE_DEFAULTS.weight_decay),
            batch_size=batches.batch_size,
            max_epochs=NODE_DEFAULTS.max_epochs,
            clip_norm=NODE_DEFAULTS.clip_norm,
        )
        history = self.run_training(training, end)
        predictor = NodePredictor(
            network=network.eval(),
            feed=self._inputs.feed,
            calibration=Calibration(),
            device=job.device,
        )
        return Chosen(
            candidate=self.candidate(task, "scratch", name, predictor, history), probe=None
        )

    def outputs(self, predictor: Predictor, indices: NDArray[np.int64], label: str) -> Tensor:
        """Of nodes in the whole graph."""
        assert isinstance(predictor, NodePredictor)
        return predictor.outputs(self._inputs.source, [self._dataset.items[i] for i in indices])

    def pictures(self, report: AnyReport, predictor: Predictor) -> Mapping[str, Picture]:
        """The worst mistakes among the nodes that they were made from."""
        assert isinstance(predictor, NodePredictor)
        return node_pictures(report, predictor, self._inputs, self._dataset)

    def preprocessing(self, predictor: Predictor) -> FeedRecord:
        """The feed's own record."""
        return FeedRecord(feed=self._inputs.feed.to_json())

    def input_shape(self) -> Sequence[int]:
        """Features of a node."""
        return self._inputs.feed.input_shape

    def _items(self, part: str) -> list[Item]:
        return [self._dataset.items[i] for i in np.flatnonzero(self._dataset.splits == part)]

    def _sampled(self, depth: int) -> NodeInputs:
        """Inputs of training steps: the whole graph, or neighbours drawn from it."""
        source = self._inputs.source
        nodes = source.graph.nodes.shape[1]
        if nodes <= WHOLE:
            return self._inputs
        why = f"the graph has {nodes} nodes, more than {WHOLE}"
        choice = f"{FANOUT} neighbours a node, {depth} steps far"
        self.job.tell(Choice(topic="sampling", choice=choice, why=why))
        return NodeInputs(source, self._inputs.feed, fanouts=(FANOUT,) * depth)


class NodeBatches:
    """Training batches of nodes: all at once where each sees the whole graph, else some at a time.

    Args:
        inputs: makes the batches.
        dataset: of the nodes.
        task: makes targets.
        seed: of the order and the neighbours drawn.

    Attributes:
        batch_size: nodes in a batch.
    """

    def __init__(self, inputs: NodeInputs, dataset: ReadDataset, task: Task, *, seed: int) -> None:
        self._inputs, self._dataset, self._task, self._seed = inputs, dataset, task, seed
        self._indices = dataset.indices("train")
        self.batch_size = NODE_DEFAULTS.batch_size if inputs.fanouts else len(self._indices)
        self._bounds = batch_bounds(len(self._indices), self.batch_size)
        self._passes = -(-NODE_DEFAULTS.least_steps // len(self._bounds))

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self._passes * len(self._bounds)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and targets from a step on."""
        for step in range(start_step, self.steps_per_epoch):
            chosen, number = self._chosen(epoch, step)
            items = [self._dataset.items[i] for i in chosen]
            batch = self._inputs.sampled(items, seed=self._seed, epoch=number)
            yield batch, self._task.training_targets(chosen)

    def ids(self, epoch: int, step: int) -> list[str]:
        """The nodes of one batch."""
        return self._dataset.ids(self._chosen(epoch, step)[0])

    def _chosen(self, epoch: int, step: int) -> tuple[NDArray[np.int64], int]:
        """Positions in the data set, and the number of the pass that they belong to."""
        within, place = divmod(step, len(self._bounds))
        number = epoch * self._passes + within
        start, stop = self._bounds[place]
        order = epoch_order(self._seed, number, len(self._indices))
        return self._indices[order[start:stop]], number
