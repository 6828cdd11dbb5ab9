import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from sqlalchemy import URL

from harness.errors import HardwareError, InputError, StorageError
from harness.store import StudyDatabase, masked

SECRET = "p%3Aw%2Fd%25%3F%7B%7D"  # As the server of the tests has it.


def study_at(url, name="harness"):
    return closing(StudyDatabase.open(url, study=name, directions=["maximize"]))


@pytest.fixture(scope="module")
def server(postgresql):
    url = postgresql()
    with study_at(url):
        return url


@pytest.fixture
def url(server):
    """A database without a study."""
    import psycopg

    with psycopg.connect(server) as connection:
        connection.execute("TRUNCATE studies CASCADE")
    return server


def begin(database, number):
    database.begin(number, {"x": 0.5}, {"x": FloatDistribution(0, 1)}, {})


@contextmanager
def refused(kind, match):
    """The message is one line that shows no password."""
    with pytest.raises(kind, match=match) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    assert "p:w/d" not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql+psycopg://me:se%40cret@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql://me:s:e/c?r#e@t@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret@/db?host=/run/postgresql", "postgresql://me@/db?host=/run/postgresql"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql:///db", "postgresql:///db"),
        ("postgresql://host:5432/db?sslmode=require", "postgresql://host:5432/db?sslmode=require"),
        ("postgresql://host/db?a=b://c:d%40e", "postgresql://host/db?a=b://c:d%40e"),
        ("postgresql://host/db?password=secret", "postgresql://host/db"),
        ("postgresql://host/db?user=me&pass%77ord=secret&port=1", "postgresql://host/db?user=me&port=1"),
        ("postgresql://host/db?sslpassword=secret&a=b", "postgresql://host/db?a=b"),
        ("me:secret@host/db", "me@host/db"),
        ("mysql://me:secret@host", "mysql://me@host"),
        ("", ""),
    ],
)
def test_a_masked_url_shows_everything_but_the_password(url, shown):
    assert masked(url) == shown
    assert masked(shown) == shown


@given(password=st.text(min_size=1), user=st.text(min_size=1))
@settings(max_examples=50)
def test_no_password_is_left_in_a_masked_url(password, user):
    url = URL.create("postgresql", user, password, "host", 5432, "db")
    without = URL.create("postgresql", user, None, "host", 5432, "db")
    assert masked(url.render_as_string(hide_password=False)) == without.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("mysql://me:hush@host/db", "known: postgres, postgresql"),
        ("sqlite:///study.db", "not the URL of a PostgreSQL database"),
        ("postgressql://me:hush@host/db", "did you mean 'postgresql'"),
        ("postgresql+psycopg2://me:hush@host/db", r"did you mean 'postgresql\+psycopg'"),
        ("study.db", "write postgresql://user@host/database"),
        ("me:hush@host/db", "write postgresql://user@host/database"),
        ("postgresql://me:hush@host:port/db", "not a valid URL"),
        ("postgresql://me:hu@sh@host/db", "percent-encoded"),
        ("", "write postgresql"),
    ],
)
def test_what_is_no_url_of_postgresql_is_the_users_mistake(url, hint):
    with pytest.raises(InputError, match=hint) as caught:
        StudyDatabase.open(url, study="harness", directions=["maximize"])
    assert "\n" not in str(caught.value)
    assert "hu" not in str(caught.value)


def test_a_missing_driver_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(HardwareError, match=r"pip install 'harness-automl\[postgresql\]'"):
        StudyDatabase.open("postgresql://me@host/db", study="harness", directions=["maximize"])


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no-such-host.invalid", "a" * 70 + ".invalid", "a..b"])
def test_a_server_that_is_not_there_is_one_line(host):
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql://me:{SECRET}@{host.format(port=port)}/db"
    with refused(StorageError, "^postgresql://me@.*check the URL, and that the server runs$"), study_at(url):
        pass


def test_a_server_that_never_answers_is_given_up():
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://me@127.0.0.1:{server.getsockname()[1]}/db?connect_timeout=2"
        with refused(StorageError, "timeout"), study_at(url):
            pass


def test_whom_the_server_refuses_is_told(url):
    for wrong, words in (
        (url.replace(SECRET, "guess"), "password authentication failed"),
        (url.replace("harness:", "nobody:"), "password authentication failed"),
        (f"{url}-not", 'database "study[0-9]*-not" does not exist'),
        (f"{url}?sslmode=require", "server does not support SSL"),
        (f"{url}?color=red", "invalid connection option|invalid.*color"),
    ):
        with refused(StorageError, f"^postgresql://.*{words}"), study_at(wrong):
            pass


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_the_scheme_leads_to_the_same_study(url, scheme):
    with study_at(url) as database:
        begin(database, 0)
    with study_at(url.replace("postgresql", scheme, 1)) as database:
        assert len(database.load()) == 1


def test_studies_of_other_names_are_apart(url):
    with study_at(url, "a") as first, study_at(url, "b") as second:
        begin(first, 0)
        begin(second, 0)
        begin(first, 1)
        first.finish(1, state="fail", values=(), reports={1: 0.5}, constraints={}, record="first")
        second.finish(0, state="fail", values=(), reports={}, constraints={}, record="second")
        assert [trial.record for trial in first.load()] == [None, "first"]
        assert [trial.record for trial in second.load()] == ["second"]


def test_an_open_study_is_refused_to_others_until_it_is_given_back(url):
    with study_at(url) as database:
        for _ in range(2):
            with refused(StorageError, "another harness process is writing to study 'harness'"), study_at(url):
                pass
        begin(database, 0)
    with study_at(url) as database:
        assert len(database.load()) == 1


def test_a_killed_process_gives_its_study_back(url):
    code = (
        "import sys; from harness.store import StudyDatabase\n"
        "database = StudyDatabase.open(sys.argv[1], study='harness', directions=['maximize'])\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with refused(StorageError, "another harness process"), study_at(url):
            pass
        other.send_signal(signal.SIGKILL)
    _wait_until_alone(url)
    with study_at(url) as database:
        assert database.load() == []


def test_two_processes_may_meet_in_an_empty_database(postgresql):
    url = postgresql()
    together, opened = threading.Barrier(4), []

    def work(name):
        together.wait()
        with study_at(url, name) as database:
            begin(database, 0)
            opened.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(opened) == ["a", "b", "c", "d"]


def test_a_lost_connection_is_one_line_and_is_not_renewed_without_the_lock(url):
    import psycopg

    with study_at(url) as database:
        begin(database, 0)
        with psycopg.connect(url, autocommit=True) as admin:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        for _ in range(2):
            with refused(StorageError, "^postgresql://.*resume the run$"):
                begin(database, 1)
            with refused(StorageError, "resume the run$"):
                database.load()
    with study_at(url) as database:
        assert len(database.load()) == 1


def test_what_was_tampered_with_is_one_line(postgresql):
    import psycopg

    url = postgresql()
    for statement in (
        "UPDATE trial_user_attributes SET value_json = '{'",
        "UPDATE trial_params SET param_value = 'NaN'",
        "UPDATE trials SET number = 3",
        "UPDATE alembic_version SET version_num = 'v0'",
    ):
        with study_at(url, statement) as database:
            begin(database, 0)
        with psycopg.connect(url) as admin:
            admin.execute(statement)
        with refused(StorageError, r"^postgresql://"), study_at(url, statement) as database:
            database.load()


def _wait_until_alone(url):
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        while admin.execute(query).fetchone() != (1,):
            pass
