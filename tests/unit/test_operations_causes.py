"""Root causes: what differs from event to event is taken out, what tells causes apart stays."""

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import IdError, PermanentError, SettingsError, SpoolError
from bridge.model.pipeline import Failure, Stage
from bridge.model.pipeline.failure import cause_of, describe, place_in, without_variables
from bridge.model.registry.addresses import user_of
from bridge.operations.selection import Facts, Selection, parse_time
from tests.support.letters import a_letter
from tests.support.naming import shown

TRACEBACK = """  File "/venv/lib/python3.11/site-packages/bridge/model/pipeline/pipeline.py", line 31, in transform
    data=mapping.payload_extractor(event),
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/extractors.py", line {line}, in paid
    return json.loads(event.text)
           ^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^
json.decoder.JSONDecodeError: Expecting value
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 17 failed", "order 4,711 failed"),
        ("no user 01a1fb9f-d28b-7f1d-8052-642667ab2557", "no user 0190f0a1-0000-7000-8000-000000000001"),
        ("KeyError: 'may.csv'", "KeyError: 'it is june'"),
        ('no "a" here', 'no "b c" here'),
        ("cannot open /srv/in/may.csv", "cannot open /srv/in/2026/june.csv"),
        ("mail to anna@example.org bounced", "mail to bo.b@mail.example.com bounced"),
        ("at 2026-11-21T01:01:57.77Z", "at 2025-01-01T00:00:00+02:00"),
        ("object at 0x7f246e741f50", "object at 0x7f446306f990"),
        ("GET https://a.example/x?id=1 gave 500", "GET https://b.example/ gave 502"),
        ("hash deadbeef01 unknown", "hash 0123456789abcdef unknown"),
        ("cut in the middle of 'a lon", "cut in the middle of 'another on"),
        ("took -1.5e3 s", "took 2 s"),
    ],
)
def test_values_are_taken_out(one: str, other: str) -> None:
    assert without_variables(one) == without_variables(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("don't do this", "don't do that"),
        ("Expected `int`, got `str`", "Expected `int`, got `null`"),
        ("utf8 failed", "utf16le failed"),
        ("connection refused", "connection reset"),
    ],
)
def test_words_are_kept(one: str, other: str) -> None:
    assert without_variables(one) != without_variables(other)


@pytest.mark.parametrize("module", ["model/pipeline/pipeline.py", "redis_adapter/settler.py", "rooms_of/tomorrow.py"])
def test_a_cause_stays_the_same_when_a_module_of_the_bridge_moves(module: str) -> None:
    mine = '  File "/srv/shop/extractors.py", line 3, in paid\n    raise PermanentError\n'
    ours = f'  File "/venv/lib/python3.11/site-packages/bridge/{module}", line 7, in check\n    raise IdError\n'
    assert place_in(ours + mine + ours) == place_in(mine)


@pytest.mark.parametrize("error", [PermanentError(), SettingsError(), IdError(), SpoolError()], ids=shown)
def test_an_error_of_the_bridge_is_called_by_no_module(error: Exception) -> None:
    assert describe(error, Stage.EXTRACT).error_class == f"bridge.{type(error).__name__}"


def test_the_place_is_the_teams_own_statement_whatever_its_line() -> None:
    place = place_in(TRACEBACK.format(line=88))
    assert place == "shop/extractors.py:paid: return json.loads(event.text)"
    assert place == place_in(TRACEBACK.format(line=12))


def test_a_place_without_source_is_a_line() -> None:
    text = '  File "<string>", line 3, in run\nValueError: no\n'
    assert place_in(text) == "<string>:run: line 3"
    assert place_in("") == ""


def test_causes_differ_by_stage_class_place_and_message() -> None:
    base = {"stage": Stage.EXTRACT, "error_class": "A", "message": "m", "traceback": TRACEBACK.format(line=1)}
    others = [{"stage": Stage.ENCODE}, {"error_class": "B"}, {"message": "n"}, {"traceback": ""}]
    groups = {cause_of(Failure(**{**base, **other})).group for other in [{}, *others]}
    assert len(groups) == 5


def test_a_time_is_ago_or_rfc_3339() -> None:
    now_ms = 1_800_000_000_000
    assert parse_time("90s", now_ms) == now_ms - 90_000
    assert parse_time("2h", now_ms) == now_ms - 7_200_000
    assert parse_time("2026-11-21T08:00:00Z", now_ms) == parse_time("2026-11-21T10:00:00+02:00", now_ms)
    with pytest.raises(SettingsError, match="is no time"):
        parse_time("yesterday", now_ms)


def facts(**changes: object) -> Facts:
    known = {
        "item_id": "i",
        "task": "bridge.A",
        "queue": "bridge.c",
        "addresses": ("user:u", "order:42"),
        "stage": "extract",
    }
    return Facts(**{**known, "error_class": "shop.Oops", "group": "abc", "at_ms": 5, "text": "Some Text", **changes})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"types": ("A",)}, True),
        ({"types": ("B", "A")}, True),
        ({"types": ("B",)}, False),
        ({"categories": ("c",), "addresses": ("org:7", "user:u")}, True),
        ({"categories": ("c",), "addresses": ("user:v",)}, False),
        ({"error_classes": ("Oops",)}, True),
        ({"error_classes": ("ops",)}, False),
        ({"groups": ("ab",)}, True),
        ({"since_ms": 6}, False),
        ({"until_ms": 5}, True),
        ({"text": "some t"}, True),
        ({"ids": ("j",)}, False),
    ],
)
def test_every_filter_must_hold(filters: dict, expected: bool) -> None:
    assert Selection(**filters).matches(facts()) is expected


def test_wire_names_become_classes_and_mistakes_are_sentences() -> None:
    assert Selection(types=("import.failed",)).resolved(REGISTRY).types == ("FileImportFailed",)
    with pytest.raises(SettingsError, match="no event type"):
        Selection(types=("import.faild",)).resolved(REGISTRY)
    with pytest.raises(SettingsError, match="no stage"):
        Selection(stages=("nope",)).resolved(REGISTRY)
    with pytest.raises(SettingsError, match="'nope' is no group"):
        Selection(groups=("nope",)).resolved(REGISTRY)
    with pytest.raises(SettingsError, match="'nope' is no id"):
        Selection(ids=("nope",)).resolved(REGISTRY)


def test_ids_and_groups_may_be_pasted_in_other_forms() -> None:
    given = Selection(ids=(" 0190F0A1-0000-7000-8000-000000000001",), groups=("AB12",)).resolved(REGISTRY)
    assert given == Selection(ids=("0190f0a1-0000-7000-8000-000000000001",), groups=("ab12",))


def test_a_selection_survives_being_written_down() -> None:
    selection = Selection(types=("A",), since_ms=5, text="x")
    assert Selection.from_dict(selection.as_dict()) == selection
    assert Selection().is_everything


def test_a_letter_knows_its_cause_and_its_user() -> None:
    letter = a_letter()
    assert letter.group == cause_of(letter.failure).group
    assert user_of(letter.addresses) in letter.envelope
