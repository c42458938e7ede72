"""``install``: what it leaves of a team's Celery app, which queues a worker consumes, and what is said at its start."""

from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import Queue

from bridge import Settings
from bridge.catalogs.finance import REGISTRY
from bridge.celery_runtime.differences import differences
from bridge.celery_runtime.installed import bridge_of, setup_queues
from bridge.worker import install

SETTINGS = Settings(broker_url="redis://127.0.0.1:1/0")
ALL = list(REGISTRY.queues)


def a_team(**configuration: object) -> Celery:
    app = Celery("team", set_as_current=False)
    app.conf.update(broker_url=SETTINGS.broker_url, **configuration)
    return app


def an_installed(**told: object) -> Celery:
    app = a_team()
    install(app, registry=REGISTRY, settings=SETTINGS, **told)
    return app


def test_nothing_is_read_before_a_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_REGISTRY", "no.such:registry")
    app = Celery("team", set_as_current=False)
    install(app)
    app.conf.update(broker_url="redis://127.0.0.1:1/3", task_default_queue="theirs")
    before = app.conf.table(with_defaults=True)
    assert not [name for name in app.tasks if name.startswith("bridge.")]
    assert list(app.amqp.queues.consume_from) == ["theirs"]
    with pytest.raises(SystemExit, match="there is no module 'no'"):
        bridge_of(app)
    assert app.conf.table(with_defaults=True) == before


def test_it_may_be_called_again_and_the_last_call_counts() -> None:
    app = an_installed()
    install(app, registry=REGISTRY, settings=SETTINGS, queues=ALL[:1])
    assert [len([one for one in steps if "bridge" in one]) for steps in app.steps.values()] == [1, 1]
    assert bridge_of(app).consumed == ALL[:1]


def test_a_workers_configuration_and_tasks_are_the_teams_and_the_bridges_beside() -> None:
    app = an_installed()
    before, tasks = app.conf.table(with_defaults=True), set(app.tasks)
    bridge = bridge_of(app)
    assert app.conf.table(with_defaults=True) == before
    assert set(app.tasks) - tasks == {REGISTRY.task_of(row) for row in REGISTRY.mappings}
    assert bridge.app.conf.task_acks_late and not app.conf.task_acks_late


@pytest.mark.parametrize(
    ("told", "include", "exclude", "theirs", "ours"),
    [
        (None, None, None, ["celery"], ALL),
        (ALL[:2], None, None, ["celery"], ALL[:2]),
        ((), None, None, ["celery"], []),
        (None, "mail", None, ["mail"], []),
        (None, f"mail,{ALL[1]}", None, ["mail"], [ALL[1]]),
        ((), ALL[1], None, [], [ALL[1]]),
        (None, None, f"celery,{ALL[0]}", [], ALL[1:]),
    ],
    ids=["no option", "told", "told none", "-Q theirs", "-Q both", "-Q ours", "-X both"],
)
def test_a_worker_consumes_what_its_options_name(
    told: list[str] | None, include: str | None, exclude: str | None, theirs: list[str], ours: list[str]
) -> None:
    app = an_installed(queues=told)

    def stock(include: list[str] | None, exclude: list[str] | None) -> None:
        app.amqp.queues.select(include)
        app.amqp.queues.deselect(exclude)

    setup_queues(app, stock, include, exclude)
    assert list(app.amqp.queues.consume_from) == theirs
    bridge = bridge_of(app)
    assert (bridge.consumed if bridge else []) == ours


def test_a_queue_of_the_bridge_is_never_fetched_from_as_the_apps_are() -> None:
    app = an_installed()
    app.amqp.queues.select_add(ALL[0])
    bridge_of(app).take_queues()
    assert list(app.amqp.queues.consume_from) == ["celery"]
    assert list(bridge_of(app).app.amqp.queues.consume_from) == ALL


THEIRS = "bridge.theirs"


@pytest.mark.parametrize("include", [None, THEIRS, f"{THEIRS},{ALL[0]}"], ids=["no option", "-Q theirs", "-Q both"])
@pytest.mark.parametrize(
    "configuration",
    [
        {"task_default_queue": THEIRS, "task_routes": lambda *_, **__: None},
        {"task_default_queue": "mail", "task_queues": {THEIRS: {}}},
        {"task_default_queue": "mail", "task_queues": [Queue(THEIRS)]},
    ],
    ids=["default", "names", "queues"],
)
def test_a_queue_of_the_apps_stays_the_apps_whatever_it_is_called(
    configuration: dict[str, object], include: str | None
) -> None:
    app = a_team(**configuration)
    install(app, registry=REGISTRY, settings=SETTINGS)
    setup_queues(app, lambda include, _: app.amqp.queues.select(include), include)
    bridge = bridge_of(app)
    bridge.take_queues()
    assert list(app.amqp.queues.consume_from) == [THEIRS]
    assert bridge.consumed == (ALL if include is None else [ALL[0]] if ALL[0] in include else [])


@pytest.mark.parametrize(
    "configuration",
    [
        {"task_default_queue": ALL[0]},
        {"task_queues": {"mail": {}, ALL[0]: {}}},
        {"task_queues": [Queue("mail"), Queue(ALL[0])]},
        {"task_routes": {"mail.*": {"queue": ALL[0]}, "other": {"priority": 3}}},
        {"task_routes": [lambda *_, **__: None, {"mail.*": ALL[0]}]},
        {"task_routes": ([("mail.*", {"queue": Queue(ALL[0])})],)},
        {"task_routes": (("mail.*", {"queue": ALL[0]}),)},
    ],
    ids=["default", "names", "queues", "routes", "listed routes", "paired routes", "pairs"],
)
def test_a_queue_that_is_both_the_apps_and_the_registrys_is_refused(configuration: dict[str, object]) -> None:
    app = a_team(**configuration)
    install(app, registry=REGISTRY, settings=SETTINGS)
    with pytest.raises(SystemExit, match=rf"The app's own configuration .* names {ALL[0]}, which"):
        bridge_of(app)


def test_a_name_that_is_nobodys_is_looked_up_as_by_a_worker_of_the_bridge() -> None:
    app = an_installed()
    setup_queues(app, lambda *_: None, "bridge.once")
    assert bridge_of(app).consumed == ["bridge.once"]


def test_the_teams_environment_does_not_move_the_bridges_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:2/9")
    app = an_installed()
    ours = bridge_of(app).app
    assert app.connection_for_read().as_uri().endswith("127.0.0.1:2/9")
    for connection in (ours.connection_for_read(), ours.connection_for_write()):
        assert connection.as_uri().endswith("127.0.0.1:1/0")


def test_mistakes_are_a_sentence() -> None:
    with pytest.raises(SystemExit, match=r"names bridge\.impotrs: the registry has bridge\."):
        bridge_of(an_installed(queues=["bridge.impotrs"]))
    app = an_installed()
    name = REGISTRY.task_of(REGISTRY.mappings[0])
    app.task(name=name, shared=False)(test_mistakes_are_a_sentence)
    with pytest.raises(SystemExit, match=f"has a task {name} of its own"):
        bridge_of(app)


def test_what_differs_is_said_without_passwords() -> None:
    app = a_team(
        broker_transport_options={"visibility_timeout": 43_200}, accept_content=["pickle"], result_backend=None
    )
    app.conf.broker_url = "redis://team:secret@127.0.0.1:1/7"
    said = " ".join(differences(app, SETTINGS))
    for part in ("redis://team:**@127.0.0.1:1/7", "takes pickle", "43200 s is for the app's", "has none"):
        assert part in said
    assert "secret" not in said


def test_what_is_the_same_is_not_said() -> None:
    app = a_team(
        broker_transport_options={"visibility_timeout": SETTINGS.visibility_timeout_s}, result_backend="redis://"
    )
    app.conf.broker_url = "redis://localhost:1"
    assert not list(differences(app, SETTINGS))


def test_a_broker_without_an_event_loop_leaves_the_queues_to_others(caplog: pytest.LogCaptureFixture) -> None:
    from bridge.celery_runtime.installed import WorkerStep

    app = an_installed()
    app.conf.broker_url = "memory://"
    worker = SimpleNamespace(app=app, use_eventloop=False, pool_cls=object)
    assert not WorkerStep(worker).enabled
    assert "bridge.installed.idle: this worker's broker (memory)" in caplog.text
