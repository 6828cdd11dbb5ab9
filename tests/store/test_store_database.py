import json
import math
import pickle
import re
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from harness.errors import StorageError
from harness.store import StoredTrial, StudyDatabase, schema

SPACE = {
    "optimizer": CategoricalDistribution(["adamw", "sgd", None, True, 2, 0.5]),
    "optimizer.adamw.lr": FloatDistribution(1e-4, 1e-1, log=True),
    "momentum": FloatDistribution(0.8, 0.95, step=0.05),
    "depth": IntDistribution(1, 9, step=2),
}
PARAMS = {"optimizer": "adamw", "optimizer.adamw.lr": 0.0123456789012345, "momentum": 0.85, "depth": 5}


@pytest.fixture(scope="module")
def server(postgresql):
    url = postgresql()
    with study_at(url):
        return url


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    """Where no study is yet: a path or a URL."""
    if request.param == "sqlite":
        return tmp_path / "study.db"
    url = request.getfixturevalue("server")
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE studies CASCADE")
    engine.dispose()
    return url


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_at(where, directions=("maximize",), name="harness"):
    return closing(StudyDatabase.open(where, study=name, directions=directions))


def optuna_study(where):
    """The study as Optuna itself reads it."""
    url = f"sqlite:///{where}" if isinstance(where, Path) else where.replace("postgresql:", "postgresql+psycopg:")
    storage = optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"))
    try:
        study = optuna.load_study(study_name="harness", storage=storage)
        return study, study.trials
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def listening(event, heard):
    """Call ``heard`` at every such event of every engine."""
    sqlalchemy.event.listen(sqlalchemy.Engine, event, heard)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, event, heard)


def begin(database, number, params=PARAMS, note=None):
    database.begin(number, params, {name: SPACE[name] for name in params}, note or {"shown": [number]})


def finish(database, number, state="complete", values=(0.5,), reports=None, constraints=None, record="{}"):
    database.finish(
        number,
        state=state,
        values=values,
        reports={1: 0.25, 2: 0.5} if reports is None else reports,
        constraints=constraints or {},
        record=record,
    )


def test_optuna_reads_the_study_as_one_of_its_own(where):
    with study_at(where) as database:
        for number in range(5):
            begin(database, number)
        finish(database, 1, "pruned", (), {1: 0.1, 3: math.nan, 4: -math.inf}, {"oom": 1.0, "memory": -math.inf})
        finish(database, 0, record='{"x": NaN}')
        finish(database, 2, "fail", (), {})
        finish(database, 4, values=(-math.inf,), reports={})
    study, trials = optuna_study(where)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "COMPLETE"]
    assert [trial.values for trial in trials] == [[0.5], None, None, None, [-math.inf]]
    assert study.directions == [optuna.study.StudyDirection.MAXIMIZE]
    for trial in trials:
        assert trial.params == PARAMS
        assert trial.distributions == SPACE
    assert trials[0].intermediate_values == {1: 0.25, 2: 0.5}
    assert str(trials[1].intermediate_values) == str({1: 0.1, 3: math.nan, 4: -math.inf})
    assert trials[1].constraints == {"oom": 1.0, "memory": -math.inf}
    assert trials[0].user_attrs == {"harness:note": {"shown": [0]}, "harness:record": '{"x": NaN}'}
    for trial in trials:
        assert abs(trial.datetime_start - datetime.now()) < timedelta(minutes=1)
        assert (trial.datetime_complete is None) == (trial.state is TrialState.RUNNING)
        assert trial.datetime_complete is None or trial.datetime_complete >= trial.datetime_start


def test_constraints_are_those_that_optuna_would_have_written(where):
    with study_at(where) as database:
        begin(database, 0)
        finish(database, 0, "pruned", (), constraints={"oom": 1})
    reference = optuna.create_study()
    trial = reference.ask()
    trial.set_constraint("oom", 1)
    assert optuna_study(where)[1][0].system_attrs == reference.trials[0].system_attrs


def test_what_is_loaded_is_what_was_given(where):
    note = {"shown": [2, 1], "text": 'ü\u2028\x00"\ud800', "nothing": None, "nan": math.inf}
    record = 'NaN "quoted" \\ ü \x00 \n 😀'
    choices = [{"optimizer": choice} for choice in SPACE["optimizer"].choices]
    with study_at(where) as database:
        assert database.load() == []
        begin(database, 0, note=note)
        for number, params in enumerate(choices, start=1):
            begin(database, number, params)
        finish(database, 3, record=record)
        first = database.load()
    assert first[0] == StoredTrial(0, PARAMS, note, None)
    assert [trial.params for trial in first[1:]] == choices
    assert [type(trial.params["optimizer"]) for trial in first[1:]] == [str, str, type(None), bool, int, float]
    assert list(first[0].params) == list(PARAMS), "in the order in which they were chosen"
    assert (first[3].record, first[2].record) == (record, None)
    with study_at(where) as database:
        assert database.load() == first
        begin(database, 7)
        assert len(database.load()) == 8


def test_a_trial_that_goes_on_replaces_all_that_was_written_of_it(where):
    with study_at(where, ("maximize", "minimize")) as database:
        for number in (0, 1):
            begin(database, number)
            finish(database, number, "pruned", (), {1: 0.1, 2: 0.2, 3: 0.3}, {"oom": 1.0}, "first")
        finish(database, 0, "complete", (0.4, 5.0), {2: 0.25, 4: 0.4}, {"latency": -1.0}, "second")
        assert [trial.record for trial in database.load()] == ["second", "first"]
    _, (again, other) = optuna_study(where)
    assert (again.state, again.values) == (TrialState.COMPLETE, [0.4, 5.0])
    assert again.intermediate_values == {2: 0.25, 4: 0.4}
    assert again.constraints == {"latency": -1.0}
    assert (other.state, other.values, other.constraints) == (TrialState.PRUNED, None, {"oom": 1.0})
    assert len(other.intermediate_values) == 3
    with study_at(where, ("maximize", "minimize")) as database:
        finish(database, 0, "fail", (), {}, {}, "third")
    again = optuna_study(where)[1][0]
    assert (again.state, again.values, again.intermediate_values, again.constraints) == (TrialState.FAIL, None, {}, {})


def test_a_kept_record_leaves_the_trial_open(where):
    with study_at(where) as database:
        begin(database, 0)
        database.keep(0, "spent")
        database.keep(0, "spent more")
        assert database.load()[0].record == "spent more"
    assert optuna_study(where)[1][0].state is TrialState.RUNNING
    with study_at(where) as database:
        finish(database, 0, record="done")
        assert database.load()[0].record == "done"


def test_trials_are_begun_in_order_and_only_begun_ones_are_finished(where):
    with study_at(where) as database:
        begin(database, 0)
        for wrong in (0, 2, -1):
            with pytest.raises(StorageError, match="cannot follow trial 0"):
                begin(database, wrong)
        for wrong in (1, -1):
            with pytest.raises(StorageError, match=f"trial {wrong} was never begun"):
                finish(database, wrong)
            with pytest.raises(StorageError, match=f"trial {wrong} was never begun"):
                database.keep(wrong, "")
        begin(database, 1)
        assert len(database.load()) == 2


def test_a_large_record_is_kept_whole(where):
    record = json.dumps([{"epoch": epoch, "loss": math.nan} for epoch in range(100_000)])
    assert len(record) > 2_000_000
    with study_at(where) as database:
        begin(database, 0)
        finish(database, 0, record=record, reports=dict.fromkeys(range(3000), 1.0))
        assert database.load()[0].record == record
    assert len(optuna_study(where)[1][0].intermediate_values) == 3000


def test_every_step_is_one_transaction(where):
    commits = []

    def heard(_connection):
        commits.append(1)

    with study_at(where) as database, listening("commit", heard):
        for step in (
            lambda: begin(database, 0),
            lambda: database.keep(0, "a"),
            lambda: finish(database, 0, constraints={"oom": 1.0}, reports=dict.fromkeys(range(20), 1.0)),
        ):
            commits.clear()
            step()
            assert len(commits) == 1


def test_what_is_written_together_is_one_transaction_with_a_statement_for_each_table(where):
    commits, statements = [], []

    def executed(_connection, _cursor, statement, *_):
        statements.append(statement)

    with study_at(where) as database:
        with database.together():
            for number in range(16):
                begin(database, number)
        finish(database, 3, "pruned", (), {1: 0.1}, {"oom": 1.0})
        with listening("commit", lambda _: commits.append(1)), listening("before_cursor_execute", executed):
            with database.together():
                for number in range(16):
                    finish(database, number, values=(number / 16,), record=f"record {number}")
            assert len(commits) == 1
        tables = {statement.split()[2] for statement in statements if statement.startswith("INSERT")}
        assert sum(statement.startswith("INSERT") for statement in statements) == len(tables) == 3
        assert [stored.record for stored in database.load()] == [f"record {number}" for number in range(16)]
    trials = optuna_study(where)[1]
    assert [trial.values for trial in trials] == [[number / 16] for number in range(16)]
    assert all(trial.intermediate_values == {1: 0.25, 2: 0.5} and not trial.constraints for trial in trials)


def test_of_what_is_written_together_nothing_stays_where_any_of_it_fails(where):
    def write(database, *ended):
        with database.together():
            begin(database, 1)
            for number in ended:
                finish(database, number, record="done")

    with study_at(where) as database:
        begin(database, 0)
        with pytest.raises(StorageError, match="trial 9 was never begun"):
            write(database, 0, 9)
        assert [stored.record for stored in database.load()] == [None]
        write(database, 0)
        assert [stored.record for stored in database.load()] == ["done", None]


def test_a_step_that_fails_leaves_nothing(where):
    with study_at(where) as database:
        begin(database, 0)
        before = database.load()
        with pytest.raises(StorageError):
            finish(database, 0, reports={1: 0.5, None: 0.5})
        with pytest.raises(AssertionError):
            finish(database, 0, values=(math.nan,))
        with pytest.raises(AssertionError):
            begin(database, 1, {"depth": 4})
        assert database.load() == before
    trial = optuna_study(where)[1][0]
    assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.RUNNING, None, {})
    with study_at(where) as database:
        begin(database, 1)
        assert [found.number for found in database.load()] == [0, 1]


def test_other_objectives_are_refused(where):
    with study_at(where):
        pass
    for other in (("minimize",), ("maximize", "maximize"), ()):
        with pytest.raises(StorageError, match=r"has other objectives \(maximize\)"), study_at(where, other):
            pass
    with study_at(where) as database:
        assert database.load() == []


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_system_attributes_are_neither_read_nor_unpickled(where, tmp_path):
    with study_at(where) as database:
        begin(database, 0)
        finish(database, 0)
        before = database.load()
    trace = tmp_path / "trace"
    payload = pickle.dumps(Bomb(trace)).hex()
    study, trials = optuna_study(where)
    storage = study._storage._backend
    with storage.engine.begin() as connection:
        for key in ("cma:optimizer:0", "cma:0", "constraints", "harness:record", "harness:note"):
            for owner, owner_id in (("trial", trials[0]._trial_id), ("study", study._study_id)):
                columns = f"{owner}_system_attributes ({owner}_id, key, value_json)"
                statement = sqlalchemy.text(f"INSERT INTO {columns} VALUES (:id, :key, :value)")
                connection.execute(statement, {"id": owner_id, "key": key, "value": json.dumps(payload)})
    storage.engine.dispose()
    statements = []

    def heard(_connection, _cursor, statement, *_rest):
        statements.append(statement)

    with listening("before_cursor_execute", heard), study_at(where) as database:
        assert database.load() == before
    assert any("trial_user_attributes" in statement for statement in statements)
    assert not any(re.search(r"(FROM|JOIN) \w*system_attributes", statement) for statement in statements)
    assert not trace.exists()
    pickle.loads(bytes.fromhex(payload))
    assert trace.exists(), "the payload would have left a trace"


def test_a_study_of_an_earlier_harness_has_no_notes(where):
    with study_at(where):
        pass
    study, _ = optuna_study(where)
    trial = study.ask(SPACE)
    trial.set_user_attr("harness:record", '{"x": NaN}')
    study.tell(trial, 0.5)
    study.ask({"depth": SPACE["depth"]})
    study._storage.remove_session()
    study._storage._backend.engine.dispose()
    with study_at(where) as database:
        done, open_ = database.load()
        assert (done.note, done.record, set(done.params)) == ({}, '{"x": NaN}', set(SPACE))
        assert (open_.record, set(open_.params)) == (None, {"depth"})
        begin(database, 2)


def test_the_file_is_in_wal_mode_and_whole_when_closed(tmp_path):
    path = tmp_path / "study.db"
    with study_at(path) as database:
        begin(database, 0)
        assert (tmp_path / "study.db-wal").stat().st_size > 0
        with database._link.transaction() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.db"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM trials").fetchone() == (1,)


@pytest.mark.parametrize("name", ["a {b}.db", "a?b#c%41.db", "ü 'quoted' \".db"])
def test_any_name_of_a_file_will_do(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with study_at(Path(name)) as database:
        begin(database, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    with study_at(tmp_path / name) as database:
        assert len(database.load()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a database, but long enough to be taken for one" * 30, "file is not a database"),
        (b"short", "file is not a database"),
        (b"\x00" * 5000, "file is not a database"),
        (b"SQLite format 3\x00", "file is not a database"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_database_is_one_line(tmp_path, content, words):
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=rf"study\.db: {words}.*restore it from a copy") as caught, study_at(path):
        pass
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(StorageError, match=r"study\.db: No such file or directory"), study_at(tmp_path / "a/study.db"):
        pass
    with pytest.raises(StorageError, match="unable to open database file"), study_at(tmp_path):
        pass


def test_a_log_without_its_file_is_not_taken_into_a_new_one(tmp_path):
    (tmp_path / "study.db-wal").write_bytes(b"x" * 100)
    with (
        pytest.raises(StorageError, match=r"study\.db: is missing, and study\.db-wal"),
        study_at(tmp_path / "study.db"),
    ):
        pass
    assert not (tmp_path / "study.db").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The file of a study of three trials, the last of them open."""
    path = tmp_path_factory.mktemp("whole") / "study.db"
    with study_at(path) as database:
        for number in range(3):
            begin(database, number)
        finish(database, 0)
        finish(database, 1)
    with study_at(path) as database:
        assert [trial.record for trial in database.load()] == ["{}", "{}", None]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return path.read_bytes()


NOTES = "UPDATE trial_user_attributes SET value_json = {} WHERE key = 'harness:note'"
RECORDS = "UPDATE trial_user_attributes SET value_json = {} WHERE key = 'harness:record'"
DISTRIBUTIONS = "UPDATE trial_params SET distribution_json = '{}' WHERE param_name = 'depth'"


@pytest.mark.parametrize(
    "statement",
    [
        *(NOTES.format(value) for value in ("'{'", "NULL", "'5'", "'[]'", "''", "X'7B7D'", "CAST(X'FF' AS TEXT)")),
        NOTES.format("printf('%.*c', 300000, '[')"),
        *(RECORDS.format(value) for value in ("'{}'", "NULL", "'\"torn'", "12", "'null'", "'1' || char(0)")),
        "DELETE FROM trial_user_attributes WHERE key = 'harness:record'",
        *map(
            DISTRIBUTIONS.format,
            [
                *("", "null", "5", "[]", '"IntDistribution"', "{{", '{"name": "IntDistribution"}'),
                '{"name": "IntDistribution", "attributes": {"low": 9, "high": 1}}',
                '{"name": "IntDistribution", "attributes": {"low": 1, "high": 9, "color": 1}}',
                '{"name": "IntDistribution", "attributes": {"low": "1", "high": [], "step": 1, "log": false}}',
                '{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 9, "step": 1}}',
                '{"name": "BaseDistribution", "attributes": {}}',
                '{"name": "FloatDistribution", "attributes": {"low": NaN, "high": Infinity}}',
                '{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1e5, "step": 3e-323, "log": false}}',
                '{"name": "CategoricalDistribution", "attributes": {"choices": 5}}',
                '{"name": "CategoricalDistribution", "attributes": {"choices": []}}',
                '{"name": "CategoricalDistribution", "attributes": {"choices": [[1], {}, 2, 3, 4, 5]}}',
            ],
        ),
        *(
            f"UPDATE trial_params SET param_value = {value}"
            for value in ("NULL", "'abc'", "99", "9e999", "-1", "X'00'")
        ),
        "UPDATE trial_params SET param_name = X'00' WHERE param_name = 'depth'",
        *(f"UPDATE trials SET number = {value} WHERE number = 1" for value in ("5", "NULL", "0", "'x'", "-1")),
        "DELETE FROM trials WHERE number = 0",
        *(f"UPDATE trials SET state = {value}" for value in ("'ENDED'", "5", "X'00'")),
        "UPDATE trials SET state = 'WAITING' WHERE state = 'RUNNING'",
        "DELETE FROM studies",
        "UPDATE studies SET study_name = 'other'",
        "UPDATE studies SET study_name = X'00'",
        "INSERT INTO studies (study_name) VALUES ('other')",
        "DELETE FROM study_directions",
        *(f"UPDATE study_directions SET direction = {value}" for value in ("'MINIMIZE'", "'SIDEWAYS'", "5")),
        "UPDATE study_directions SET objective = 1",
        "UPDATE alembic_version SET version_num = 'v9.9.9'",
        "DELETE FROM alembic_version",
        *(f"DROP TABLE {name}" for name in ("alembic_version", "trials", "studies", "trial_params")),
        "ALTER TABLE trials RENAME COLUMN number TO count",
        "ALTER TABLE trial_user_attributes DROP COLUMN value_json",
        "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n",
        "CREATE TRIGGER undo AFTER INSERT ON trials BEGIN DELETE FROM trials; END",
    ],
    ids=lambda statement: statement[:100],
)
def test_whatever_was_tampered_with_is_one_line(tmp_path, whole, statement):
    path = tmp_path / "study.db"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement.replace("{{", "{"))
    with pytest.raises(StorageError) as caught, study_at(path) as database:
        database.load()
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400


def test_a_study_of_another_optuna_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('v2.6.0.a')")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"made by another version of Optuna \(schema 'v2.6.0.a'"), study_at(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [
            ("alembic_version",)
        ]
    assert len(path.read_bytes()) == len(before)


def test_a_study_that_should_be_there_and_is_not_is_no_new_one(tmp_path):
    with pytest.raises(StorageError, match=r"study\.db: is missing, so its trials are lost"):
        StudyDatabase.open(tmp_path / "study.db", study="harness", directions=["maximize"], create=False)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where the empty tables are kept between commands, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    schema._empty.cache_clear()
    yield tmp_path / "cache" / "harness" / "optuna" / f"{optuna.__version__}.db"
    schema._empty.cache_clear()


def a_study(directory):
    directory.mkdir()
    with study_at(directory / "study.db"):
        return optuna_study(directory / "study.db")[1]


def test_empty_tables_are_kept_between_commands(kept, tmp_path, monkeypatch):
    a_study(tmp_path / "first")
    assert schema._kept(kept.read_bytes()) == schema._made()
    schema._empty.cache_clear()
    monkeypatch.delattr(schema, "_made")
    assert a_study(tmp_path / "second") == []


@pytest.mark.parametrize("damage", ["torn", "text", "empty", "used", "other"])
def test_kept_tables_that_are_damaged_are_made_anew(kept, tmp_path, damage):
    kept.parent.mkdir(parents=True)
    good = schema._made().file
    used = schema.new_file("left", [StudyDirection.MAXIMIZE])
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("CREATE TABLE studies (study_id)")
        other = memory.serialize()
    contents = {"torn": good[: len(good) // 2], "text": b"text", "empty": b"", "used": used, "other": other}
    kept.write_bytes(contents[damage])
    schema._empty.cache_clear()
    assert a_study(tmp_path / "run") == []
    assert schema._kept(kept.read_bytes()).version == schema._made().version


def test_tables_that_cannot_be_kept_are_made_for_each_command(kept, tmp_path):
    kept.parent.parent.parent.write_text("no folder")
    assert a_study(tmp_path / "run") == []
