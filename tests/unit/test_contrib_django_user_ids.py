"""Whether a catalog can name Django's users: by the type of the primary key, wherever that is inherited from."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import models

from bridge import Settings
from bridge.contrib.django import checks
from bridge.model.registry import IdType


def told(monkeypatch: pytest.MonkeyPatch, key: Any, user_id: type, registry: str = "shop:registry") -> list[Any]:
    catalog: Any = SimpleNamespace(users=IdType.of(user_id))
    model = SimpleNamespace(_meta=SimpleNamespace(pk=key, label="shop.User"))
    monkeypatch.setattr(checks, "get_user_model", lambda: model)
    return list(checks._check_user_id(catalog, Settings(registry=registry)))


def inherited(key: Any) -> Any:
    return SimpleNamespace(remote_field=True, target_field=SimpleNamespace(remote_field=True, target_field=key))


@pytest.mark.parametrize(
    ("key", "fitting", "unfit"),
    [
        (models.BigAutoField(primary_key=True), int, UUID),
        (models.PositiveIntegerField(primary_key=True), int, UUID),
        (models.UUIDField(primary_key=True), UUID, int),
        (models.CharField(primary_key=True, max_length=5), str, int),
        (inherited(models.AutoField(primary_key=True)), int, UUID),
    ],
)
def test_a_key_of_another_type_than_the_catalog_s_users_is_an_error(
    monkeypatch: pytest.MonkeyPatch, key: Any, fitting: type, unfit: type
) -> None:
    assert told(monkeypatch, key, fitting) == []
    assert told(monkeypatch, key, str) == [], "any key can be written as text"
    (error,) = told(monkeypatch, key, unfit)
    assert (error.id, error.hint) == ("bridge.E003", f"Give the Registry, or catalog_of, user_id={fitting.__name__}.")


def test_without_a_catalog_of_one_s_own_it_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = told(monkeypatch, models.AutoField(primary_key=True), UUID, registry="")
    assert warning.id == "bridge.W003"
    assert warning.is_serious() is False
