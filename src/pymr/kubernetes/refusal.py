"""What the API server refuses, in words: what was asked for, why not, what to type next.

What a policy says (quota, Pod Security, a webhook) is for people, and is repeated as it is.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, Final, NamedTuple

import httpx2
import msgspec
from lightkube.core.exceptions import ApiError
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from pymr.errors import ClusterError, UnreachableError
from pymr.text_form import show_text


class Told(NamedTuple):
    """What a message says of the cluster."""

    context: str
    namespace: str
    server: str

    def kubectl(self, command: str, *, namespaced: bool = True) -> str:
        """Return a kubectl command for this very place."""
        where = f" -n {self.namespace}" if namespaced else ""
        return f"kubectl --context {self.context}{where} {command}"


# user "u" cannot create resource "jobs" in API group "batch" in the namespace "n"
_FORBIDDEN: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"'
    r' in API group "(?P<group>[^"]*)"'
)
_SERVER_ERRORS: Final = 500
_TOO_MANY: Final = 429
_NO_RIGHT: Final = (401, 403)


@contextmanager
def refusing(told: Told, doing: str) -> Iterator[None]:
    """Have what the cluster refuses in the block raised as `ClusterError`; it cannot `doing`."""
    try:
        yield
    except ApiError as error:
        raise refusal(error, told, doing) from error
    except httpx2.HTTPStatusError as error:
        raise _unreadable(error.response.status_code, told, doing) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise unreachable(error, told) from error
    except msgspec.MsgspecError as error:
        raise _unreadable(200, told, doing) from error
    except LightkubeConfigError as error:
        raise _no_login(str(error), told) from error
    except (OSError, binascii.Error, JSONDecodeError, KeyError) as error:
        # Certificates, keys and login programs of the kubeconfig are opened and read late.
        raise _no_login(f"{type(error).__name__}: {error}", told) from error


def refusal(error: ApiError, told: Told, doing: str) -> ClusterError:
    """Return what an answer of the API server means. Fields: `reason` and `code`, as it has them.

    With `reason` `Forbidden` by RBAC also `verb`, `resource` and `group`.
    """
    status = error.status
    code, reason = status.code or 0, status.reason or "Unknown"
    text = show_text(status.message or reason)
    fields: dict[str, Any] = {"reason": reason, "code": code}
    if code == 401:  # noqa: PLR2004 - HTTP
        return ClusterError(
            f"the cluster of context `{told.context}` does not know this user: {text}",
            hint=told.kubectl("auth whoami", namespaced=False),
            **fields,
        )
    if (denied := _FORBIDDEN.search(status.message or "")) is not None:
        return _denied(denied, told, doing, fields)
    if code == _TOO_MANY or code >= _SERVER_ERRORS:
        return UnreachableError(
            f"cannot {doing}: the API server of context `{told.context}` is not well: {text}",
            hint=told.kubectl("get --raw /readyz?verbose", namespaced=False),
            address=told.server,
            **fields,
        )
    return ClusterError(f"cannot {doing}: {text}", hint=_hint(status, told), **fields)


def unreachable(error: Exception, told: Told) -> UnreachableError:
    """Return what it means that nothing came back."""
    return UnreachableError(
        f"the cluster of context `{told.context}` at {told.server} does not answer:"
        f" {show_text(str(error)) or type(error).__name__}",
        hint=f"kubectl --context {told.context} cluster-info   or another --context",
        address=told.server,
    )


def _denied(denied: re.Match[str], told: Told, doing: str, fields: dict[str, Any]) -> ClusterError:
    verb, resource, group = denied["verb"], denied["resource"], denied["group"]
    full = f"{resource}.{group}" if group else resource
    return ClusterError(
        f"cannot {doing}: user `{show_text(denied['user'])}` has no permission to {verb} {full}"
        f" in namespace `{told.namespace}`",
        hint=told.kubectl(f"auth can-i {verb} {full}"),
        verb=verb,
        resource=resource,
        group=group,
        **fields,
    )


def _hint(status: Any, told: Told) -> str | None:
    message = status.message or ""
    of_namespace = f"--context {told.context} {{}} {told.namespace}"
    commands = {
        f'namespaces "{told.namespace}" not found': f"pymr up --namespace {told.namespace}",
        "exceeded quota": told.kubectl("describe quota"),
        "violates PodSecurity": f"kubectl {of_namespace.format('describe namespace')}",
        # It may wait for Jobs of ours: see docs/kubernetes.md.
        "is being terminated": f"pymr down --force --namespace {told.namespace}",
        "could not find the requested resource": told.kubectl("version", namespaced=False),
        "per Container is": told.kubectl("describe limitrange"),
        "per Pod is": told.kubectl("describe limitrange"),
    }
    return next((command for part, command in commands.items() if part in message), None)


def _unreadable(code: int, told: Told, doing: str) -> ClusterError:
    if code in _NO_RIGHT:  # Of a watch, nothing more is read.
        return ClusterError(
            f"cannot {doing} in namespace `{told.namespace}` of context `{told.context}`: the"
            f" cluster answers with HTTP {code}",
            hint=told.kubectl("auth can-i --list"),
            code=code,
        )
    what = "it is not well" if code >= _SERVER_ERRORS else "no object of Kubernetes"
    return UnreachableError(
        f"cannot {doing}: {told.server} answers with HTTP {code}: {what}; maybe it is a proxy",
        hint=f"kubectl --context {told.context} cluster-info   or another --context",
        address=told.server,
    )


def _no_login(text: str, told: Told) -> ClusterError:
    return ClusterError(
        f"context `{told.context}` cannot log in: {show_text(text)}",
        hint=f"kubectl --context {told.context} auth whoami",
    )
