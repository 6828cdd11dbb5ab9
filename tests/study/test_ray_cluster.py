"""On a real cluster: nodes that are processes of this machine, each with a scheduler and an object store of its own."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pytest

import harness
from harness.errors import HardwareError
from harness.records import Outcome
from harness.study.execute.ray import joining as ray_joining
from harness.study.execute.ray.cluster import RayActors

if importlib.util.find_spec("ray") is None:
    pytest.skip("the package ray is not installed: pip install 'harness-automl[ray]'", allow_module_level=True)

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from cluster_training import ClusterWorkshop, NoSuchDevice  # noqa: E402 - nodes import it by this name
from fake_training import Listener, alone  # noqa: E402

pytestmark = pytest.mark.slow

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
PATIENCE_S = 60.0
PAYLOAD = np.arange(100_000, dtype=np.float32)


@pytest.fixture(scope="module")
def cluster():
    """A head node with one CPU, which this process has joined."""
    with (
        TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Ray leaves sockets and files to the garbage collector
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(Path(harness.__file__).parents[1])]))
        patch.setenv("PYTHONWARNINGS", "error::UserWarning")  # of the actors
        patch.setenv("RAY_AUTH_MODE", "disabled")
        for name, value in ray_joining.QUIET.items():
            patch.setenv(name, value)
        ray = ray_joining.load_ray()
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        assert ray_joining.join(ray, cluster.address)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def second_node(cluster):
    """A node beside the head; there is one until a test removes it."""
    return next(iter(cluster.worker_nodes), None) or cluster.add_node(**NODE)


@pytest.fixture(scope="module")
def actors(cluster):  # noqa: ARG001 - they are there
    with closing(actors_for(workers=1, grace_s=0.5)) as executor:
        yield executor


def actors_for(workshop=None, **options):
    asked = {"address": None, "workers": None, "threads": 1, "device": "cpu", **options}
    return RayActors(workshop or ClusterWorkshop(PAYLOAD), **asked)


def results(executor, count, listener=None):
    """Return by trial what ended, when so many have."""
    ended, until = {}, time.monotonic() + PATIENCE_S
    while len(ended) < count and time.monotonic() < until:
        ended |= {result.trial: result for result in executor.wait(listener or Listener(), 0.2)}
    return ended


def result_of(executor, group, listener=None):
    executor.submit(group)
    return results(executor, 1, listener)[group[0].trial]


def until_begun(executor, count=1):
    """Wait until so many trials have shown by a checkpoint or a report that they are being trained."""
    listener, until = Listener(), time.monotonic() + PATIENCE_S
    while len(listener.checkpoints) + len(listener.reports) < count and time.monotonic() < until:
        assert executor.wait(listener, 0.2) == []
    return listener


def test_an_actor_stays_warm_and_computes_on_its_threads(actors):
    first, second = (result_of(actors, alone(trial, "whereabouts")) for trial in range(2))
    assert first.record.params == second.record.params
    assert first.record.params["threads"] == 1
    assert first.record.params["pid"] != os.getpid()


def test_the_data_is_that_of_the_object_store_and_nobody_is_warned(actors):
    found = result_of(actors, alone(0, "look_at_the_data"))
    assert found.record.params == {"sum": PAYLOAD.sum(dtype=np.float64), "shared": True}


def test_reports_are_judged_and_checkpoints_kept(actors):
    listener = Listener(lambda report: "not good enough" if report.epoch.epoch == 2 else "")
    judged = result_of(actors, alone(3, "report", epochs=5, judged=True), listener)
    assert judged.record.params["verdicts"] == ["", "not good enough"]
    assert [(report.epoch.trial, report.epoch.epoch) for report in listener.reports] == [(3, 1), (3, 2)]
    free = result_of(actors, alone(4, "report", epochs=3), listener)
    assert free.record.params["verdicts"] == ["", "", ""]
    result_of(actors, alone(5, "checkpoint", size=300_000), listener)
    assert listener.checkpoints == [(5, b"\1" * 300_000), (5, b"\2" * 300_000)]


def test_a_group_ends_one_by_one_and_only_what_had_not_ended_is_lost_with_its_actor(actors):
    listener = Listener(lambda report: "enough" if report.epoch.trial == 2 else "")
    judged = [*alone(1, "report", epochs=2, judged=True), *alone(2, "report", epochs=2, judged=True)]
    actors.submit((*judged, *alone(3, "sleep"), *alone(4, "whereabouts")))
    found = results(actors, 2, listener)
    assert [found[trial].record.params["verdicts"] for trial in (1, 2)] == [["", ""], ["enough"]]
    actors.cancel(4, "the run was asked to stop")
    lost = results(actors, 2, listener)
    assert {trial: each.outcome for trial, each in lost.items()} == dict.fromkeys((3, 4), Outcome.INTERRUPTED)
    assert all("did not answer for 0.5 s and was killed" in each.reason for each in lost.values())


def test_a_cancelled_trial_ends_for_the_reason_given_and_the_actor_lives(actors):
    before = result_of(actors, alone(0, "whereabouts"))
    actors.submit(alone(1, "until_stopped"))
    until_begun(actors)
    actors.cancel(1, "the run was asked to stop")
    ended = results(actors, 1)[1]
    assert (ended.outcome, ended.record.reason) == (Outcome.INTERRUPTED, "the run was asked to stop")
    assert result_of(actors, alone(2, "whereabouts")).record.params == before.record.params


def test_a_trial_that_waits_for_a_slot_can_be_cancelled(actors, tmp_path):
    actors.submit(alone(1, "wait_for", path=str(tmp_path / "go")))
    actors.submit(alone(2, "whereabouts"))
    until_begun(actors)
    actors.cancel(2, "enough")
    waiting = results(actors, 1)[2]
    assert (waiting.outcome, waiting.reason, waiting.seconds) == (Outcome.INTERRUPTED, "enough", 0.0)
    (tmp_path / "go").touch()
    assert results(actors, 1)[1].outcome is Outcome.COMPLETE


def test_one_that_does_not_heed_a_cancel_is_killed(actors):
    actors.submit(alone(1, "sleep"))
    until_begun(actors)
    actors.cancel(1, "the time of the run was used up")
    ended = results(actors, 1)[1]
    assert ended.outcome is Outcome.INTERRUPTED
    assert ended.reason == "the time of the run was used up; it did not answer for 0.5 s and was killed"


def test_one_that_does_not_end_in_its_time_is_killed_and_its_actor_replaced(actors):
    stuck = result_of(actors, alone(1, "hold_python", time_s=0.3))
    assert stuck.outcome is Outcome.TIMEOUT
    assert stuck.reason == "its time of 0.3 s was over; it did not answer for 0.5 s and was killed"
    assert stuck.seconds >= 0.8
    assert result_of(actors, alone(2, "whereabouts")).outcome is Outcome.COMPLETE


def test_a_dead_actor_costs_its_trial_and_says_so(actors):
    lost = result_of(actors, alone(1, "raise_signal", number=signal.SIGKILL.value))
    assert lost.outcome is Outcome.CRASHED
    assert lost.reason.startswith("its actor died: ")
    assert "\n" not in lost.reason
    failed = result_of(actors, alone(2, "fail"))
    assert (failed.outcome, failed.reason) == (
        Outcome.CRASHED,
        "its actor failed: LookupError: planted in the trainer",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"threads": 64, "workers": 2},
            r"no room for 2 actors with 64 CPUs each, only for 0: .* has 1 CPU and 0 GPUs;",
        ),
        ({"device": "cuda"}, r"no room for 1 actor with 1 CPU and 1 GPU, only for 0: "),
        ({"workers": 3}, r"no room for 3 actors with 1 CPU each, only for 1: "),
    ],
    ids=["CPUs", "GPUs", "actors"],
)
@pytest.mark.usefixtures("cluster")
def test_what_no_cluster_could_hold_is_refused_at_once(options, said):
    started = time.monotonic()
    with pytest.raises(HardwareError, match=said):
        actors_for(**options)
    assert time.monotonic() - started < 5.0


@pytest.mark.usefixtures("actors")
def test_a_lost_node_costs_its_trial_and_the_rest_goes_on(cluster, second_node, tmp_path, capfd):
    """The fixture has the head, the executor a second node and a third: first that is lost, then the other."""
    stays, goes = second_node, cluster.add_node(**NODE)
    executor = actors_for(workers=None, place_s=3.0)
    assert executor.capabilities().slots == 2
    assert executor.capabilities().where == "2 actors on 2 nodes"
    for trial in (1, 2):
        executor.submit(alone(trial, "wait_for", path=str(tmp_path / "go")))
    until_begun(executor, 2)
    capfd.readouterr()
    cluster.remove_node(goes, allow_graceful=False)
    (lost,) = results(executor, 1).values()
    assert lost.outcome is Outcome.CRASHED
    assert lost.reason.startswith("its node was lost")
    assert executor.capabilities().slots == 1
    executor.submit(alone(lost.trial, "whereabouts"))
    (tmp_path / "go").touch()
    ended = results(executor, 2)
    assert {ended[trial].record.params["node"] for trial in (1, 2)} == {stays.node_id}
    assert capfd.readouterr() == ("", "")
    executor.submit(alone(3, "wait_for", path=str(tmp_path / "never")))
    until_begun(executor)
    cluster.remove_node(stays, allow_graceful=False)
    (lost,) = results(executor, 1).values()
    executor.submit(alone(3, "whereabouts"))
    with pytest.raises(HardwareError, match=r"no room for an actor for 3 s: .* has 1 CPU and 0 GPUs; add nodes"):
        results(executor, 1)
    executor.close()


@pytest.mark.usefixtures("actors", "second_node")
def test_a_node_that_cannot_train_ends_the_run():
    executor = actors_for(NoSuchDevice())
    executor.submit(alone(0, "whereabouts"))
    with pytest.raises(HardwareError, match="no device 'cuda:7' on this node; use cpu"):
        results(executor, 1)
    executor.close()


@pytest.mark.usefixtures("actors", "second_node")
def test_the_actors_go_with_a_coordinator_that_is_killed(cluster):
    command = [sys.executable, str(HERE / "cluster_training.py"), cluster.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as coordinator:
        actor = psutil.Process(int(coordinator.stdout.readline()))
        coordinator.kill()
        said = coordinator.stderr.read()
    assert said == ""
    actor.wait(20.0)


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:port", ":6379"])
def test_an_address_must_be_one(address):
    with pytest.raises(HardwareError, match=f"'{address}' is no address of a Ray cluster: use auto, or host:port"):
        ray_joining.check_joinable(address)


def test_where_nobody_listens_is_no_cluster():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(HardwareError, match=rf"no Ray cluster at '{address}': Connection refused; .*ray start --head"):
        ray_joining.check_joinable(address)


def test_a_listener_that_is_no_cluster_is_given_up(monkeypatch):
    monkeypatch.setattr(ray_joining, "JOIN_S", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(HardwareError, match=f"no Ray cluster at '{address}' .*did not answer for 1.5 s; start one"):
            ray_joining.check_joinable(address)


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HardwareError, match=r"pip install 'harness-automl\[ray\]'"):
        actors_for()
