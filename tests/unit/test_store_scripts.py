"""Scripts: named keys and arguments, and no more of the prelude than each one uses."""

import re
from pathlib import Path

import pytest

import bridge.redis_adapter
from bridge.redis_adapter import Keyspace
from bridge.redis_adapter import script as script_module
from bridge.redis_adapter.script import Call, Script, script

FOLDER = Path(str(bridge.redis_adapter.__file__)).parent / "scripts"
NAMES = sorted({path.stem for path in FOLDER.glob("*.lua")} - {"prelude"})
DEFINED = re.findall(r"^local (?:function )?(\w+)", (FOLDER / "prelude.lua").read_text(encoding="utf-8"), re.MULTILINE)


def code_of(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def test_after_the_first_script_no_other_needs_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that gave up root since may not read the package any more."""
    script("send")
    script.cache_clear()
    monkeypatch.setattr(script_module, "files", None)
    assert script("report").sha


@pytest.mark.parametrize("name", NAMES)
def test_a_script_carries_what_it_uses_of_the_prelude_and_nothing_else(name: str) -> None:
    code = code_of(script(name).text)
    defined = set(re.findall(r"^local (?:function )?(\w+)", code, re.MULTILINE)) & set(DEFINED)
    used = {one for one in DEFINED if len(re.findall(rf"\b{one}\b", code)) > 0}
    assert used == defined
    # Defined once, and named at least once besides: a name of its own would bring the prelude's in vain.
    assert all(len(re.findall(rf"(?:local function|local) {one}\b", code)) == 1 for one in defined)
    assert all(len(re.findall(rf"\b{one}\b", code)) > 1 for one in defined)


@pytest.mark.parametrize("name", NAMES)
def test_only_numbers_reach_redis(name: str) -> None:
    assert not re.findall(r"\b(?:KEYS|ARGV|AT)\.\w+", code_of(script(name).text))


@pytest.mark.parametrize("name", NAMES)
def test_flags_stay_in_the_first_line(name: str) -> None:
    source = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    assert script(name).text.startswith("#!lua flags=") == source.startswith("#!lua flags=")


def test_time_is_read_in_one_place() -> None:
    # kombu's index of claims is in seconds, as text with all six digits.
    assert [name for name in NAMES if "'TIME'" in (FOLDER / f"{name}.lua").read_text(encoding="utf-8")] == ["claim"]


SOURCE = """-- KEYS: open counts
-- KEYS.own     another
-- ARGV.first   one
-- ARGV.rest…   others
return {KEYS.own, AT.rest}"""


def test_names_stand_for_places_and_keys_come_in_their_order() -> None:
    one = Script(SOURCE)
    assert one.text.endswith("return {KEYS[3], 2}")
    assert one.keys(Keyspace("p:"), "more", own="k") == ("p:bridge:open", "p:bridge:counts", "k", "more")
    assert one.command(Call(["a", "b"], [1])) == ("EVALSHA", one.sha, 2, "a", "b", 1)
    assert one.command(Call(["a", "b"], [1]), by_text=True) == ("EVAL", one.text, 2, "a", "b", 1)


def test_a_name_that_the_header_does_not_list_is_an_error() -> None:
    with pytest.raises(LookupError, match="seconds"):
        Script("-- ARGV.first   …\nreturn ARGV.seconds")
    with pytest.raises(AttributeError):
        Script("-- KEYS.nowhere   …\nreturn 1").keys(Keyspace())


def test_a_key_that_a_header_does_not_explain_is_one_of_the_keyspace() -> None:
    known = {name.lower() for name in vars(Keyspace())} | {"booked", *Keyspace().of_redrive("one")}
    for name in NAMES:
        for line in re.findall(r"^-- KEYS: (.*)$", (FOLDER / f"{name}.lua").read_text(encoding="utf-8"), re.MULTILINE):
            assert set(line.split()) <= known, name
