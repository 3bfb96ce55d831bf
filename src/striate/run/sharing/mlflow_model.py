"""MLflow: a run's options, figures, curves and report as a run of MLflow, with a model that predicts.

The model is of MLflow's flavour `python_function`. Its data are the run as it is shared (see
`published`), and this module, which MLflow imports by its name, loads them: nothing is pickled.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from striate.errors import MissingExtraError, RunError
from striate.run.folder import HISTORY, REPORT_HTML
from striate.typing import PathLike

if TYPE_CHECKING:
    from striate.run.run import Run

NAME: Final = "model"
"""Of the model, where none is given."""

_LONGEST: Final = 500
"""Characters of a parameter that every tracking server takes."""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What was logged to MLflow.

    Attributes:
        run_id: Of MLflow's run.
        model_uri: What `mlflow.pyfunc.load_model` takes.
    """

    run_id: str
    model_uri: str


class RunModel:
    """What `mlflow.pyfunc.load_model` gives: it predicts as the run does.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def predict(
        self, model_input: Any, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return a prediction for each item, as `striate predict --json` prints it.

        Args:
            model_input: What `Run.predict` takes, or a table whose first column holds paths.
            params: Is not used.

        Raises:
            DataError: There is nothing to predict, or nothing of it is there.
        """
        given = model_input
        if hasattr(given, "iloc"):  # a table of pandas, which is no dependency of ours
            given = given.iloc[:, 0].tolist()
        return [prediction.to_json() for prediction in self.run.predict(given)]


def _load_pyfunc(path: str) -> RunModel:
    """MLflow calls this with the folder of the model's data."""
    from striate.run.run import load

    return RunModel(load(path, device="cpu"))


def save_model(run: Run, path: PathLike) -> None:
    """Save a run as a model of MLflow.

    Args:
        run: The run, whose fit has ended.
        path: A folder that is not there yet.

    Raises:
        RunError: The fit has not ended, or the folder is there.
        MissingExtraError: MLflow is not installed.
    """
    mlflow = _mlflow()
    if Path(path).exists():
        raise RunError(f"cannot save a model to {str(path)!r}", why="it is there already")
    with tempfile.TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(str(path), **_flavour(run, Path(folder)))


def log_model(run: Run, name: str = NAME) -> Logged:
    """Log a run to MLflow; see `Run.log_to_mlflow`."""
    mlflow = _mlflow()
    active = mlflow.active_run()
    with mlflow.start_run(nested=active is not None) as started:
        mlflow.log_params(_params(run))
        mlflow.log_metrics({n: value for n, value in run.metrics.items() if value is not None})
        for row in run.folder.read_csv(HISTORY) if (run.folder.path / HISTORY).is_file() else ():
            values = {name: float(cell) for name, cell in row.items() if name != "epoch" and cell}
            mlflow.log_metrics(values, step=int(float(row["epoch"])))
        with tempfile.TemporaryDirectory() as folder:
            flavour = _flavour(run, Path(folder))
            mlflow.log_artifact(str(Path(folder) / REPORT_HTML))
            told = mlflow.pyfunc.log_model(name=name, **flavour)
    return Logged(run_id=started.info.run_id, model_uri=told.model_uri)


def _flavour(run: Run, folder: Path) -> dict[str, Any]:
    """What MLflow's functions for a `python_function` take."""
    from striate.run.sharing.published import write_shared

    write_shared(run, folder, NAME)
    return {
        "loader_module": __name__,
        "data_path": str(folder),
        # Told, since MLflow would otherwise load the model in a process of its own to find out.
        "pip_requirements": [f"striate=={version('striate')}", f"torch=={version('torch')}"],
    }


def _params(run: Run) -> dict[str, str]:
    """The options of the fit and what came of them, without paths of this machine."""
    from striate.run.sharing.published import private_texts, shared_record

    record = shared_record(run.record, private_texts(run))
    facts = {"data": record.data, "model": record.model.name, "method": record.method}
    options = {f"option_{name}": value for name, value in record.config.items()}
    return {name: str(value)[:_LONGEST] for name, value in {**options, **facts}.items()}


def _mlflow() -> Any:
    # MLflow sends figures on its use to its makers unless it is told not to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow
        import mlflow.pyfunc
    except ImportError as error:
        raise MissingExtraError("mlflow", "mlflow") from error
    return mlflow
