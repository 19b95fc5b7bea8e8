"""Errors of the improvement path.

TrainingError
├── DatasetError      a file of examples cannot be read, or rows of it are wrong
├── CurationError     a dataset cannot be curated as it is set up
├── ExampleError      an example cannot become tokens under the model's chat template
├── PlanError         a run cannot work as it is set up; known before the cluster is asked
├── DivergedError     the loss is no number any more
├── MemoryShortError  a step does not fit into memory
├── CheckpointError   a checkpoint is incomplete, damaged or of another run
├── SupersededError   another process has taken the job over
├── GateError         the gate cannot compare what it was given
├── WorkersLostError  workers died more often than the run allows
├── ExportError       an adapter or model cannot be written in the form that is asked for
└── HubError          a model hub cannot be reached or refuses
"""

from cluster.errors import EverloopError

__all__ = [
    "CheckpointError",
    "CurationError",
    "DatasetError",
    "DivergedError",
    "ExampleError",
    "ExportError",
    "GateError",
    "HubError",
    "MemoryShortError",
    "PlanError",
    "SupersededError",
    "TrainingError",
    "WorkersLostError",
]


class TrainingError(EverloopError):
    """Root of the improvement path's errors."""


class DatasetError(TrainingError):
    """A file of examples cannot be read, or rows of it are wrong."""


class CurationError(TrainingError):
    """A dataset cannot be curated as it is set up."""


class ExampleError(TrainingError):
    """An example cannot become tokens under the model's chat template."""


class PlanError(TrainingError):
    """A run cannot work as it is set up."""


class DivergedError(TrainingError):
    """The loss is no number any more."""


class MemoryShortError(TrainingError):
    """A step does not fit into memory."""


class CheckpointError(TrainingError):
    """A checkpoint is incomplete, damaged or of another run."""


class SupersededError(TrainingError):
    """Another process has taken the job over, or it has ended."""


class GateError(TrainingError):
    """The gate cannot compare what it was given."""


class WorkersLostError(TrainingError):
    """Workers died more often than the run allows."""


class ExportError(TrainingError):
    """An adapter or model cannot be written in the form that is asked for."""


class HubError(TrainingError):
    """A model hub cannot be reached or refuses."""
