"""Origins as browsers send them are taken; what no browser sends is refused in a sentence that says what one does."""

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import create_app
from bridge.gateway.asgi import origin_fault
from bridge.model.errors import SettingsError
from bridge.settings import Settings


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example", "https://app.example:8443", "http://localhost:3000", "http://127.0.0.1",
        "https://[::1]:8443", "https://xn--bcher-kva.example", "http://intranet_host",
    ],
)  # fmt: skip
def test_what_browsers_send_is_taken(origin: str) -> None:
    assert origin_fault(origin) == ""


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("*", "cookies"),
        ("null", "sandboxed"),
        ("https://App.Example", "which is https://app.example;"),
        ("HTTPS://app.example", "which is https://app.example;"),
        ("https://app.example/", "which is https://app.example;"),
        ("https://app.example/path", "which is https://app.example;"),
        ("https://app.example?", "which is https://app.example;"),
        ("https://app.example:", "which is https://app.example;"),
        ("https://app.example:08443", "which is https://app.example:8443;"),
        ("https://[0:0:0:0:0:0:0:1]", r"which is https://\[::1\];"),
        ("https://app.example:443", "port 443"),
        ("http://app.example:80", "port 80"),
        ("https://me:secret@app.example", "preceded by a user"),
        ("https://*.example", "pattern"),
        ("https://bücher.example", "xn--"),
        ("https://app.example:99999", "no address"),
        ("https://a b", "no address"),
        ("app.example", "no origin"),
        ("ftp://app.example", "no origin"),
        ("file://", "no origin"),
    ],
)
def test_what_no_browser_sends_is_refused(origin: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        create_app(Settings(gateway_dev=True, gateway_cors_origins=f"https://fine.example, {origin}"), REGISTRY)
    assert "an origin is written" in str(refused.value)
    assert "secret" not in str(refused.value) and "fine" not in str(refused.value)
