"""What a URL of Redis says behind its ?: refused with a sentence where redis-py would stumble over it later."""

import pytest

from bridge.model.errors import SettingsError
from bridge.redis_adapter import connect, connect_async
from bridge.settings import Settings


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("path=/x", "an option that redis-py does not know"),
        ("single_connection_client=true", "an option that redis-py does not know"),
        ("ssl_cert_reqs=none", "an option that redis-py does not know"),
        ("timeout=5", "an option that redis-py does not know"),
        ("socket_timeout=-1", "a socket_timeout that is no time"),
        ("socket_timeout=0", "a socket_timeout that is no time"),
        ("socket_timeout=nan", "a socket_timeout that is no time"),
        ("socket_connect_timeout=1e400", "a socket_connect_timeout that is no time"),
        ("socket_timeout=soon", "Invalid value for 'socket_timeout'"),
    ],
)
@pytest.mark.parametrize("place", ["redis://h/0", "sentinel://h:1;sentinel://i:1/0"])
def test_an_option_that_cannot_work_is_refused_before_the_first_command(place: str, option: str, said: str) -> None:
    settings = Settings(broker_url="redis://h/0", redis_url=f"{place}?{option}")
    for make in (connect, connect_async):
        with pytest.raises(SettingsError, match=said):
            make(settings)


@pytest.mark.parametrize(
    "option", ["socket_timeout=2.5", "max_connections=5", "client_name=x", "health_check_interval=0"]
)
def test_what_redis_py_knows_is_taken(option: str) -> None:
    connect(Settings(broker_url="redis://h/0", redis_url=f"redis://h/0?{option}")).close()
    connect(Settings(broker_url="redis://h/0", redis_url=f"rediss://h/0?ssl_cert_reqs=none&{option}")).close()


@pytest.mark.parametrize("url", ["redis://h:0/0", "redis://[::1/0", "rediss://h:0", "sentinel://h:0"])
def test_a_port_that_clients_would_take_for_another_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="port that is no number between 1 and 65535"):
        Settings(broker_url="redis://h/0", redis_url=url)
