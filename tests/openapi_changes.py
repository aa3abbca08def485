"""Says how an operation of the API changed other than by addition.

    python -m tests.openapi_changes

compares docs/openapi.yaml with every version of it that the history has, and that of origin/main,
and fails naming each change that a client in the field could trip over. Not with the commit before
alone: of several commits that come at once, only the last would be looked at.

What a request may hold may only grow: a client sends what it always sent. What an answer holds may
gain members, statuses and codes, and may lose none. Words and examples may change.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILE = "docs/openapi.yaml"
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")

type Schema = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Where we are: the two documents, which way the data goes, and the way down to here."""

    old: Schema
    new: Schema
    of: Literal["request", "answer"] = "request"
    path: str = ""
    seen: frozenset[tuple[str, str]] = frozenset()

    def at(self, name: str, **facts: Any) -> "Comparison":
        return replace(self, path=f"{self.path} {name}".strip(), **facts)

    # --- Operations -------------------------------------------------------------------------------
    def operations(self) -> Iterator[str]:
        """What changed in any operation."""
        for path, methods in self.old["paths"].items():
            for method in METHODS & set(methods):
                here = self.at(f"{method.upper()} {path}:")
                now = self.new["paths"].get(path, {}).get(method)
                if now is None:
                    yield f"{here.path} is gone"
                else:
                    yield from here.operation(methods[method], now)

    def operation(self, old: Schema, new: Schema) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{self.path} is called {new['operationId']}, was {old['operationId']}"
        if not all(way in new["security"] for way in old["security"]) or (
            not old["security"] and new["security"] and {} not in new["security"]
        ):
            yield f"{self.path} asks for another way to sign in"
        yield from self.parameters(old.get("parameters", []), new.get("parameters", []))
        yield from self.at("body").body(old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            here = self.at(f"answer {status}", of="answer")
            if status not in new["responses"]:
                yield f"{here.path} is gone"
                continue
            was, now = here.found(answer, self.old), here.found(new["responses"][status], self.new)
            for header in set(was.get("headers", {})) - set(now.get("headers", {})):
                yield f"{here.path} has lost the header {header}"
            yield from here.contents(was.get("content", {}), now.get("content", {}))

    def parameters(self, old: list[Schema], new: list[Schema]) -> Iterator[str]:
        was = {(one["in"], one["name"]): one for one in (self.found(p, self.old) for p in old)}
        now = {(one["in"], one["name"]): one for one in (self.found(p, self.new) for p in new)}
        for key in sorted({*was, *now}):
            here = self.at(f"parameter {key[1]}")
            if key not in now:
                yield f"{here.path} is gone"
            elif now[key].get("required") and not was.get(key, {}).get("required"):
                yield f"{here.path} has to be sent"
            elif key in was:
                yield from here.schema(was[key]["schema"], now[key]["schema"])

    def body(self, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if old and not new:
            yield f"{self.path} is taken no more"
        if new and new.get("required") and not (old or {}).get("required"):
            yield f"{self.path} has to be sent"
        if old and new:
            yield from self.contents(old["content"], new["content"])

    def contents(self, old: Schema, new: Schema) -> Iterator[str]:
        for media_type, content in old.items():
            if media_type not in new:
                yield f"{self.path} is {media_type} no more"
            else:
                yield from self.schema(content["schema"], new[media_type]["schema"])

    # --- Schemas ----------------------------------------------------------------------------------
    def found(self, said: Schema, document: Schema) -> Schema:
        """What a reference of this document refers to."""
        while "$ref" in said:
            found = document
            for word in said["$ref"].removeprefix("#/").split("/"):
                found = found[word]
            said = found
        if len(said.get("allOf", ())) == 1:
            return {**said, **self.found(said["allOf"][0], document), "allOf": []}
        return said

    def schema(self, old: Schema, new: Schema) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair) and pair in self.seen:
            return
        here = replace(self, seen=self.seen | {pair})
        was, now = self.found(old, self.old), self.found(new, self.new)
        if "oneOf" in was or "oneOf" in now:
            yield from here.alternatives(old, new)
            return
        yield from here.kind(was, now)
        yield from here.limits(was, now)
        yield from here.properties(was, now)
        if "items" in was:
            yield from here.at("[]").schema(was["items"], now.get("items", {}))
        if isinstance(was.get("additionalProperties"), dict):
            rest = now.get("additionalProperties")
            yield from here.at("{}").schema(
                was["additionalProperties"], rest if isinstance(rest, dict) else {}
            )

    def alternatives(self, old: Schema, new: Schema) -> Iterator[str]:
        """Each alternative there was is still one, under its name or alike."""
        was = self.found(old, self.old).get("oneOf", [old])
        now = self.found(new, self.new).get("oneOf", [new])
        for one in was:
            alike = [other for other in now if other.get("$ref") == one.get("$ref")]
            if not alike:
                yield f"{self.path} is no more one of {one.get('$ref', one)}"
            elif not any(not list(self.schema(one, other)) for other in alike):
                yield from self.schema(one, alike[0])
        if self.of == "answer":
            before, after = ({str(one) for one in some if "$ref" not in one} for some in (was, now))
            if "{'type': 'null'}" in after - before:
                yield f"{self.path} may be null"

    def kind(self, was: Schema, now: Schema) -> Iterator[str]:
        before, after = _types(was), _types(now)
        grows, shrinks = before <= after, after <= before
        if not (grows if self.of == "request" else shrinks):
            yield f"{self.path} is {sorted(after)}, was {sorted(before)}"
        if lost := _values(was) - _values(now):
            if _values(now) or self.of == "answer":
                yield f"{self.path} has lost {', '.join(sorted(lost))}"
        elif self.of == "request" and _values(now) and not _values(was):
            yield f"{self.path} takes only {', '.join(sorted(_values(now)))}"
        for word in ("format", "pattern"):
            free = now if self.of == "request" else was
            if word in free and was.get(word) != now.get(word):
                yield f"{self.path} has the {word} {now.get(word)}, had {was.get(word)}"

    def limits(self, was: Schema, now: Schema) -> Iterator[str]:
        narrow, wide = (now, was) if self.of == "request" else (was, now)
        for word in (*LEAST, *MOST):
            if word not in narrow:
                continue
            outer = wide.get(word)
            is_wider = outer is None or (
                outer < narrow[word] if word in LEAST else outer > narrow[word]
            )
            if is_wider:
                yield f"{self.path} has the {word} {now.get(word)}, had {was.get(word)}"

    def properties(self, was: Schema, now: Schema) -> Iterator[str]:
        before, after = was.get("properties", {}), now.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{self.path} has lost {name}"
            else:
                yield from self.at(f".{name}").schema(before[name], after[name])
        needed, needed_now = set(was.get("required", ())), set(now.get("required", ()))
        if self.of == "request":
            for name in sorted(needed_now - needed):
                yield f"{self.path} has to hold {name}"
        else:
            for name in sorted((needed - needed_now) & set(after)):
                yield f"{self.path} may be without {name}"


def _types(schema: Schema) -> set[str]:
    said = schema.get("type", [])
    return {said} if isinstance(said, str) else set(said)


def _values(schema: Schema) -> set[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return {str(value) for value in values}


def changes(old: Schema, new: Schema) -> list[str]:
    """Every change of an operation that is no addition, as sentences."""
    return sorted(set(Comparison(old, new).operations()))


# --- By hand --------------------------------------------------------------------------------------
def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def earlier(root: Path = ROOT) -> dict[str, str]:
    """The documents of earlier commits, each version once: its text, and a commit that has it."""
    commits = (_git(root, "log", "--format=%h", "origin/main", "--", FILE) or "").split()
    commits += (_git(root, "log", "--format=%h", "--", FILE) or "").split()
    texts = {_git(root, "show", f"{commit}:{FILE}"): commit for commit in commits}
    return {text: commit for text, commit in texts.items() if text is not None}


def main(root: Path = ROOT) -> None:
    new_text = (root / FILE).read_text(encoding="utf-8")
    new = yaml.safe_load(new_text)
    for text, commit in earlier(root).items():
        if text != new_text and (changed := changes(yaml.safe_load(text), new)):
            sys.exit(
                f"Since {commit} the API changed other than by addition; clients in the field call "
                "it as it was:\n" + "\n".join(f"  {one}" for one in changed)
            )


if __name__ == "__main__":
    main()
