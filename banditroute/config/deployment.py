"""A deployment: the arguments of a router, the servers behind its arms, and how it is served."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import SecretStr

from banditroute.config.environment import with_environment
from banditroute.config.parts import PARTS
from banditroute.core.schema import Mistake, MistakesError
from banditroute.core.validation import positive, shown, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.router import Router

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
"""The path of a TOML file, or the tables that it would hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The server that answers for an arm, by OpenAI's interface; a table ``[upstreams.ARM]``.

    Parameters
    ----------
    base_url
        Its address. Default: OpenAI's.
    model
        What the server calls the model. Default: the arm's name.
    api_key
        Its key; give it as ``"${NAME}"``, from the environment. Default: the variable ``OPENAI_API_KEY``.
    timeout_seconds
        How long to wait for it, above 0.

    Raises
    ------
    InvalidConfigurationError
        If the time is not above 0.
    """

    base_url: str | None = None
    model: str | None = None
    api_key: SecretStr | None = None
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        positive(self.timeout_seconds, name="timeout_seconds", error=InvalidConfigurationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How a router is served; the table ``[serve]``.

    Parameters
    ----------
    host, port
        The address. One that others can reach needs a ``token_file``.
    token_file
        A file of tokens and their scopes, one a line: ``TOKEN read,route``.
    max_body_bytes
        The longest body of a request, at least 1.
    timeout_seconds
        The longest time that an answer may take, above 0.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token_file: str | None = None
    max_body_bytes: int = 2**20
    timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        error = InvalidConfigurationError
        if whole(self.port, name="port", low=0, error=error) > 65535:
            raise error(f"port is {self.port}; give a whole number from 0 to 65535")
        whole(self.max_body_bytes, name="max_body_bytes", error=error)
        positive(self.timeout_seconds, name="timeout_seconds", error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A configuration that was read.

    Attributes
    ----------
    router
        The arguments of ``Router``.
    upstreams
        Arm -> the server that answers for it.
    serve
        How it is served.
    """

    router: Mapping[str, Any] = field(repr=False)
    upstreams: Mapping[str, Upstream]
    serve: ServeSettings


_EXTRA = {"upstreams": Mapping[str, Upstream], "serve": ServeSettings}


def load_deployment(source: Source, *, environment: Mapping[str, str] | None = None) -> Deployment:
    """Read a configuration; nothing is opened.

    Parameters
    ----------
    source
        The path of a TOML file, or its tables.
    environment
        Name of a variable -> its value. Default: the process's own.

    Raises
    ------
    InvalidConfigurationError
        If the file cannot be read; or, as a :class:`MistakesError`, with all mistakes in it.

    Examples
    --------
    >>> deployment = load_deployment({"arms": ["small", "large"], "serve": {"port": 9000}}, environment={})
    >>> deployment.router, deployment.serve.port
    ({'arms': ['small', 'large']}, 9000)
    """
    name = "the configuration" if isinstance(source, Mapping) else str(source)
    mistakes: list[Mistake] = []
    tables = with_environment(_tables(source), os.environ if environment is None else environment, mistakes)
    try:
        given = PARTS.read_arguments(Router, tables, extra=_EXTRA, source=name)
    except MistakesError as error:
        raise MistakesError([*mistakes, *error.mistakes], source=name) from None
    if mistakes:
        raise MistakesError(mistakes, source=name)
    upstreams, serve = given.pop("upstreams", {}), given.pop("serve", ServeSettings())
    arms = [arm if isinstance(arm, str) else arm.name for arm in given["arms"]]
    unknown = [Mistake(f"upstreams.{arm}", f"no arm has this name; known: {', '.join(arms)}") for arm in upstreams]
    if unknown := [each for each, arm in zip(unknown, upstreams, strict=True) if arm not in arms]:
        raise MistakesError(unknown, source=name)
    return Deployment(router=given, upstreams=upstreams, serve=serve)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration, with which an editor completes and checks the file.

    Examples
    --------
    >>> sorted(json_schema()["properties"])[:3]
    ['adapters', 'arms', 'breaker']
    """
    schema = PARTS.json_schema(Router, extra=_EXTRA)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "banditroute", **schema}


def _tables(source: Source) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, str | os.PathLike):
        raise InvalidConfigurationError(
            f"source is {shown(source)} ({type(source).__name__}); give the path of a TOML file, or its tables"
        )
    try:
        return tomllib.loads(Path(source).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidConfigurationError(f"{source} cannot be read as TOML: {error}") from error
