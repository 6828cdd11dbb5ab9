"""What the user asks for: space files, read, checked and turned into frozen models."""

from harness.spec.audio import AudioTask
from harness.spec.candidate import CHOICES, DEFAULTS, Candidate, candidate_at, options_of
from harness.spec.document import (
    COST,
    Budget,
    Direction,
    Limits,
    Resampling,
    Search,
    Spec,
    parse_duration,
)
from harness.spec.load import as_yaml, canonical, load_spec, parse_spec, read_space, spec_hash
from harness.spec.names import OPTIONS, TASKS
from harness.spec.overrides import overrides_of
from harness.spec.parameters import Categorical, Choice, Fixed, Group, Node, Parameter, Range, parameters, size
from harness.spec.reader import read_mapping
from harness.spec.series import SeriesTask, TsTask
from harness.spec.shipped import shipped_spaces, shipped_summaries, space_of_task
from harness.spec.space import corner_values
from harness.spec.task import TaskSpec
from harness.spec.training import PRECISIONS, Augment, Averaged, Blended, Cost, Costs, Preprocessing, Rule, Training

__all__ = [
    "CHOICES",
    "COST",
    "DEFAULTS",
    "OPTIONS",
    "PRECISIONS",
    "TASKS",
    "AudioTask",
    "Augment",
    "Averaged",
    "Blended",
    "Budget",
    "Candidate",
    "Categorical",
    "Choice",
    "Cost",
    "Costs",
    "Direction",
    "Fixed",
    "Group",
    "Limits",
    "Node",
    "Parameter",
    "Preprocessing",
    "Range",
    "Resampling",
    "Rule",
    "Search",
    "SeriesTask",
    "Spec",
    "TaskSpec",
    "Training",
    "TsTask",
    "as_yaml",
    "candidate_at",
    "canonical",
    "corner_values",
    "load_spec",
    "options_of",
    "overrides_of",
    "parameters",
    "parse_duration",
    "parse_spec",
    "read_mapping",
    "read_space",
    "shipped_spaces",
    "shipped_summaries",
    "size",
    "space_of_task",
    "spec_hash",
]
