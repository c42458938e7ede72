"""What ``check --connect`` finds: each process is built as in service, and its servers are tried as it uses them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bridge.cli.console import Level
from bridge.model.errors import BridgeError, SettingsError, StoreError
from bridge.model.pipeline import Stage, describe
from bridge.model.plain_text import one_line
from bridge.model.registry import Registry
from bridge.operations import StatusReader, Survey, is_consuming, stranded
from bridge.settings import Process, Settings
from bridge.settings.topology import RedisPlace, topology
from bridge.settings.urls import shown_url
from bridge.wiring import open_queue, open_store

_BROKEN_OFF = frozenset({"ConnectionError", "TimeoutError", "ConnectionResetError", "InvalidResponse"})
"""What an error is called where a connection stood and nothing sensible came."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the installation."""

    level: Level
    subject: str  # settings, registry, broker, redis, celery app, or the process that would suffer
    text: str


def inspect_building(settings: Settings, registry: Registry, process: Process, *, asked: bool) -> Iterator[Finding]:
    """Build what a process builds when it starts, without connecting.

    A process that was not ``asked`` for may run elsewhere: what is missing here is a warning.
    """
    if not asked and process in _IS_CONFIGURED and not _IS_CONFIGURED[process](settings):
        return
    try:
        _BUILD[process](settings, registry)
    except (BridgeError, OSError) as error:
        yield Finding("fault" if asked else "warning", process, str(error))


def inspect_celery_app(path: str, settings: Settings, registry: Registry) -> Iterator[Finding]:
    """What a worker of a team's own app says when it starts."""
    from bridge.celery_runtime.preflight import inspect_app

    for stops, text in inspect_app(path, settings, registry):
        yield Finding("fault" if stops else "ok", "celery app", text)


def inspect_connections(settings: Settings, registry: Registry, processes: Iterable[Process]) -> list[Finding]:
    """Connect to each server as each process does, and do there, on scratch keys, what it does."""
    findings = list(_inspect_reach(settings))
    if any(finding.level == "fault" for finding in findings):
        return findings
    # Operators' commands and their page do the same.
    for process in dict.fromkeys("ops" if process == "cli" else process for process in processes):
        found = list(_inspect_process(process, settings, registry))
        if not any(finding.level == "fault" for finding in found):
            found.append(Finding("ok", process, "the servers let it do all that it does."))
        findings += [finding for finding in found if finding not in findings]
    return [*findings, *_inspect_bridge(settings, registry)]


def _inspect_bridge(settings: Settings, registry: Registry) -> Iterator[Finding]:
    """What this registry would leave behind, and whose registry is another one."""
    try:
        with open_store(settings, briefly=True) as store:
            status = StatusReader(store, settings, registry).read()
    except StoreError:
        return  # has been told
    survey = Survey(queues=status.queues, claimed=status.claimed, retries=status.retries)
    consuming = [worker for worker in status.workers if is_consuming(settings, worker)]
    for fault in stranded(registry, survey, consuming):
        yield Finding("fault", fault.subject, fault.sentence)
    for key in status.wrong_keys:
        yield Finding("warning" if key.spared else "fault", "redis", key.sentence)
    told = {key.sentence for key in status.wrong_keys}
    yield from (Finding("warning", "registry", remark) for remark in status.remarks if remark not in told)


def _inspect_reach(settings: Settings) -> Iterator[Finding]:
    """Whether the servers are there, and fit; once for every caller."""
    from bridge.redis_adapter import connect_briefly, connect_broker, option_faults

    places = topology(settings)
    servers: list[tuple[str, RedisPlace, str, Callable[[], Any]]] = [
        ("redis", places.store, settings.store_url, lambda: connect_briefly(settings))
    ]
    if places.broker is not None and not places.one_server:
        servers.insert(
            0, ("broker", places.broker, settings.broker_url, lambda: connect_broker(settings, briefly=True))
        )
    for subject, place, url, connect in servers:
        shown = shown_url(url)
        if faults := option_faults(place.url):
            yield from (Finding("fault", subject, f"{shown}: {text}") for text in faults)
        else:
            yield from _inspect_redis(subject, shown, connect)


def _inspect_redis(subject: str, shown: str, connect: Callable[[], Any]) -> Iterator[Finding]:
    from bridge.redis_adapter import read_server

    try:
        with connect() as client:
            info = read_server(client)
    except (StoreError, SettingsError) as error:
        text = f"{shown} cannot be used: {error}{_about_tls(shown, error)}"
        yield Finding("fault", subject, text)
    else:
        yield from judge_redis(info, shown, subject)


def judge_redis(info: dict[str, Any], place: str, subject: str) -> Iterator[Finding]:
    """Findings about a Redis from what its INFO says; the worker says the same when it starts."""
    from bridge.redis_adapter import server_faults, server_warnings

    if not info:
        yield Finding("ok", subject, f"{place} answers, and does not tell this user what it is.")
        return
    faults = server_faults(info)
    for sentence in faults:
        yield Finding("fault", subject, f"{place} cannot be used: {sentence}")
    if not faults:
        yield Finding("ok", subject, f"{place} answers: {_server_name(info)}.")
    for sentence in server_warnings(info):
        yield Finding("warning", subject, sentence)


def _server_name(info: dict[str, Any]) -> str:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return f"{name} {info.get('valkey_version') or info.get('redis_version', '?')}"


def _about_tls(shown: str, error: BridgeError) -> str:
    """A hint where one side may speak TLS and the other not: then nothing is said, and the connection ends."""
    if not isinstance(error, StoreError) or error.code not in _BROKEN_OFF:
        return ""
    if "refused" in str(error) or "SSL" in str(error):  # then it is known what is wrong
        return ""
    if shown.startswith("rediss://"):
        return " If that Redis speaks no TLS, write redis:// instead."
    return " If that Redis speaks TLS, write rediss:// instead." if shown.startswith("redis://") else ""


def _inspect_process(process: Process, settings: Settings, registry: Registry) -> Iterator[Finding]:
    from bridge.redis_adapter import try_servers

    for text in try_servers(process, settings):
        yield Finding("fault", process, text)
    for url in [one.jwks_url for one in settings.issuers if one.jwks_url] if process == "gateway" else ():
        yield from _inspect_issuer(url)
    if topology(settings).broker is None and process != "gateway":
        yield from _inspect_rabbit(process, settings, registry)
    elif process == "worker":
        yield from _inspect_transport(settings, registry)


def _inspect_issuer(url: str) -> Iterator[Finding]:
    from bridge.gateway.jwks import fetch_keys

    try:
        fetch_keys(url)
    except Exception as error:  # as the gateway: whatever a stranger's answer makes others raise
        text = f"{shown_url(url)} gives no keys to check tokens with: {type(error).__name__}: {error}"
        yield Finding("fault", "gateway", one_line(text))


def _inspect_rabbit(process: Process, settings: Settings, registry: Registry) -> Iterator[Finding]:
    from bridge.amqp_adapter.preflight import try_rabbit

    sends, takes = process in ("producer", "worker"), process == "worker"
    try:
        for text in try_rabbit(settings, registry, sends=sends, takes=takes):
            yield Finding("fault", process, f"broker: {text}")
    except BridgeError as error:
        text = f"{shown_url(settings.broker_url)} cannot be used: {error}"
        yield Finding("fault", "broker", text)


def _inspect_transport(settings: Settings, registry: Registry) -> Iterator[Finding]:
    """Whether Celery's transport, as a worker has it, comes up and works."""
    from bridge.amqp_adapter.errors import broker_error
    from bridge.celery_runtime.preflight import try_transport
    from bridge.worker import create_app

    try:
        for text in try_transport(settings, lambda changed: create_app(changed, registry)):
            yield Finding("warning", "worker", text)
    except TypeError:
        options = ", ".join(name for name, _ in parse_qsl(urlsplit(settings.broker_url).query))
        if not options:
            raise
        text = f"broker: Celery cannot use what BRIDGE_BROKER_URL has after the ? ({options}). Take it out; a password "
        yield Finding("fault", "worker", f"{text}belongs before the @.")
    except Exception as error:  # kombu and Celery raise what they like
        said = broker_error(error, "Its connection to the broker does not work.")
        text = str(said) if said else f"broker: {describe(error, Stage.WORKER).message or type(error).__name__}"
        yield Finding("fault", "worker", text)


def _build_producer(settings: Settings, registry: Registry) -> None:
    open_queue(settings, registry).prepare()
    if settings.spool_dir:
        folder = Path(settings.spool_dir)
        if not folder.exists():
            folder = folder.parent
        with NamedTemporaryFile(dir=folder, prefix=".bridge-check-"):
            return


def _build_worker(settings: Settings, registry: Registry) -> None:
    from bridge.worker import create_app

    create_app(settings, registry)


def _build_gateway(settings: Settings, registry: Registry) -> None:
    from bridge.gateway import create_app

    create_app(settings, registry)


def _build_ops(settings: Settings, registry: Registry) -> None:
    if not (settings.ops_token or settings.ops_view_token):
        raise SettingsError("The operators' page needs BRIDGE_OPS_TOKEN or BRIDGE_OPS_VIEW_TOKEN.")
    from bridge.ops import create_ops_app

    create_ops_app(settings, registry)


def _build_nothing(_: Settings, __: Registry) -> None:
    """Commands need nothing but settings and registry."""


_IS_CONFIGURED: dict[Process, Callable[[Settings], object]] = {
    "gateway": lambda settings: settings.gateway_dev or settings.gateway_authenticator or settings.issuers,
    "ops": lambda settings: settings.ops_token or settings.ops_view_token,
}
"""What may run elsewhere, with other settings, is built here only if these are meant for it."""
_BUILD: dict[Process, Callable[[Settings, Registry], None]] = {
    "producer": _build_producer,
    "worker": _build_worker,
    "gateway": _build_gateway,
    "ops": _build_ops,
    "cli": _build_nothing,
}
