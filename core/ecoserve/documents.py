"""Files that people write, JSON or YAML, as plain objects: read whole, or refused with one sentence.

What parsers let pass is refused here, as it hides mistakes: a key that stands twice in an object (the last one
would win silently). What would harm the reader is refused before it is parsed: nesting that overflows a
parser's stack, and files so large that parsing them would take minutes.
"""

import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ecoserve.errors import InvalidInputError

_MOST_BYTES = 256 * 2**20
_MOST_YAML_BYTES = 8 * 2**20
"""YAML takes two seconds per megabyte, JSON a fiftieth of that."""
_DEEPEST = 100

_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What PyYAML raises on bad text: its constructors of numbers, dates and booleans let Python's own errors through."""


class _DuplicateKeyError(Exception):
    """A key stands twice in one object."""


class _TooDeepError(Exception):
    """Objects stand within objects further than anything of ours does."""


def read_documents(path: Path) -> list[object]:
    """Return the documents of a file, empty ones left out; raises InvalidInputError with one sentence."""
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [json.loads(text, object_pairs_hook=_once)]  # far faster than YAML on large files
        except _DuplicateKeyError as error:
            raise _refused(path, str(error)) from None
        except RecursionError:
            raise _refused(path, _too_deep()) from None
        except ValueError:
            pass  # YAML's flow style opens with a brace, too, and its parser tells the line of an error
    if len(text) > _MOST_YAML_BYTES:
        raise _refused(path, f"YAML of more than {_MOST_YAML_BYTES >> 20} MiB must be valid JSON instead")
    try:
        _check_depth(text)
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (_DuplicateKeyError, _TooDeepError) as error:
        raise _refused(path, str(error)) from None
    except _YAML_ERRORS as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place is not None else ""
        raise _refused(path, f"it must be valid JSON or YAML{where}") from None


def read_document(path: Path, what: str) -> object:
    """Return the only document of a file; `what` is what it should hold. Raises InvalidInputError."""
    documents = read_documents(path)
    if len(documents) != 1:
        count = "nothing" if not documents else f"{len(documents)} documents"
        raise _refused(path, f"{what} is one document, and there is {count} in it")
    return documents[0]


def read_text(path: Path, kind: str = "JSON or YAML") -> str:
    """Return the text of a file; `kind` is what it should be. Raises InvalidInputError with one sentence."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(path, f"a readable {kind} file is needed ({reason})") from None
    if len(content) > _MOST_BYTES:
        raise _refused(path, f"a file of at most {_MOST_BYTES >> 20} MiB is needed")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused(path, f"a readable {kind} file is needed (it is not UTF-8 text)") from None


def _refused(path: Path, accepted: str) -> InvalidInputError:
    return InvalidInputError("file", str(path), accepted)


def _too_deep() -> str:
    return f"objects in it may stand within one another {_DEEPEST} deep at most"


def _check_depth(text: str) -> None:
    """Walk the parser's events, which takes no stack: composing an object of great depth would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise _TooDeepError(_too_deep())
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        _raise_for_duplicate(iter(key for key, _ in pairs), "")
    return made


def _raise_for_duplicate(keys: Iterator[Hashable], where: str) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise _DuplicateKeyError(f"the key {str(key)[:80]!r} stands twice in one object{where}")
        seen.add(key)


class _Loader(yaml.CSafeLoader):
    """PyYAML's safe loader, which refuses keys that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        _raise_for_duplicate(keys, f" (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)
