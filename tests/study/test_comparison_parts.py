"""Who is compared, the space of frozen winners, and prices."""

import json
import math
from dataclasses import replace

import pytest

from harness.errors import InputError
from harness.records import Outcome, TrialRecord
from harness.spec import Candidate, candidate_at, canonical, load_spec, options_of
from harness.study.comparison import searches
from harness.study.comparison.asked import Asked
from harness.study.comparison.clock import Clock
from harness.study.comparison.contestants import contestants_of
from harness.study.comparison.prices import cheapest_not_worse, front, prices
from harness.study.comparison.spanned import spanned
from harness.study.observer import Observer
from harness.study.search import Request

DIGITS = load_spec("digits")


def test_each_architecture_is_searched_alone_and_begins_with_the_candidates_of_its_own():
    mlp, cnn = contestants_of(DIGITS)
    assert (mlp.name, cnn.name) == ("mlp", "cnn")
    for contestant in (mlp, cnn):
        assert options_of(contestant.spec) == (contestant.name,)
        assert [list(first["architecture"]) for first in contestant.spec.search.first] == [[contestant.name]]
        assert contestant.folder == f"searches/{contestant.name}"
        again = load_spec(canonical(contestant.spec))
        assert canonical(again) == canonical(contestant.spec)
    assert mlp.spec.budget == cnn.spec.budget == DIGITS.budget


def test_a_mapping_lets_one_architecture_take_part_under_two_names():
    first, second = contestants_of(DIGITS, {"first": "mlp", "second": "mlp"})
    assert (first.name, second.name) == ("first", "second")
    assert first.spec == second.spec


@pytest.mark.parametrize(
    ("families", "said"),
    [
        (["mlp"], "at least two architectures, and there is only mlp"),
        (["mlp", "mlp"], "mlp is named twice"),
        (["mlp", "cnnn"], "cnnn: no architecture of this space; did you mean 'cnn'"),
        ([], "there is only none"),
        ({"a b": "mlp", "a-b": "cnn"}, "would have one folder"),
    ],
)
def test_what_cannot_be_compared_is_refused(families, said):
    with pytest.raises(InputError, match=said):
        contestants_of(DIGITS, families)


MLP = {"architecture": "mlp", "architecture.mlp.depth": 2, "architecture.mlp.width": 40, "label_smoothing": 0.0}
MLP |= {f"architecture.mlp.{name}": value for name, value in (("activation", "relu"), ("norm", "batch"))}
MLP |= {"architecture.mlp.dropout": 0.1, "optimizer": "adamw", "optimizer.adamw.lr": 1e-3, "batch_size": 32}
MLP |= {"optimizer.adamw.weight_decay": 1e-3}
OTHER = {**MLP, "architecture.mlp.width": 64, "label_smoothing": 0.1}
CNN = {"architecture": "cnn", "architecture.cnn.stages": 1, "architecture.cnn.width": 8, "batch_size": 64}
CNN |= {f"architecture.cnn.{name}": value for name, value in (("activation", "silu"), ("norm", "group"))}
CNN |= {"architecture.cnn.dropout": 0.0, "architecture.cnn.residual": True, "label_smoothing": 0.0}
CNN |= {"optimizer": "sgd", "optimizer.sgd.lr": 0.1, "optimizer.sgd.momentum": 0.9}


@pytest.mark.parametrize("points", [(MLP, CNN), (MLP, OTHER), (MLP, OTHER, CNN), (MLP, MLP), (CNN,)])
def test_the_space_of_frozen_winners_holds_each_of_them_and_gives_it_back(points):
    candidates = [candidate_at(DIGITS, point) for point in points]
    spec, found = spanned(DIGITS, [candidate.as_dict() for candidate in candidates])
    assert [candidate_at(spec, point) for point in found] == candidates
    again = load_spec(canonical(spec))
    assert [candidate_at(again, point) for point in found] == candidates


def test_an_option_without_parameters_stands_beside_one_with_them():
    spec = load_spec("digits")
    plain = candidate_at(spec, MLP).as_dict()
    plain["architecture"] = {"mlp": {"depth": 1, "numeric": "none"}}
    embedded = {**plain, "architecture": {"mlp": {"depth": 1, "numeric": {"plr": {"frequencies": 8}}}}}
    joined, points = spanned(spec, [plain, embedded])
    found = [dict(candidate_at(joined, point).architecture.params) for point in points]
    assert found == [{"depth": 1, "numeric": {"none": {}}}, {"depth": 1, "numeric": {"plr": {"frequencies": 8}}}]
    assert Candidate.from_dict(plain).training == candidate_at(joined, points[0]).training


def _record(**figures):
    return TrialRecord(
        trial=0, outcome=Outcome.COMPLETE, reason="x", candidate={}, params={}, seconds=2.0, figures=figures
    )


def test_a_price_is_the_median_of_the_trials_and_says_why_there_is_none():
    records = [_record(parameters=10.0, latency_p50_ms=ms, energy_j=math.nan) for ms in (1.0, 9.0, 2.0)]
    records = [replace(record, reasons={"energy_j": "no counter on this machine"}) for record in records]
    found = prices(records)
    assert found.values["latency_ms"] == 2.0
    assert found.values["parameters"] == 10.0
    assert found.values["train_seconds"] == 2.0
    assert math.isnan(found.values["energy_j"])
    assert found.reasons["energy_j"] == "no counter on this machine"
    assert found.reasons["throughput_per_s"] == "not measured"
    assert set(found.reasons) == {"energy_j", "throughput_per_s", "memory_mib"}


def test_a_share_of_a_programs_memory_is_no_price():
    alone = _record(memory_rss_peak_mib=300.0)
    shared = replace(_record(memory_rss_peak_mib=20.0), shared_with=14)
    assert prices([alone, shared]).values["memory_mib"] == 300.0
    assert prices([shared]).reasons["memory_mib"] == "trained in one program with others"


def _family(name, mean, latency_ms, parameters):
    return {"name": name, "mean": mean, "latency_ms": latency_ms, "parameters": parameters}


FAMILIES = [_family("slow", 0.97, 9.0, 10.0), _family("quick", 0.96, 1.0, 99.0), _family("bad", 0.90, 2.0, 5.0)]


def test_the_front_is_of_quality_against_latency():
    assert front(FAMILIES, maximize=True) == ["slow", "quick"]
    assert front(FAMILIES, maximize=False) == ["bad", "quick"]


def test_the_cheapest_that_is_not_worse_is_named_by_latency_or_else_by_parameters():
    def worse(a, b):
        return (a, b) == ("bad", "slow")

    assert cheapest_not_worse(FAMILIES, worse, maximize=True) == "quick"
    assert cheapest_not_worse(FAMILIES, lambda a, b: a != b == "slow", maximize=True) == "slow"
    unknown = [{**family, "latency_ms": math.nan} for family in FAMILIES]
    assert cheapest_not_worse(unknown, worse, maximize=True) == "slow"
    assert front(unknown, maximize=True) == ["slow", "bad"]


def test_half_of_the_time_is_shared_out_to_the_searches():
    asked = Asked(families={"a": "mlp", "b": "cnn"}, time_s=400.0)
    assert asked.share_s == 100.0
    assert Asked(families={"a": "mlp", "b": "cnn"}).share_s is None
    assert Asked(runs={"a": "x", "b": "y"}, time_s=400.0).share_s is None


@pytest.mark.parametrize(("spent_s", "given_s"), [(None, 100.0), (30.0, 70.0), (200.0, -100.0)])
def test_a_search_that_is_gone_on_with_has_what_is_left_of_its_share(spent_s, given_s, tmp_path, monkeypatch):
    contestant, stops = contestants_of(DIGITS)[0].within(100.0), []
    if spent_s is not None:
        run = tmp_path / contestant.folder
        run.mkdir(parents=True)
        (run / "status.json").write_text(json.dumps({"elapsed_s": spent_s}))
    monkeypatch.setattr(searches, "open_search", lambda request: request)
    monkeypatch.setattr(searches, "run_search", lambda _request, _opened, stop, _observer: stops.append(stop))
    request = Request(spec=contestant.spec)
    searches.search(contestant, request, tmp_path, Clock(None), Observer(), lambda _finished: None)
    assert stops[0].end_s - stops[0].started_s == pytest.approx(given_s)
