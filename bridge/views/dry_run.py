"""``DryRun``: what a redrive would do, summed up over its predictions, in bounded memory."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bridge.operations import Prediction
from bridge.views.words import failure_in_words

SHOWN_MAX = 20
NOTES_COUNTED_MAX = 1000


@dataclass(kw_only=True, slots=True)
class DryRun:
    """What a redrive would do."""

    looked_at: int = 0  # letters
    complete: bool = True  # whether those are all that match
    counts: Counter[str] = field(default_factory=Counter)  # by what is expected of them
    # Letters that were published and would say otherwise today, up to SHOWN_MAX: field → both values
    changes: list[tuple[str, dict[str, tuple[Any, Any]]]] = field(default_factory=list)
    doubts: tuple[str, ...] = ()  # workers whose code is not that of this process
    _notes: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> list[tuple[str, int]]:
        """Why letters would fail or be left out, and how often; most first, up to SHOWN_MAX."""
        return self._notes.most_common(SHOWN_MAX)

    def add(self, prediction: Prediction) -> None:
        """Count one letter."""
        self.looked_at += 1
        self.counts[prediction.expected.value] += 1
        note = failure_in_words(prediction.failure) if prediction.failure else prediction.note
        if note and (note in self._notes or len(self._notes) < NOTES_COUNTED_MAX):
            self._notes[note] += 1
        if prediction.changes and len(self.changes) < SHOWN_MAX:
            self.changes.append((prediction.letter_id, prediction.changes))
