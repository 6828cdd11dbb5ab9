import sqlite3

import optuna
import pytest

from harness.errors import StorageError
from harness.store import close_database, open_database


def test_the_database_is_in_wal_mode_and_folded_when_closed(tmp_path):
    path = tmp_path / "study.db"
    storage = open_database(path)
    study = optuna.create_study(storage=storage, study_name="harness")
    study.tell(study.ask(), 1.0)
    assert (tmp_path / "study.db-wal").exists()
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    close_database(storage)
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.db"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM trials").fetchone() == (1,)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 30, b"\x00" * 5000])
def test_what_is_no_database_is_one_line(tmp_path, content):
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"study\.db") as caught:
        open_database(path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(StorageError, match="unable to open database file"):
        open_database(tmp_path / "nowhere" / "study.db")
