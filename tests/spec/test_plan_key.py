from harness.spec import canonical, load_spec, spec_hash


def test_a_safe_plan_is_a_key_of_its_own_and_the_usual_one_is_not_told():
    usual, safe = load_spec("digits"), load_spec("digits", ["search.plan=safe"])
    assert not usual.search.by_rule
    assert safe.search.by_rule
    assert "plan" not in canonical(usual)["search"]
    assert load_spec(canonical(safe)).search.plan == "safe"
    assert spec_hash(usual) != spec_hash(safe)
