"""Objects as YAML, for people and `kubectl apply`. Values of Secrets are left out unless asked for.

A Secret without its values is applied over one that has them without harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

_VALUES = ("data", "stringData")


def manifest(objects: Iterable[Any], *, namespace: str | None, secrets: bool) -> str:
    """Return objects as YAML documents, in their order, each with its namespace.

    `secrets`: with the values of Secrets.
    """
    documents = [_document(each, namespace, secrets=secrets) for each in objects]
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, explicit_start=True))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Quotes text that kubectl's parser takes for a number or a switch, and PyYAML does not.

    Such as `1e3` and `y`, which a job may well be named.
    """

    def ignore_aliases(self, data: object) -> bool:
        """Write a value that stands in two places twice."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> Any:
    is_plain = len(text) > 1 and (text[0].isalpha() or text[0] == "/")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def _document(wanted: Any, namespace: str | None, *, secrets: bool) -> dict[str, Any]:
    read = wanted.to_dict()
    document: dict[str, Any] = {"apiVersion": read.pop("apiVersion"), "kind": read.pop("kind")}
    about = dict(read.pop("metadata"))
    if namespace is not None and document["kind"] != "Namespace":
        about = {"name": about.pop("name"), "namespace": namespace, **about}
    document["metadata"] = about
    document |= {key: read[key] for key in sorted(read)}
    if document["kind"] == "Secret" and not secrets:
        for key in _VALUES:
            document.pop(key, None)
    return document
