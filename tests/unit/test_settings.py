"""Settings: every value described and bounded, every fault reported at once, no secret ever shown."""

import re
from typing import Any

import pytest
from rich.pretty import pretty_repr

from bridge.model.errors import SettingsError
from bridge.settings import DECLARATIONS, PREFIX, Settings, environment_name, is_loopback, load_settings
from bridge.settings.parts import SEEN_MARGIN_S
from tests.support.absurd import ABSURD
from tests.support.naming import shown

FIELDS = tuple(DECLARATIONS)
NUMERIC = [name for name, declared in DECLARATIONS.items() if type(declared.default) in (int, float)]
SECRET = "hunter2-" * 5


def faults_of(environ: dict[str, str], **overrides: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, **overrides)
    first, *faults = str(caught.value).splitlines()
    assert first == "The settings are wrong:"
    return [fault.removeprefix("  - ") for fault in faults]


# Each setting


@pytest.mark.parametrize("field", FIELDS)
def test_a_setting_says_what_it_is_for(field: str) -> None:
    assert DECLARATIONS[field].about.endswith(".")


@pytest.mark.parametrize("field", NUMERIC)
def test_a_number_is_bounded_at_both_ends(field: str) -> None:
    assert DECLARATIONS[field].between is not None
    low, high = DECLARATIONS[field].between
    kind = type(DECLARATIONS[field].default)
    step = 1 if kind is int else 0.001
    name = environment_name(field)
    for inside in (low, high):
        try:
            assert getattr(load_settings({name: str(inside)}), field) == inside
        except SettingsError as error:  # the bound may contradict another setting's default, but is a legal number
            assert "must be a" not in str(error)
    for outside in (low - step, high + step):
        (fault, *_) = faults_of({name: str(kind(outside) if kind is int else outside)})
        number = "a whole number" if kind is int else "a number"
        assert fault.startswith(f"{name} must be {number} between {low} and {high}. ")


@pytest.mark.parametrize("field", NUMERIC)
@pytest.mark.parametrize("text", ["", "many", "nan", "inf", "1e999", "0x10", "1 000", "٣x"])
def test_what_is_no_number_is_refused_by_name(field: str, text: str) -> None:
    (fault, *_) = faults_of({environment_name(field): text})
    assert fault.startswith(f"{environment_name(field)} must be ")
    assert fault.split(". ", 1)[1] == DECLARATIONS[field].about


@pytest.mark.parametrize("field", FIELDS)
def test_defaults_and_environment_agree_on_every_type(field: str) -> None:
    default = getattr(Settings(), field)
    if default == "":
        return
    read = getattr(load_settings({environment_name(field): str(default)}), field)
    assert read == default
    assert type(read) is type(default)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load_settings({}) == Settings()
    assert load_settings({"PATH": "/bin", "HOME": "/", "bridge_source": "x"}) == Settings()


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_SOURCE", "from-the-environment")
    assert load_settings().source == "from-the-environment"


def test_values_are_trimmed() -> None:
    assert load_settings({"BRIDGE_SOURCE": " shop \n"}).source == "shop"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_a_switch_is_read_from_words_and_digits(text: str, value: bool) -> None:
    assert load_settings({"BRIDGE_GATEWAY_DEV": text}).gateway_dev is value


# Faults


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("BRIDGE_STREAM_MAXLEN", "many", "BRIDGE_STREAM_MAXLEN must be a whole number between 1 and 1000000."),
        ("BRIDGE_STREAM_MAXLEN", "1.5", "BRIDGE_STREAM_MAXLEN must be a whole number between 1 and 1000000."),
        ("BRIDGE_GATEWAY_RETRY_S", "0", "BRIDGE_GATEWAY_RETRY_S must be a number between 0.1 and 300."),
        ("BRIDGE_GATEWAY_DEV", "maybe", "BRIDGE_GATEWAY_DEV must be 1 or 0, true or false."),
        ("BRIDGE_GATEWAY_HOST", " ", "BRIDGE_GATEWAY_HOST must not be empty."),
        ("BRIDGE_SOURCE", "", "BRIDGE_SOURCE must be 1 to 200 characters long."),
        ("BRIDGE_SOURCE", "x" * 201, "BRIDGE_SOURCE must be 1 to 200 characters long."),
        ("BRIDGE_JWT_COOKIE", "a b", "BRIDGE_JWT_COOKIE must be 1 to 100 letters, digits, _ or -."),
        ("BRIDGE_OUTBOX_URL", "shop", "BRIDGE_OUTBOX_URL must be the URL of a database, such as postgresql+psycopg://"),
        ("BRIDGE_BROKER_KEYPREFIX", "a b", "BRIDGE_BROKER_KEYPREFIX must be at most 50 letters, digits, or any of"),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_would(name: str, text: str, sentence: str) -> None:
    (fault,) = faults_of({name: text})
    assert fault.startswith(sentence)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [None, b"", [], 1e99, "x y" * 200], ids=lambda value: repr(value)[:9])
def test_no_fault_speaks_of_python_types(field: str, value: object) -> None:
    try:
        load_settings({}, **{field: value})
    except SettingsError as error:
        assert not re.search("`(int|float|bool|str|object|null)", str(error))
        assert "Expected" not in str(error)


@pytest.mark.parametrize("field", ["broker_url", "redis_url"])
@pytest.mark.parametrize("url", ["redis://h/abc", "rediss://:pw@h:1/0/1", "redis://h/-1", "redis://h/0x1?x=1"])
def test_a_redis_url_ends_in_a_database_number(field: str, url: str) -> None:
    (fault,) = faults_of({environment_name(field): url})
    assert fault == f"{environment_name(field)} must end in a database number, such as /0, or in none."


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://h/", "redis://h:1/15", "rediss://u:p@h/2?ssl_cert_reqs=none", "unix:///run/redis.sock"],
)
def test_a_redis_url_without_fault_is_taken(url: str) -> None:
    assert Settings(redis_url=url).store_url == url


def test_the_virtual_host_of_rabbitmq_is_no_database_number() -> None:
    assert Settings(broker_url="amqp://h/shop", redis_url="redis://h").broker_url == "amqp://h/shop"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("BRIDGE_BROKER_UR", "did you mean BRIDGE_BROKER_URL?"),
        ("BRIDGE_JWT_SECRETS", "did you mean BRIDGE_JWT_SECRET?"),
    ],
)
def test_a_mistyped_name_that_matters_is_reported_with_the_nearest_known_one(name: str, hint: str) -> None:
    assert faults_of({name: SECRET}) == [f"{name} is not a setting of this version; {hint}"]


def test_all_faults_are_reported_at_once() -> None:
    faults = faults_of(
        {
            "BRIDGE_BROKER_UR": "x",
            "BRIDGE_GATEWAY_PORT": "70000",
            "BRIDGE_RETRY_ATTEMPTS": "some",
            "BRIDGE_REDIS_URL": "http://host",
            "BRIDGE_JWT_SECRET": "short",
        }
    )
    assert [fault.split(" ")[0].rstrip(":") for fault in faults] == [
        "BRIDGE_BROKER_UR",
        "BRIDGE_GATEWAY_PORT",
        "BRIDGE_RETRY_ATTEMPTS",
        "BRIDGE_REDIS_URL",
        "BRIDGE_JWT_SECRET",
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"task_time_limit_s": 300, "visibility_timeout_s": 300}, "BRIDGE_TASK_TIME_LIMIT_S must be below"),
        ({"retry_base_s": 61.0}, "BRIDGE_RETRY_BASE_S must not exceed BRIDGE_RETRY_CAP_S"),
        ({"event_max_bytes": 300_000}, "BRIDGE_EVENT_MAX_BYTES must not exceed BRIDGE_MESSAGE_MAX_BYTES"),
        ({"seen_ttl_s": 60}, "BRIDGE_SEEN_TTL_S must be 0 or at least 4500"),
        ({"broker_url": "amqp://host//"}, "BRIDGE_REDIS_URL is needed"),
        ({"broker_url": "REDIS://host"}, "BRIDGE_BROKER_URL must start with one of redis://"),
        ({"broker_url": "redis:/host"}, "BRIDGE_BROKER_URL must start with one of redis://"),
        ({"broker_url": "redis://a/5;redis://b/5"}, "BRIDGE_BROKER_URL names several servers"),
        ({"broker_url": "localhost:6379"}, "BRIDGE_BROKER_URL must start with one of redis://"),
        ({"broker_url": "sqs://host", "redis_url": "redis://h"}, "BRIDGE_BROKER_URL must start with one of"),
        ({"redis_url": "redis+cluster://host"}, "BRIDGE_REDIS_URL must start with one of redis://"),
        ({"redis_url": "sentinel://a;redis://b"}, "BRIDGE_REDIS_URL mixes sentinel:// with something else"),
        ({"redis_url": "sentinel://a:x"}, "BRIDGE_REDIS_URL has a port that is no number"),
        ({"redis_url": "sentinel://a;sentinel://:1"}, "BRIDGE_REDIS_URL names a sentinel without a host"),
        ({"redis_url": "sentinel://a/0;sentinel://b/1"}, "BRIDGE_REDIS_URL names several databases"),
        ({"broker_url": "sentinel://a/shop"}, "BRIDGE_BROKER_URL must end in a database number"),
        ({"redis_url": "redis://host:port/0"}, "BRIDGE_REDIS_URL has a port that is no number"),
        ({"broker_url": "redis://host:99999/0"}, "BRIDGE_BROKER_URL has a port that is no number"),
        ({"jwt_secret": SECRET, "jwt_jwks_url": "https://i/keys"}, "Set BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL"),
        ({"jwt_secret": "x" * 31}, "BRIDGE_JWT_SECRET must have at least 32 bytes"),
        ({"gateway_dev": True, "gateway_host": "0.0.0.0"}, "BRIDGE_GATEWAY_DEV lets anybody be anybody"),
        ({"gateway_dev": True, "gateway_host": "gateway.example"}, "BRIDGE_GATEWAY_DEV lets anybody be anybody"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_contradiction_is_refused_with_what_to_do(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        Settings(**values)
    (said,) = faults_of({environment_name(field): str(value) for field, value in values.items()})
    assert said.startswith(sentence)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_development_mode_is_for_loopback(host: str) -> None:
    assert is_loopback(host)
    assert Settings(gateway_dev=True, gateway_host=host).gateway_dev


@pytest.mark.parametrize("name", ["a b", "a;b", "a=b", "", "x" * 101, "a\nb"])
def test_a_cookie_name_that_could_break_a_header_is_refused(name: str) -> None:
    (fault,) = faults_of({"BRIDGE_JWT_COOKIE": f"x{name}" if name == "a\nb" else name})
    assert fault.startswith("BRIDGE_JWT_COOKIE must be 1 to 100 letters")


# Overrides


def test_an_override_wins_over_the_environment_even_over_a_wrong_one() -> None:
    assert load_settings({"BRIDGE_GATEWAY_PORT": "9"}, gateway_port=80).gateway_port == 80
    assert load_settings({"BRIDGE_GATEWAY_PORT": "nine"}, gateway_port=80).gateway_port == 80


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"gateway_port": 70_000}, "BRIDGE_GATEWAY_PORT must be a whole number between 1 and 65535."),
        ({"gateway_port": None}, "BRIDGE_GATEWAY_PORT must be a whole number"),
        ({"source": ""}, "BRIDGE_SOURCE must be 1 to 200 characters long."),
        ({"gateway_prot": 80}, "BRIDGE_GATEWAY_PROT is not a setting of this version"),
    ],
    ids=shown,
)
def test_an_override_is_held_to_the_same_bounds(override: dict[str, Any], named: str) -> None:
    (fault,) = faults_of({}, **override)
    assert fault.startswith(named)


# Secrets


def secretive() -> Settings:
    return Settings(broker_url=f"redis://:{SECRET}@broker", redis_url=f"redis://:{SECRET}@store", jwt_secret=SECRET)


def test_no_way_to_print_settings_shows_a_secret() -> None:
    settings = secretive()
    for text in (
        repr(settings),
        str(settings),
        f"{settings}",
        f"{settings!r}",
        repr([settings]),
        pretty_repr(settings),
        pretty_repr([settings]),
    ):
        assert "hunter2" not in text


@pytest.mark.parametrize("field", FIELDS)
def test_no_fault_echoes_the_value_of_a_setting(field: str) -> None:
    for text in (f"bogus://:{SECRET}@h:port", "x" * 300 + SECRET, f"{SECRET}\n "):
        try:
            load_settings({environment_name(field): text})
        except SettingsError as error:
            assert "hunter2" not in str(error)


# Derived values


def test_the_store_is_the_broker_unless_said_otherwise() -> None:
    assert Settings(broker_url="redis://a").store_url == "redis://a"
    assert Settings(broker_url="amqp://a", redis_url="redis://b").store_url == "redis://b"


def test_no_life_of_a_stream_means_no_retention() -> None:
    assert Settings().retention
    assert not Settings(stream_ttl_s=0).retention


@pytest.mark.parametrize(
    "values",
    [{}, {"stream_ttl_s": 86_400}, {"visibility_timeout_s": 3600}, {"retry_attempts": 20, "retry_cap_s": 600.0}],
    ids=shown,
)
def test_a_seen_mark_outlives_the_stream_a_redelivery_and_all_retries(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    longest_s = settings.stream_ttl_s + settings.visibility_timeout_s + settings.retry_attempts * settings.retry_cap_s
    assert settings.seen_life_s >= longest_s + SEEN_MARGIN_S
    assert Settings(seen_ttl_s=100_000).seen_life_s == 100_000


def test_every_setting_is_read_under_its_own_name() -> None:
    assert {environment_name(field) for field in FIELDS} == {PREFIX + field.upper() for field in FIELDS}
    with pytest.raises(AttributeError):
        Settings().source = "x"  # type: ignore[misc]


@pytest.mark.parametrize("field", FIELDS)
def test_an_absurd_value_of_a_setting_is_taken_or_refused_in_words(field: str) -> None:
    for value in ABSURD:
        try:
            load_settings({environment_name(field): value})
        except SettingsError as refusal:
            assert environment_name(field) in str(refusal)
