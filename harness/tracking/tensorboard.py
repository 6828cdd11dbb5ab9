"""TensorBoard: a folder of event files for each search, in it one for each trial.

Files are written as ``tensorboard.summary.writer`` does, without a thread of its own: the outbox has one.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import IO, Any

from harness.extras import load_extra
from harness.records import TrialRecord
from harness.store.runs import EVENTS
from harness.tracking.told import About, Row
from harness.tracking.tracker import FAILED, FINAL, Tracker

_NUMBERS = count()
"""Of the files of this process: two runs may begin in one second."""


class TensorBoard(Tracker):
    """Writes event files: scalars by epoch, hyperparameters and results for the HParams page."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        load_extra("tensorboard", extra="tensorboard", use="--track tensorboard")
        self._events = import_module("tensorboard.compat.proto.event_pb2")
        self._summaries = import_module("tensorboard.compat.proto.summary_pb2")
        self._records = import_module("tensorboard.summary.writer.record_writer")
        self._hparams = import_module("tensorboard.plugins.hparams.plugin_data_pb2")
        self._api = import_module("tensorboard.plugins.hparams.api_pb2")
        self._metadata = import_module("tensorboard.plugins.hparams.metadata")
        self._folder = Path()
        self._files: dict[str, IO[bytes]] = {}

    def begin(self, about: About) -> None:
        """Find out which folder the run has."""
        self.close()
        self._folder = (Path(self.where) if self.where else about.home / EVENTS) / about.name

    def open(self, name: str, params: Mapping[str, Any], time_unix_s: float) -> None:
        """Write the hyperparameters of a trial."""
        if params:
            start = self._hparams.SessionStartInfo(start_time_secs=time_unix_s)
            for key, value in params.items():
                _set(start.hparams[key], value)
            self._write(name, time_unix_s, self._session(session_start_info=start))

    def rows(self, name: str, rows: Sequence[Row]) -> None:
        """Write scalars with their steps."""
        for row in rows:
            values = [self._summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in row.metrics.items()]
            self._write(name, row.time_unix_s, self._summaries.Summary(value=values), row.step)

    def end(self, name: str, record: TrialRecord | None, row: Row, tags: Mapping[str, str]) -> None:
        """Write what a trial came to, and close its file."""
        del tags
        self.rows(name, [row])
        if record is not None:
            status = "STATUS_FAILURE" if record.outcome in FAILED else "STATUS_SUCCESS"
            ended = self._hparams.SessionEndInfo(status=self._api.Status.Value(status), end_time_secs=row.time_unix_s)
            self._write(name, row.time_unix_s, self._session(session_end_info=ended))
        self._close(name)

    def finish(self, state: str, row: Row, tags: Mapping[str, str], files: Sequence[Path]) -> None:
        """Write the test metrics beside the trainings of the final model."""
        del state, tags, files
        self.rows(FINAL, [row])
        self.close()

    def close(self) -> None:
        """Close all files."""
        for name in list(self._files):
            self._close(name)

    def _session(self, **info: Any) -> Any:
        """Return a summary as the HParams page looks for it."""
        (which,) = info
        tag = {
            "session_start_info": self._metadata.SESSION_START_INFO_TAG,
            "session_end_info": self._metadata.SESSION_END_INFO_TAG,
        }[which]
        data = self._hparams.HParamsPluginData(**info)
        metadata = self._metadata.create_summary_metadata(data)
        return self._summaries.Summary(value=[self._summaries.Summary.Value(tag=tag, metadata=metadata)])

    def _write(self, name: str, time_unix_s: float, summary: Any, step: int = 0) -> None:
        self._append(name, self._events.Event(wall_time=time_unix_s, step=step, summary=summary))

    def _append(self, name: str, event: Any) -> None:
        """Append an event to the file of a trial. What fails ends the file: after half an event nothing is read."""
        if name not in self._files:
            self._files[name] = self._new_file(name)
            self._append(name, self._events.Event(wall_time=time.time(), file_version="brain.Event:2"))
        writer = self._records.RecordWriter(self._files[name])
        try:
            writer.write(event.SerializeToString())
            writer.flush()
        except OSError:
            self._close(name)
            raise

    def _new_file(self, name: str) -> IO[bytes]:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        now, who = int(time.time()), f"{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        return (folder / f"events.out.tfevents.{now}.{who}").open("xb")

    def _close(self, name: str) -> None:
        with suppress(OSError, KeyError):
            self._files.pop(name).close()


def _set(field: Any, value: Any) -> None:
    """Set a value of protobuf's struct."""
    if isinstance(value, bool):
        field.bool_value = value
    elif isinstance(value, int | float):
        field.number_value = value
    else:
        field.string_value = str(value)


def open_tracker(where: str) -> TensorBoard:
    """Return a tracker that writes below the folder ``where``; empty: below ``tensorboard/`` beside the run."""
    return TensorBoard(where)
