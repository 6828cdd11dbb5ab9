"""MLflow: a run for each search, in it one for each trial, by MLflow's client.

The client tries a request that fails again for minutes; here a request has seconds and is tried by the outbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.extras import load_extra
from harness.records import Outcome, TrialRecord
from harness.tracking.told import About, Row
from harness.tracking.tracker import FAILED, Tracker

RUN, TRIAL, PARENT = "harness.run", "harness.trial", "mlflow.parentRunId"
"""Tags by which a run that goes on is found again."""
MOST_METRICS, MOST_PARAMS, LONGEST = 1000, 100, 5000
"""How many metrics, parameters and tags a request may have, and how long the latter may be, by MLflow's limits."""
STATES = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflow(Tracker):
    """Tells MLflow's server, or its database, of searches."""

    settings = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }

    def __init__(self, where: str, mlflow: ModuleType) -> None:
        super().__init__(where)
        self.failures = (OSError, mlflow.exceptions.MlflowException)
        self._mlflow = mlflow
        self._client: Any = None
        self._experiment = ""
        self._parent = ""
        self._runs: dict[str, str] = {}
        """The ids of the runs of trials, by name."""
        self._open: set[str] = set()

    def refuses(self, error: Exception) -> bool:
        """Tell whether a request was one that no server takes: its answer was 400."""
        known = self._mlflow.exceptions.MlflowException
        return isinstance(error, known) and bool(error.get_http_status_code() == 400)

    def begin(self, about: About) -> None:
        """Find the run of the search, or create it, with the space, the seeds, the data and the machine as params."""
        client = self._client = self._client or self._mlflow.MlflowClient(self.where or None)
        self._experiment = self._experiment_of(about.task)
        known = self._found(f"tags.`{RUN}` = '{about.name}'")
        if known:
            run = known[0]
            client.update_run(run.info.run_id, status="RUNNING")
        else:
            run = client.create_run(self._experiment, run_name=about.name, tags={RUN: about.name})
        self._parent, self._open = run.info.run_id, set()
        trials = self._found(f"tags.`{PARENT}` = '{self._parent}'")
        self._runs = {each.data.tags[TRIAL]: each.info.run_id for each in trials if TRIAL in each.data.tags}
        # A parameter cannot be changed: of a run that goes on with more trials the first budget stays.
        new = {key: value for key, value in about.params.items() if key not in run.data.params}
        self._log(self._parent, params=new)

    def open(self, name: str, params: Mapping[str, Any], time_unix_s: float) -> None:
        """Create the nested run of a trial, or take it up again."""
        if name in self._runs:
            self._client.update_run(self._runs[name], status="RUNNING")
        self._open.add(name)
        self._log(self._run_of(name, time_unix_s), params=params)

    def rows(self, name: str, rows: Sequence[Row]) -> None:
        """Log metrics with their steps."""
        self._log(self._run_of(name, rows[0].time_unix_s), rows=rows)

    def end(self, name: str, record: TrialRecord | None, row: Row, tags: Mapping[str, str]) -> None:
        """Log what a trial came to, and close its run."""
        run = self._run_of(name, row.time_unix_s)
        self._log(run, rows=[row], tags=tags)
        status = "FINISHED"
        if record is not None:
            cut = record.outcome is Outcome.INTERRUPTED
            status = "KILLED" if cut else "FAILED" if record.outcome in FAILED else "FINISHED"
        self._client.set_terminated(run, status, end_time=int(1000 * row.time_unix_s))
        self._open.discard(name)

    def finish(self, state: str, row: Row, tags: Mapping[str, str], files: Sequence[Path]) -> None:
        """Log the test metrics and the report, and close the run; trials that nothing was heard of are closed too."""
        self._log(self._parent, rows=[row], tags=tags)
        for path in files:
            self._client.log_artifact(self._parent, str(path))
        for name in sorted(self._open):
            self._client.set_terminated(self._runs[name], "KILLED")
            self._open.discard(name)
        self._client.set_terminated(self._parent, STATES[state])

    def close(self) -> None:
        """Nothing is held."""

    def _experiment_of(self, task: str) -> str:
        found = self._client.get_experiment_by_name(task)
        return str(found.experiment_id if found is not None else self._client.create_experiment(task))

    def _run_of(self, name: str, time_unix_s: float) -> str:
        """Return the run of a trial, which is created where there is none."""
        if name not in self._runs:
            tags, start = {PARENT: self._parent, TRIAL: name}, int(1000 * time_unix_s)
            run = self._client.create_run(self._experiment, start_time=start, run_name=name, tags=tags)
            self._runs[name] = run.info.run_id
        return self._runs[name]

    def _found(self, condition: str) -> list[Any]:
        """Return all runs of the experiment that a condition holds for."""
        found: list[Any] = []
        token = None
        while page := self._client.search_runs([self._experiment], condition, page_token=token):
            found += page
            token = page.token
            if not token:
                break
        return found

    def _log(
        self,
        run: str,
        *,
        rows: Iterable[Row] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send metrics, parameters and tags in as few requests as MLflow takes them in."""
        entities = self._mlflow.entities
        metrics = [
            entities.Metric(name, value, int(1000 * row.time_unix_s), row.step)
            for row in rows
            for name, value in row.metrics.items()
        ]
        named = [entities.Param(key, str(value)[:LONGEST]) for key, value in (params or {}).items()]
        words = [entities.RunTag(key, value[:LONGEST]) for key, value in (tags or {}).items()]
        while metrics or named or words:
            self._client.log_batch(run, metrics[:MOST_METRICS], named[:MOST_PARAMS], words[:MOST_PARAMS])
            metrics, named, words = metrics[MOST_METRICS:], named[MOST_PARAMS:], words[MOST_PARAMS:]


def open_tracker(where: str) -> MLflow:
    """Return a tracker for the server, database or folder at ``where``; empty: where MLflow is set up to write."""
    return MLflow(where, load_extra("mlflow", extra="mlflow", use="--track mlflow"))
