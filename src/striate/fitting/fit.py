"""`fit`: from labelled data to a trained, calibrated, evaluated and explained model."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from striate.data.readers.tables.patch import patched
from striate.data.source import Source
from striate.device import choose_device, keep_freed_memory, use_free_cores
from striate.errors import RunError, StoppedError
from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Candidate, Proposal
from striate.fitting.check.in_fit import found_in_fit
from striate.fitting.context import FitContext
from striate.fitting.folds import cross_validated, pooled
from striate.fitting.framing import choose_framing
from striate.fitting.method import Method, load_methods
from striate.fitting.options import AUTO, FitOptions, options_of, with_options
from striate.fitting.outcome import evaluated, write_best_so_far, write_outcome
from striate.fitting.prepare import check_finished, methods_to_try, open_data, read_data
from striate.fitting.select import select
from striate.fitting.steps import Steps, clear_steps
from striate.kinds.kind import kind_named
from striate.models import check_model_name, check_weights_name
from striate.progress import Progress, as_progress
from striate.report.schema import Choice
from striate.run.folder import RunFolder, last_folder, next_folder, run_name
from striate.run.run import Run
from striate.tasks.task import arranged, task_of
from striate.train.energy import EnergyMeter
from striate.train.history import StopWish
from striate.train.logs.log import NO_LOG, check_log, open_log
from striate.train.processes import joined
from striate.train.strategy import Strategy
from striate.typing import PathLike


@with_options()
def fit(  # noqa: D417 - the options are described where they are declared
    data: PathLike | Source,
    *,
    progress: Progress | Callable[[str], object] | bool | None = None,
    stop: Callable[[], StopWish] | None = None,
    **options: Any,
) -> Run:
    """Train a model on labelled items, evaluate it once on held-out ones, and explain it.

    Args:
        data: A folder of class folders, a manifest, an array file, an IDX pair, a .ts file, a TU
            folder, a table of molecules, an edge list, a folder or an address of shards,
            `sample:NAME`, or a `Source`.
        progress: Where the work is told: a `Progress`, a function of one line of text such as
            `print`, True, or False for silence. By default a notebook shows it and a script is
            silent.
        stop: Asked now and then: True saves and stops, "finish" makes the best model so far the
            result. `resume` goes on after either.
        {options}

    Returns:
        The finished run.

    Raises:
        DataError: The data cannot be used.
        ArgumentError: An option has a value that is not allowed, or would be ignored.
        RunError: The folder holds another run, or is in use.
        MachineError: Weights, device or disk are not there.
        StoppedError: `stop` said so, and the work is saved.
    """
    began, energy = clock.monotonic(), EnergyMeter()
    chosen = options_of(options)
    # What can be known to be wrong is said before any item is read.
    method = None if chosen.method == AUTO else load_methods().get(chosen.method)
    check_log(chosen.log)
    if chosen.model != AUTO:
        check_model_name(chosen.model)
    if chosen.weights not in (AUTO, None):
        check_weights_name(chosen.weights, None if chosen.model == AUTO else chosen.model)
    source = open_data(data, chosen)
    if chosen.patch:
        source = patched(source, chosen.patch)
    source = arranged(source, vars(chosen))
    kind = kind_named(source.kind)
    chosen.check_kind(kind.name, kind.named_options)
    if method:
        chosen.check_methods(kind.name, method.uses, method.implied)
    task = task_of(source.listing.items, chosen.method)
    task.check_aim(chosen.aim, source.listing.items)
    device = choose_device(chosen.device)
    keep_freed_memory()
    use_free_cores()
    with (
        # The user's own random numbers go on where they were; those of a GPU do not.
        torch.random.fork_rng([]),
        joined(strategy=chosen.strategy) as strategy,
        _own_folder(chosen, source, strategy) as folder,
    ):
        strategy.check_device(device)
        told = as_progress(progress) if strategy.is_writer else Progress(quiet=True)
        if strategy.share(folder.finished()):
            if not chosen.resume:
                raise RunError(
                    f"run folder {str(folder.path)!r} holds a finished run",
                    fix="choose another folder with `out=`",
                )
            check_finished(folder, source)
            if strategy.is_writer:
                clear_steps(folder)
            told.say(f"{folder.path} is finished already")
            return Run(folder.path, device=chosen.device)
        decisive = {"data": source.name, **chosen.decisive()}
        steps = Steps(folder, decisive, resume=chosen.resume, say=told.say, strategy=strategy)
        context = FitContext(
            options=chosen,
            source=source,
            kind=kind,
            task=task,
            folder=folder,
            steps=steps,
            device=device,
            progress=told,
            stop=stop or (lambda: False),
            strategy=strategy,
            began=began - steps.seconds("total"),
            energy=None if steps.seconds("total") else energy,
            log=open_log(
                chosen.log if strategy.is_writer else NO_LOG,
                folder.path,
                {**chosen.decisive(), "data": run_name(source.name)},
            ),
        )
        with closing(context.log):
            steps.timed("total", lambda: _fit(context))
        strategy.barrier()
    return Run(folder.path, device=chosen.device)


@contextmanager
def _own_folder(chosen: FitOptions, source: Source, strategy: Strategy) -> Iterator[RunFolder]:
    """The run folder; the process that writes makes it and holds it."""
    place = last_folder if chosen.resume else next_folder
    path = Path(chosen.out) if chosen.out else place(Path("runs"), run_name(source.name))
    path = Path(strategy.share(str(path)))
    if not strategy.is_writer:
        strategy.barrier()
        yield RunFolder(path)
        return
    with RunFolder.begun(path) as folder:
        strategy.barrier()
        yield folder


def _fit(context: FitContext) -> None:
    """The order of work: read, offer candidates, choose, evaluate, write."""
    read_data(context)
    folds = [] if context.options.folds is None else cross_validated(context, _learn)
    candidate, baseline = _learn(context)
    tested = pooled(context, candidate, folds) if folds else evaluated(context, candidate, baseline)
    if context.strategy.is_writer:
        found = found_in_fit(context, baseline, tested.items, tested.indices, candidate)
        write_outcome(context, candidate, tested, found)


def _learn(context: FitContext) -> tuple[Candidate, Baseline | None]:
    """The best model of what suits the data, and the baseline where one was needed."""
    methods = methods_to_try(context)
    context.inputs = choose_framing(context)
    baseline = Baseline(context)
    best: Proposal | None = None
    for method in methods:
        if best is not None and len(methods) > 1:
            # A resumed fit goes on with a method however little time is left.
            against = context.steps.step(
                f"against {method.name}", partial(method.against, context, baseline)
            )
            if against:
                context.tell(Choice(topic="method", choice=best.name, why=against))
                continue
        best = better(context, best, method, baseline)
        if context.finishing:
            break
    assert best is not None, "a kind names at least one method"
    return best.finish(context), baseline if methods[0].needs_baseline else None


def better(
    context: FitContext, best: Proposal | None, method: Method, baseline: Baseline
) -> Proposal:
    """The better of the best model so far and what a method proposes.

    Raises:
        StoppedError: The user asked to leave, or to finish before there is a model.
    """
    context.log.begin(method.name)
    try:
        found = select(context, best, method.propose(context, baseline))
    except StoppedError:
        alone = context.strategy.num_processes == 1  # others would go on with the search
        if best is None or context.stop() != "finish" or not alone:
            raise
        context.end_search()
        return best
    if found is not best and not context.finishing:
        context.to_beat = found.loss
    if found is not best and not (context.finishing or context.is_fold):
        # Once: a resumed fit must not put an early model in the place of a later one.
        context.steps.step(
            f"{method.name} kept", lambda: write_best_so_far(context, found.candidate())
        )
    return found
