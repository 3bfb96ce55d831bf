"""The options of `fit`: each declared once, here.

The command line, the signature of `striate.fit`, the estimators and the table in the documentation
are made from this declaration. Which options act follows from the kind of the data and from the
methods that are tried: one that would be ignored is refused.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from striate.errors import MAX_SEED, OptionError, UnknownNameError, check_whole
from striate.fitting.options.option import (
    Scope,
    annotation_of,
    check_value,
    default_of,
    described,
    numbers_of,
    option,
    parse_time,
    plain,
)
from striate.metrics.deciding.aim import Aim

METHOD_NAMES: Final = (
    "auto",
    *(module.name for module in pkgutil.iter_modules([str(Path(__file__).parents[1] / "methods")])),
)
"""What `--method` offers: "auto" and one name for each file in `methods/`."""

KIND_NAMES: Final = (
    "auto",
    *(
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parents[2] / "kinds")])
        if module.ispkg
    ),
)
"""What `--kind` offers: "auto" and one name for each folder in `kinds/`."""

LOG_NAMES: Final = (
    "none",
    *(
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parents[2] / "train" / "logs")])
        if module.name != "log"
    ),
)
"""What `--log` offers: "none" and one name for each log in `train/logs/`."""

AUTO: Final = "auto"
"""The value of an option that Striate chooses."""

SYMMETRIES: Final = ("auto", "identity", "mirror", "flips", "dihedral", "cube")

OF_CLASSES: Final = ("target_recall", "error_costs")
"""Options that hold a number by the name of a class."""

FRAMINGS: Final = ("auto", "crop", "pad", "rectangle")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What a user can choose about a fit, checked once.

    Raises:
        ArgumentError: A value is not allowed.
    """

    out: str | Path | None = option(
        None,
        "Run folder to write. By default it is runs/NAME-1, runs/NAME-2 and so on, after the data.",
        panel="Run",
        decides=False,
    )
    method: str = option(
        "auto",
        "How the model is learnt. `probe` trains a linear layer on frozen pretrained features, "
        "`wide` one on many more features (series), `kernel` a kernel machine on frozen features of "
        "every scale, `finetune` goes on training "
        "a pretrained network, and `scratch` starts from random weights. `oneclass` learns from good "
        "items alone what is unlike them. `auto` tries what suits "
        "the data within the time and keeps the best; of items of one class `oneclass`.",
        panel="Model",
        choices=METHOD_NAMES,
        registered=True,
    )
    model: str = option(
        "auto",
        "Network to use, a name from `striate models`, the layers of a plain network as text, or "
        "timm/NAME. `auto` takes what suits the kind of data.",
        panel="Model",
        scope=("method",),
    )
    weights: str | None = option(
        "auto",
        "Weights to start from: `imagenet`, the file of a checkpoint, or `none` (None in Python) "
        "for random weights. `auto` takes the pretrained weights that come with the network.",
        panel="Model",
        scope=("method",),
    )
    time: str | float = option(
        "10m",
        "Time for the whole fit: seconds, or text such as 90s, 10m or 1h30m.",
        panel="Training",
    )
    epochs: int | None = option(
        None,
        "Number of passes over the training items. By default it is planned from the time; where "
        "it is given, the time does not limit the training.",
        panel="Training",
        scope=("method",),
        minimum=1,
    )
    kind: str = option(
        "auto",
        "What an item is. `auto` decides by the layout of the data, by what most files hold, and of "
        "arrays by their axes: text is taken for molecules, two axes for signals, three for images "
        "unless the last is much longer than the second (signals of several channels), four for "
        "images if there are 1 or 3 channels first or last and else for volumes, and five for "
        "volumes.",
        panel="Data",
        choices=KIND_NAMES,
        registered=True,
    )
    image_size: int | None = option(
        None,
        "Side of the network's input in pixels (of a volume: in voxels). By default it is chosen "
        "from the data.",
        panel="Data",
        scope=("kind",),
        minimum=8,
    )
    symmetry: str = option(
        "auto",
        "Reflections and rotations that leave a label as it is: `identity` (none), `mirror` (left and "
        "right), `flips` (all axes), `dihedral` (quarter turns too) or, of volumes, `cube` (all turns). "
        "`auto` mirrors where the data show that labels survive it, and does nothing beyond that.",
        panel="Data",
        scope=("kind", "method"),
        choices=SYMMETRIES,
        neutral=("identity",),
    )
    framing: str = option(
        "auto",
        "What the network sees of an image that is not square: its central square (`crop`), or the "
        "whole image with the rest filled, in a square (`pad`) or in a rectangle of the images' "
        "usual shape (`rectangle`). `auto` compares them by cross-validation where the central "
        "square leaves out much.",
        panel="Data",
        scope=("kind",),
        choices=FRAMINGS,
    )
    good: str | None = option(
        None,
        "Name of the class that is good, to learn from it alone what is unlike it (method "
        "`oneclass`). Items of all other classes are for the test, which tells how many of them are "
        "found to be odd. It need not be named where all training items are of one class.",
        panel="Data",
        scope=("method",),
    )
    patch: str | None = option(
        None,
        "A table of corrections with the columns id and label, such as `labels-to-check.csv` of an "
        "earlier run: the label is the right class of the item, and an empty one leaves it out. "
        "The data themselves stay as they are.",
        panel="Data",
    )
    options: Mapping[str, Any] = option(
        {},
        "How items of this kind become a network's inputs, by name, such as input=mel for sounds "
        "or size=32 for volumes. The page on the kind lists the names.",
        panel="Data",
        metavar="NAME=VALUE",
    )
    folds: int | None = option(
        None,
        "Number of folds of a cross-validation: every item is tested once, by a model that was made "
        "without it, and the run's model learns from all items. Without it one part of the items is "
        "the test part.",
        panel="Data",
        minimum=2,
    )
    target_recall: Mapping[str, float] = option(
        {},
        "Share of the items of one class that is to be found, such as defective=0.95. The class is "
        "then predicted from a threshold on its probability, which is chosen on items that the model "
        "had not learnt from and never on the test items. Without it each item is taken for its most "
        "probable class. It does not go together with `error_costs` and `cost_unknown`.",
        panel="Answers",
        metavar="CLASS=SHARE",
    )
    error_costs: Mapping[str, float] = option(
        {},
        "What it costs to take an item of a class for another, such as defective=10; 1 for classes "
        "that are not named. Each item is taken for the class of least expected cost.",
        panel="Answers",
        metavar="CLASS=COST",
    )
    cost_unknown: float | None = option(
        None,
        "What the answer 'I don't know' costs, where an error costs 1 (or what `error_costs` says), such "
        "as 0.2: an item whose answer is expected to cost more is marked as undecided.",
        panel="Answers",
        minimum=0,
        metavar="COST",
    )
    seed: int = option(
        0, "Seed of the split, the augmentation and the training order.", panel="Run", minimum=0
    )
    device: str = option(
        "auto",
        "Where to compute: `cpu`, `cuda`, or `auto` for a GPU where there is one.",
        panel="Run",
        decides=False,
    )
    workers: int = option(
        0,
        "Threads that prepare batches beside the training.",
        panel="Training",
        scope=("method",),
        minimum=0,
        decides=False,
    )
    strategy: str = option(
        "auto",
        "How several processes (started by torchrun, or on the command line) train a network: `ddp` "
        "(and `auto`) by a copy of it in each, `fsdp` by a share of it in each, for a network that "
        "one process has no memory for.",
        panel="Training",
        scope=("method",),
        choices=("auto", "ddp", "fsdp"),
        neutral=("ddp",),
        decides=False,
    )
    log: str = option(
        "none",
        "Where the curves of the training and the final figures are logged, beside the report: "
        "`tensorboard` writes event files into the run folder, `wandb` logs to Weights & Biases "
        "(each needs the extra of the same name).",
        panel="Run",
        choices=LOG_NAMES,
        decides=False,
    )
    resume: bool = option(
        False,
        "Go on with the interrupted fit whose folder is `out`, or else is the last of the default "
        "folders.",
        panel="Run",
        decides=False,
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            if declared.name != "out":
                object.__setattr__(self, declared.name, plain(getattr(self, declared.name)))
            check_value(declared, getattr(self, declared.name))
        check_whole("seed", self.seed, 0, MAX_SEED)
        seconds = parse_time(self.time)
        if not seconds >= 1:  # nor is NaN
            raise OptionError("time", self.time, why="it must be at least 1")
        object.__setattr__(self, "time", seconds)
        for name in OF_CLASSES:
            object.__setattr__(self, name, numbers_of(name, getattr(self, name)))
        _ = self.aim  # its values are checked

    @property
    def aim(self) -> Aim:
        """What is asked of the answers."""
        return Aim(
            target_recall=self.target_recall,
            error_costs=self.error_costs,
            cost_unknown=self.cost_unknown,
        )

    @property
    def seconds(self) -> float:
        """Time for the whole fit, in seconds."""
        return float(self.time)

    @property
    def named_kind(self) -> str | None:
        """The kind of the items that the user named."""
        return None if self.kind == AUTO else self.kind

    @property
    def chooses_freely(self) -> bool:
        """Whether the user named neither a network nor a method."""
        return {self.model, self.method} == {"auto"}

    def check_kind(self, kind: str, of_kind: Collection[str]) -> None:
        """Refuse options that the kind of the data does not have, and another kind.

        Args:
            kind: Name of the kind.
            of_kind: Names of the options that it knows.

        Raises:
            ArgumentError: An option would be ignored.
        """
        if self.named_kind not in (None, kind):
            raise OptionError("kind", self.kind, why=f"the items are {kind}s", fix="leave it out")
        for name in self._given("kind"):
            if name not in of_kind:
                why = f"it is of no use for {kind}s"
                raise OptionError(name, getattr(self, name), why=why, fix="leave it out")
        for name in set(self.options) & set(of_kind):
            why = "it is an option of fit itself, and has no effect among those of the inputs"
            raise OptionError(name, self.options[name], why=why, fix="give it by itself")

    def check_methods(
        self,
        kind: str,
        of_methods: Collection[str],
        implied: Mapping[str, object] | None = None,
    ) -> None:
        """Refuse options that no method uses which will be tried.

        Args:
            kind: Name of the kind of the data.
            of_methods: Names of the options that act in the methods.
            implied: Values of further options that say what the methods do anyway.

        Raises:
            ArgumentError: An option would be ignored.
        """
        neutral = {declared.name: declared.metadata["neutral"] for declared in fields(self)}
        for name in self._given("method"):
            value = getattr(self, name)
            says_nothing = value in neutral[name] or (name, value) in (implied or {}).items()
            if name in of_methods or says_nothing:
                continue
            if self.method == "auto":
                raise OptionError(name, value, why=f"no method for {kind}s uses it")
            why = f"the method {self.method!r} does not use it"
            fix = "leave it out, or choose another method"
            raise OptionError(name, value, why=why, fix=fix)

    def for_inputs(self, names: Mapping[str, str]) -> dict[str, Any]:
        """The options of a kind's inputs.

        Args:
            names: Names of the inputs' options by the name that they have here.
        """
        given = self._given()
        named = {new: getattr(self, name) for name, new in names.items() if name in given}
        return {**self.options, **named}

    def decisive(self) -> dict[str, Any]:
        """The options that decide the result: what a resumed run must share with its start."""
        values = asdict(self)
        return {f.name: values[f.name] for f in fields(self) if f.metadata["decides"]}

    def to_json(self) -> dict[str, Any]:
        """Every option, fit for JSON."""
        return {**asdict(self), "out": None if self.out is None else str(self.out)}

    def _given(self, *scopes: Scope) -> list[str]:
        """Names of the options that differ from their defaults, of some scopes or of all."""
        return [
            f.name
            for f in fields(self)
            if getattr(self, f.name) != default_of(f)
            and (not scopes or set(scopes) & set(f.metadata["scope"]))
        ]


def declared_options() -> tuple[Field[Any], ...]:
    """The declared options in their order; `metadata` holds what `option` was given."""
    return fields(FitOptions)


def options_of(values: Mapping[str, Any]) -> FitOptions:
    """The options with these values.

    Raises:
        UnknownNameError: There is no option of a name; the nearest is suggested.
        ArgumentError: A value is not allowed.
    """
    known = [declared.name for declared in fields(FitOptions)]
    for name in values:
        if name not in known:
            raise UnknownNameError("option of fit", name, known)
    return FitOptions(**values)


def with_options(
    *, without: Collection[str] = (), none_for_empty: bool = False
) -> Callable[[F], F]:
    """Decorate a function that takes the options as `**options`.

    Its signature then names them with types and defaults, and `{options}` in its docstring becomes
    their description, so that `help` answers every question.

    Args:
        without: Options that the function does not take.
        none_for_empty: Whether the default of an option that holds several values is None, which
            stands for none of them, as scikit-learn wants it.
    """

    def decorate(function: F) -> F:
        taken = [f for f in fields(FitOptions) if f.name not in without]
        signature = inspect.signature(function)
        named = [
            p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        own = {p.name for p in named}
        added = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if none_for_empty and default_of(f) == {} else default_of(f),
                annotation=annotation_of(f),
            )
            for f in taken
            if f.name not in own
        ]
        vars(function)["__signature__"] = signature.replace(parameters=[*named, *added])
        if function.__doc__:
            lines = "\n".join(described(f) for f in taken)
            function.__doc__ = function.__doc__.replace("{options}", lines.lstrip())
        return function

    return decorate
