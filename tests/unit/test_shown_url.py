"""URLs are shown without secrets, wherever these stand in them."""

import pytest

from bridge.settings.urls import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://:p%40ss@host", "redis://:***@host"),
        ("amqp://user:p@ss@host//", "amqp://user:***@host//"),
        ("redis://hunter2@host", "redis://***@host"),
        ("redis://host/0?password=hunter2&db=3", "redis://host/0?password=***&db=3"),
        ("redis://host/0?PassWord=hunter2", "redis://host/0?PassWord=***"),
        ("redis://host/0?username=a&token=hunter2&hunter2", "redis://host/0?username=***&token=***&***"),
        ("rediss://u:p@h/2?ssl_cert_reqs=none", "rediss://u:***@h/2?ssl_cert_reqs=none"),
        ("sentinel://:hunter2@a:1;sentinel://:hunter2@b:2/0", "sentinel://:***@a:1;sentinel://:***@b:2/0"),
        ("sentinel://u:hunter2@a:1;b:2/0?password=hunter2", "sentinel://u:***@a:1;b:2/0?password=***"),
        ("unix:///run/redis.sock?password=hunter2", "unix:///run/redis.sock?password=***"),
        ("unix://u:hunter2@/run/redis.sock", "unix://u:***@/run/redis.sock"),
        ("", ""),
        ("localhost:6379", "localhost:6379"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize("character", list("?#/;:@&=%+ \\\"'{}[]|^~`,!$()*"))
@pytest.mark.parametrize("form", ["redis://:{}@host/0", "amqp://user:{}@host//", "redis://host/0?password={}"])
def test_no_character_in_a_password_lets_a_part_of_it_through(character: str, form: str) -> None:
    shown = shown_url(form.format(f"hunter{character}secret"))
    assert "hunter" not in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    "url", ["redis://:hunter2", "redis://:hunter2/0", "hunter2:hunter2@host", "redis://:hunter2;x"]
)
def test_what_cannot_be_told_apart_is_not_shown(url: str) -> None:
    assert "hunter2:" not in shown_url(url).replace("hunter2:***", "")
