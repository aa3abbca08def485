"""One live setting of each kind, which no app has."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from ops.setting_kinds import Duration, Exact, Setting, Structure, Switch, Text, Whole

WHOLE = Whole(key="probe.whole", default=5, least=-1, most=10, group="Probes", label="Whole")
EXACT = Exact(
    key="probe.exact",
    default=Decimal("1.50"),
    least=Decimal(0),
    most=Decimal(10),
    group="Probes",
    label="Exact",
    is_public=True,
)
SWITCH = Switch(key="probe.switch", default=False, group="Probes", label="Switch")
DURATION = Duration(
    key="probe.duration",
    default=timedelta(minutes=5),
    least=timedelta(seconds=1),
    most=timedelta(days=2),
    group="Probes",
    label="Duration",
    is_public=True,
)
TEXT = Text(key="probe.text", default="Hello", longest=10, group="Probes", label="Text")
CHOICE = Text(
    key="probe.choice", default="red", choices=["red", "blue"], group="Probes", label="Choice"
)
LIKE = Text(
    key="probe.like",
    default="AB-1",
    pattern="[A-Z]{2}-[0-9]",
    example="AB-1",
    group="Probes",
    label="Like",
)
STRUCTURE = Structure(
    key="probe.structure",
    default={"hours": [9, 18]},
    json_schema={
        "type": "object",
        "required": ["hours"],
        "additionalProperties": False,
        "properties": {
            "hours": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
            "name": {"type": "string"},
            "weight": {"type": "number"},
        },
    },
    group="Probes",
    label="Structure",
)
PROBES = (WHOLE, EXACT, SWITCH, DURATION, TEXT, CHOICE, LIKE, STRUCTURE)

# What each takes: as people write it, its value, and how it is stored.
GOOD: list[tuple[Setting[Any], str, Any, Any]] = [
    (WHOLE, "-1", -1, -1),
    (WHOLE, " 10 ", 10, 10),
    (WHOLE, "+7", 7, 7),
    (EXACT, "0", Decimal(0), "0.00"),
    (EXACT, "9.99", Decimal("9.99"), "9.99"),
    (EXACT, "10.00", Decimal(10), "10.00"),
    (SWITCH, "on", True, True),
    (SWITCH, "FALSE", False, False),
    (SWITCH, "yes", True, True),
    (SWITCH, "0", False, False),
    (DURATION, "90", timedelta(seconds=90), 90),
    (DURATION, "45s", timedelta(seconds=45), 45),
    (DURATION, "1h30m", timedelta(minutes=90), 5400),
    (DURATION, "2d", timedelta(days=2), 172_800),
    (TEXT, "", "", ""),
    (TEXT, "你好", "你好", "你好"),
    (CHOICE, "blue", "blue", "blue"),
    (LIKE, "ZZ-9", "ZZ-9", "ZZ-9"),
    (STRUCTURE, '{"hours": []}', {"hours": []}, {"hours": []}),
    (
        STRUCTURE,
        '{"hours": [1], "name": "早", "weight": 0.5}',
        {"hours": [1], "name": "早", "weight": 0.5},
        {"hours": [1], "name": "早", "weight": 0.5},
    ),
]

# What none of them takes, and a piece of the reason.
NO_NUMBER, NO_DECIMAL = "Write a whole number.", "Write a number, such as 1.5."
NO_SWITCH, NO_DURATION = "Write on or off.", "Write how long: 45s"
NOT_KEPT, NO_JSON = "cannot be kept", "This is no JSON"
BAD: list[tuple[Setting[Any], str, str]] = [
    (WHOLE, "", NO_NUMBER),
    (WHOLE, "five", NO_NUMBER),
    (WHOLE, "1.0", NO_NUMBER),
    (WHOLE, "1e1", NO_NUMBER),
    (WHOLE, "0x5", NO_NUMBER),
    (WHOLE, "1_0", NO_NUMBER),
    (WHOLE, "１", NO_NUMBER),
    (WHOLE, "--1", NO_NUMBER),
    (WHOLE, "1 0", NO_NUMBER),
    (WHOLE, "true", NO_NUMBER),
    (WHOLE, "9" * 50, NO_NUMBER),
    (WHOLE, "-2", "It goes from -1 to 10."),
    (WHOLE, "11", "It goes from -1 to 10."),
    (WHOLE, "99999999999999999999", "It goes from -1 to 10."),
    (EXACT, "", NO_DECIMAL),
    (EXACT, "much", NO_DECIMAL),
    (EXACT, "1,5", NO_DECIMAL),
    (EXACT, "NaN", NO_DECIMAL),
    (EXACT, "Infinity", NO_DECIMAL),
    (EXACT, "1e1", NO_DECIMAL),
    (EXACT, "1.", NO_DECIMAL),
    (EXACT, "-0.01", "It goes from 0 to 10."),
    (EXACT, "10.01", "It goes from 0 to 10."),
    (EXACT, "1.555", "At most 2 decimal places."),
    (SWITCH, "", NO_SWITCH),
    (SWITCH, "maybe", NO_SWITCH),
    (SWITCH, "2", NO_SWITCH),
    (SWITCH, "onn", NO_SWITCH),
    (SWITCH, "null", NO_SWITCH),
    (DURATION, "", NO_DURATION),
    (DURATION, "soon", NO_DURATION),
    (DURATION, "-5m", NO_DURATION),
    (DURATION, "5w", NO_DURATION),
    (DURATION, "1.5h", NO_DURATION),
    (DURATION, "5m5h", NO_DURATION),
    (DURATION, "999999999d999999999h", NO_DURATION),
    (DURATION, "999999999d", "It goes from 1s to 2d."),
    (DURATION, "0s", "It goes from 1s to 2d."),
    (DURATION, "2d1s", "It goes from 1s to 2d."),
    (TEXT, "01234567890", "At most 10 characters."),
    (TEXT, "a\0b", NOT_KEPT),
    (CHOICE, "", "Choose one of: red, blue."),
    (CHOICE, "Red", "Choose one of: red, blue."),
    (CHOICE, "green", "Choose one of: red, blue."),
    (LIKE, "AB-12", "Write it like this: AB-1."),
    (LIKE, "ab-1", "Write it like this: AB-1."),
    (LIKE, "AB-1\n", "Write it like this: AB-1."),
    (STRUCTURE, "", NO_JSON),
    (STRUCTURE, "{hours}", NO_JSON),
    (STRUCTURE, "null", "null is nothing"),
    (STRUCTURE, "[]", "$ does not fit"),
    (STRUCTURE, "{}", "'hours' is a required property"),
    (STRUCTURE, '{"hours": [1, 2, 3]}', "$.hours does not fit"),
    (STRUCTURE, '{"hours": ["nine"]}', "$.hours[0] does not fit"),
    (STRUCTURE, '{"hours": [], "more": 1}', "$ does not fit"),
    (STRUCTURE, '{"hours": [], "name": 7}', "$.name does not fit"),
    (STRUCTURE, '{"hours": [], "weight": NaN}', NOT_KEPT),
    (STRUCTURE, '{"hours": [], "weight": 1e999}', NOT_KEPT),
    (STRUCTURE, '{"hours": [99999999999999999999]}', NOT_KEPT),
    (STRUCTURE, '{"hours": [], "name": "\\u0000"}', NOT_KEPT),
    (STRUCTURE, '{"hours": [], "name": "\\ud800"}', NOT_KEPT),
    (STRUCTURE, '{"hours": [], "name": "%s"}' % ("x" * 20_000), "At most 20000 characters."),
    (STRUCTURE, "[" * 100_000, NO_JSON),
]
NAMES_OF_BAD = [f"{setting.key} {text[:30]!a}" for setting, text, _why in BAD]
# What is stored by another version, and is none of these values.
STORED_WRONG: list[tuple[Setting[Any], Any]] = [
    (WHOLE, "5"),
    (WHOLE, True),
    (WHOLE, 5.0),
    (WHOLE, 11),
    (EXACT, 1.5),
    (EXACT, "NaN"),
    (EXACT, "one"),
    (SWITCH, 1),
    (DURATION, "5m"),
    (DURATION, 1.5),
    (DURATION, True),
    (DURATION, 10**15),
    (DURATION, 0),
    (TEXT, 5),
    (CHOICE, "green"),
    (STRUCTURE, [1]),
]
