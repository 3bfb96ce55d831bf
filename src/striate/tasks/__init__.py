"""What is predicted, one folder a task."""

from striate.tasks.objective import Evaluation, Objective, ProbeOutputs
from striate.tasks.prediction import Calibration, Prediction
from striate.tasks.task import TASKS, Task, task_named, task_of

__all__ = [
    "TASKS",
    "Calibration",
    "Evaluation",
    "Objective",
    "Prediction",
    "ProbeOutputs",
    "Task",
    "task_named",
    "task_of",
]
