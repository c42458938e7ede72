"""The generated pages docs/events.md and docs/settings.md, and the plain values behind them. Pure text, no I/O."""

from typing import Any

import msgspec
from msgspec import inspect

from bridge.model.registry import (
    Audience,
    DomainToSSEMapping,
    DropAfter,
    Registry,
    SSEEventMetadata,
    Staleness,
    Supersede,
)
from bridge.model.registry.sampling import CannotSampleError, sample_event
from bridge.settings import DECLARATIONS, PROCESSES, Declaration, Settings, environment_name, readers_of

# The registry


def describe_registry(registry: Registry) -> dict[str, Any]:
    """Everything about a registry as JSON values: ``user_id``, ``topics``, ``events``, ``gaps`` and ``statistics``."""
    return {
        "user_id": registry.users.kind.__name__.lower(),
        "topics": {topic.name: topic.kind.__name__.lower() for topic in registry.topics},
        "events": [_describe_event(registry, meta) for meta in registry.events],
        "gaps": [meta.event_type.value for meta in registry.gaps()],
        "statistics": registry.statistics(),
    }


def _describe_event(registry: Registry, meta: SSEEventMetadata) -> dict[str, Any]:
    return {
        "type": meta.event_type.value,
        "category": meta.category.value,
        "description": meta.description,
        "payload_fields": list(meta.payload_fields),
        "mappings": [
            {
                "domain_event": row.domain_event_class.__name__,
                "task": registry.task_of(row),
                "queue": registry.queue_of(row),
                "audience": row.audience_words,
                "staleness": _staleness(row.staleness),
                "renames": find_renames(row),
            }
            for row in registry.mappings
            if row.sse_event_type == meta.event_type
        ],
    }


def _staleness(rule: Staleness | None) -> str:
    """What a redrive does with an old event, in words."""
    match rule:
        case None:
            return "replay"  # as the JSON has always said
        case DropAfter():
            return f"drop after {rule.after_s:g} s"
        case Supersede():
            return f"supersede by {rule.key if isinstance(rule.key, str) else 'a function of the payload'}"


def event_fields(event_class: type[Any]) -> dict[str, bool]:
    """The JSON fields of a domain event class, in order: name → whether it must be given."""
    info = inspect.type_info(event_class)
    if not isinstance(info, inspect.DataclassType | inspect.StructType):
        return {}
    return {field.encode_name: field.required for field in info.fields}


def find_renames(mapping: DomainToSSEMapping) -> dict[str, str]:
    """Payload key → field of the domain event, where they differ.

    Found by extracting from a sample in which every value is its own, so a value names its field. A payload
    key that is computed from several fields is left out.
    """
    try:
        sample = msgspec.to_builtins(sample_event(mapping.domain_event_class))
    except CannotSampleError:
        return {}
    own = set(sample) - {"event_id", "occurred_at", "user_id"}
    renames: dict[str, str] = {}
    for name in sorted(own):
        changed = _keys_that_follow(mapping, sample, name)
        if len(changed) == 1 and changed[0] != name:
            renames[changed[0]] = name
    return renames


def _keys_that_follow(mapping: DomainToSSEMapping, sample: dict[str, Any], name: str) -> list[str]:
    """Payload keys whose value changes when one field of the event does."""
    other = _another_value(sample[name])
    try:
        before, after = (
            mapping.payload_extractor(msgspec.convert(fields, mapping.domain_event_class))
            for fields in (sample, {**sample, name: other})
        )
    except Exception:  # an extractor is foreign code; a page without this detail is still a page
        return []
    return [key for key in before if before[key] != after.get(key)]


def _another_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str) and len(value) == 36 and value.count("-") == 4:
        return "01890a5d-ac96-774b-bcce-b302099a8058"
    if isinstance(value, str):
        return "56.78" if value.replace(".", "", 1).isdigit() else value[:-1] + "_"
    return value


def events_page(registry: Registry) -> str:
    """The text of docs/events.md."""
    counts = registry.statistics()
    lines = [
        "# Events",
        "",
        "<!-- Generated: sse-bridge registry --format markdown > docs/events.md -->",
        "",
        f"{counts['total_event_types']} event types in {len(counts['by_category'])} categories, "
        f"{counts['total_mappings']} mappings. A client filters by category "
        "(`GET /api/v1/events?categories=a,b`); each category has a queue of its own on the broker. "
        f"Users are called by {registry.users.plural}.",
        "",
        *_topics(registry),
        "In `renames`, `payload key ← field` says where a payload key has another name than the domain event's field.",
        "",
    ]
    for category in registry.categories:
        lines += _category_section(registry, category.value, registry.in_category(category))
    lines += ["## Types without a mapping", ""]
    gaps = registry.gaps()
    lines += [f"- `{meta.event_type.value}`" for meta in gaps] or ["None: every type has a mapping."]
    return "\n".join(lines) + "\n"


def _topics(registry: Registry) -> list[str]:
    names = [f"`{topic.name}:<{topic.kind.__name__.lower()}>`" for topic in registry.topics]
    return [f"Declared topics, to which nothing is published yet: {', '.join(names)}.", ""] if names else []


def _category_section(registry: Registry, category: str, events: list[SSEEventMetadata]) -> list[str]:
    lines = [
        f"## {category}",
        "",
        f"Queue `bridge.{category}`.",
        "",
        "| Type | When | Payload | Domain event | Renames |",
        "|---|---|---|---|---|",
    ]
    for meta in events:
        sources = _describe_event(registry, meta)["mappings"]
        lines.append(
            "| "
            + " | ".join(
                [
                    f"`{meta.event_type.value}`",
                    _cell(meta.description),
                    ", ".join(f"`{field}`" for field in meta.payload_fields) or "-",
                    "<br>".join(_source(source) for source in sources) or "-",
                    "<br>".join(
                        f"`{key}` ← `{field}`" for source in sources for key, field in source["renames"].items()
                    )
                    or "-",
                ]
            )
            + " |"
        )
    return [*lines, ""]


def _source(source: dict[str, Any]) -> str:
    told = {Audience.BROADCAST: " (to everybody)", "addresses": " (to the addresses that it names)"}
    return f"`{source['domain_event']}`{told.get(source['audience'], '')}"


# The settings


def describe_settings(settings: Settings) -> list[dict[str, Any]]:
    """Every setting as JSON values; secrets and passwords masked."""
    return [
        {
            "name": environment_name(name),
            "value": declared.shown(getattr(settings, name)),
            "default": declared.default,
            "unit": next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), ""),
            "range": _range(declared),
            "read_by": _read_by(name),
            "reason": declared.about,
        }
        for name, declared in DECLARATIONS.items()
    ]


def _read_by(name: str) -> list[str]:
    readers = readers_of(name)
    return ["all"] if len(readers) == len(PROCESSES) else [process for process in PROCESSES if process in readers]


def settings_page() -> str:
    """The text of docs/settings.md."""
    *most, last = (f"`{environment_name(name)}`" for name, declared in DECLARATIONS.items() if declared.critical)
    lines = [
        "# Settings",
        "",
        "<!-- Generated: sse-bridge settings --format markdown > docs/settings.md -->",
        "",
        "All settings are environment variables, and all have a default; only the gateway wants one of "
        "`BRIDGE_JWT_SECRET`, `BRIDGE_JWT_JWKS_URL`, `BRIDGE_GATEWAY_AUTHENTICATOR` and `BRIDGE_GATEWAY_DEV`, or an "
        "authenticator that it is given in code. A process checks those that it reads "
        "when it starts, and reports every fault at once; a wrong value of a setting that only others read is a "
        "warning there. `sse-bridge settings` shows the values in force, `sse-bridge check --for worker` judges as a "
        "worker does.",
        "",
        "Of a `BRIDGE_*` name that is not in this table:",
        "",
        "- What Kubernetes, Docker or Podman inject for a service called `bridge-…` (`BRIDGE_GATEWAY_PORT=tcp://…`, "
        "`…_SERVICE_HOST`, …) is known by the form of name and value together, and left alone.",
        f"- One that is probably a mistyped {', '.join(most)} or {last} stops processes that read it: events would go "
        "elsewhere, or to the wrong clients.",
        "- Any other is a warning, with the nearest name: a newer version's, a team's own, or a mistake.",
        "",
        "| Variable | Default | Unit | Range | Read by | What it is for |",
        "|---|---|---|---|---|---|",
    ]
    for row in describe_settings(Settings()):
        cells = (row["unit"], _cell(row["range"]), ", ".join(row["read_by"]) or "-")
        default = f"`{shown_default(row['default'])}`" if row["default"] != "" else "empty"
        lines.append(
            f"| `{row['name']}` | {default} | {' | '.join(cell or '-' for cell in cells)} | {_cell(row['reason'])} |"
        )
    return "\n".join(lines) + "\n"


def shown_default(value: Any) -> str:
    """A default as one would write it in the environment."""
    return (
        str(int(value)) if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()) else str(value)
    )


_UNITS = {"_s": "seconds", "_bytes": "bytes", "_url": "URL", "_attempts": "tries", "_port": "TCP port"}


def _range(declared: Declaration) -> str:
    if declared.between:
        return "{:,} to {:,}".format(*declared.between)
    if declared.form:
        return declared.form.words
    if declared.chars and declared.chars[1]:
        return f"at most {declared.chars[1]} characters"
    return "0 or 1" if isinstance(declared.default, bool) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
