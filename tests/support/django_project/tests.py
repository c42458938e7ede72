"""What a team's own tests see of ``emit_on_commit``; run by ``django test``, without pytest."""

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from uuid import uuid4

from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from bridge.contrib.django import aemit_on_commit, emit_on_commit
from bridge.contrib.django.database import DjangoDatabase
from bridge.contrib.django.models import OutboxEvent
from bridge.testing import capture, memory_bridge
from tests.support.producers import event
from tests.support.waiting import wait_until


def drains() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("bridge-")]


def fail_to_pay(number: int) -> None:
    try:
        with transaction.atomic():
            emit_on_commit(event(number))
            raise LookupError
    except LookupError:
        pass


class Seen:
    """The same in a test that commits, and in one that does not."""

    def test_what_is_committed_is_seen_and_what_is_rolled_back_is_not(self) -> None:
        with capture() as emitted:
            with transaction.atomic():
                self.assertTrue(emit_on_commit(event(1)))
                fail_to_pay(2)
                self.assertEqual([one.transaction_count for one in emitted], [1])
            fail_to_pay(3)
            with transaction.atomic(), transaction.atomic():
                emit_on_commit(event(4))
            emit_on_commit(event(5))
            self.assertFalse(emit_on_commit(object()))
        self.assertEqual([one.transaction_count for one in emitted], [1, 4, 5])
        self.assertEqual(len(emitted.refused), 1)
        self.assertEqual(OutboxEvent.objects.count(), 0)

    def test_a_bridge_in_memory_sends_what_was_not_rolled_back(self) -> None:
        told = event(1)
        with memory_bridge() as bridge:
            stream = bridge.connect(told.user_id)
            with transaction.atomic():
                self.assertTrue(emit_on_commit(told))
                fail_to_pay(2)
            self.assertEqual(stream.next().id, str(told.event_id))
            bridge.all_published()
        self.assertEqual(OutboxEvent.objects.count(), 0)

    async def test_a_coroutine_s_event_is_seen(self) -> None:
        with capture() as emitted:
            await aemit_on_commit(event(1))
        self.assertEqual(len(emitted), 1)

    def test_without_capture_there_are_rows_that_nobody_sends(self) -> None:
        with transaction.atomic():
            emit_on_commit(event(1))
            self.assertEqual(transaction.get_connection().run_on_commit, [])
        self.assertEqual(self.client.get("/pay").content, b"True")
        self.assertEqual([row.task for row in OutboxEvent.objects.all()], ["bridge.FileImportSucceeded"] * 2)
        self.assertEqual(drains(), [])
        self.assertIn("memorydb_default", DjangoDatabase("default").name)  # if a test drains it itself


class InTestCase(Seen, TestCase):
    def test_callbacks_that_are_run_show_nothing_twice(self) -> None:
        with capture() as emitted, self.captureOnCommitCallbacks(execute=True), transaction.atomic():
            emit_on_commit(event(1))
        self.assertEqual(len(emitted), 1)


class InTransactionTestCase(Seen, TransactionTestCase):
    def test_a_sign_out_ends_streams_of_a_bridge_under_test_and_no_others(self) -> None:
        user = uuid4()
        for around in (nullcontext, capture):
            with around():
                user_logged_out.send(sender=None, request=None, user=SimpleNamespace(pk=user))
        self.assertEqual(drains(), [])
        with memory_bridge() as bridge:
            mine, other = bridge.connect(user), bridge.connect(uuid4())
            user_logged_out.send(sender=None, request=None, user=SimpleNamespace(pk=user))
            wait_until(lambda: mine.ended, what="the stream of who signed out ends")
            self.assertFalse(other.ended)
        wait_until(lambda: not drains(), what="the thread that tells ends")


class Several:
    """With a transaction of the test's own around each database, and without any."""

    databases = frozenset({"default", "orders"})

    def test_only_a_transaction_of_the_application_s_is_another_s(self) -> None:
        self.assertTrue(emit_on_commit(event(1)))
        with transaction.atomic(using="orders"):
            with self.assertRaisesRegex(transaction.TransactionManagementError, "using='orders'"):
                emit_on_commit(event(2))
            self.assertTrue(emit_on_commit(event(3), "orders"))
        with transaction.atomic():
            self.assertTrue(emit_on_commit(event(4)))
        found = [OutboxEvent.objects.using(alias).count() for alias in ("default", "orders")]
        self.assertEqual(found, [2, 1])


class SeveralInTestCase(Several, TestCase):
    pass


class SeveralInTransactionTestCase(Several, TransactionTestCase):
    pass


class WithoutDatabase(SimpleTestCase):
    def test_an_event_is_seen_without_any_connection(self) -> None:
        with capture() as emitted:
            self.assertTrue(emit_on_commit(event(1)))
        self.assertEqual(len(emitted), 1)
