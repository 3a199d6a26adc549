"""Schemas derived from constructors: plain values, as TOML and JSON hold them, become objects, and back.

A schema names the parameters of a constructor and their types. It is made from the constructor's signature, so the two
cannot differ. Parameters that plain values cannot give, such as callables, are left out. The constructor itself checks
ranges, and its error is reported with the path of its table.
"""

from __future__ import annotations

import difflib
import inspect
import re
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from os import PathLike, fspath
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints, overload
from weakref import WeakKeyDictionary

from pydantic import SecretStr
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from banditroute.core.preference import Preference
from banditroute.core.validation import shown
from banditroute.errors import InvalidConfigurationError, InvalidInputError

SECRETS = frozenset({"api_key", "password", "secret"})
"""Names of parameters whose values are never shown."""

_T = TypeVar("_T")
_MOST_MISTAKES = 50
_LONGEST_MISTAKE = 500  # characters
_ABSENT = object()
_PASSWORD = re.compile(r"(://[^/@]*:)[^/@]+(@)")


class Parameter(NamedTuple):
    """A parameter of a constructor that plain values can give.

    Attributes
    ----------
    name
        Its name.
    hint
        Its type.
    default
        Its default; ``inspect.Parameter.empty`` if it must be given.
    """

    name: str
    hint: Any
    default: Any

    @property
    def required(self) -> bool:
        """True if it has no default."""
        return self.default is inspect.Parameter.empty


class Mistake(NamedTuple):
    """One mistake in a table: where it is, and what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class MistakesError(InvalidConfigurationError):
    """Tables that cannot be read, with all their mistakes.

    Attributes
    ----------
    mistakes
        Every mistake, in the order of the tables.
    """

    def __init__(self, mistakes: Sequence[Mistake], *, source: str) -> None:
        more = [] if len(mistakes) <= _MOST_MISTAKES else [f"... ({len(mistakes)} mistakes)"]
        lines = [*map(str, mistakes[:_MOST_MISTAKES]), *more]
        super().__init__(f"{source} cannot be used: " + ("\n  " + "\n  ".join(lines) if len(lines) > 1 else lines[0]))
        self.mistakes: tuple[Mistake, ...] = tuple(mistakes)


class Schemas:
    """Derives schemas from constructors, reads objects from tables by them, and writes objects as tables.

    Parameters
    ----------
    roles
        A class that stands for several -> the classes that a table may name in its place, by ``type = "LinUCB"``.

    Examples
    --------
    >>> from banditroute.limits import Limits
    >>> Schemas().read(Limits, {"min_quality": 0.7, "requires": ["eu"]})
    Limits(min_quality=0.7, requires=('eu',))
    >>> Schemas().read(Limits, {"min_qualty": 0.7}, source="limits")
    Traceback (most recent call last):
    banditroute.core.schema.MistakesError: limits cannot be used: min_qualty: unknown; did you mean 'min_quality'?
    >>> Schemas().write(Limits(min_quality=0.7))
    {'min_quality': 0.7}
    """

    def __init__(self, *, roles: Mapping[type, Sequence[type]] = MappingProxyType({})) -> None:
        self.roles = roles
        self._typed = {each for role in roles.values() for each in role}
        self._made_of: WeakKeyDictionary[object, dict[str, Any]] = WeakKeyDictionary()  # what no dataclass holds
        self._tables: dict[str, CoreSchema] = {}  # name of a class -> the schema of its table

    @overload
    def read(self, cls: type[_T], table: object, *, source: str = "the table") -> _T: ...

    @overload
    def read(self, cls: Any, table: object, *, source: str = "the table") -> Any: ...

    def read(self, cls: Any, table: object, *, source: str = "the table") -> Any:
        """Return the object of a class that a table describes, or what another type such as ``list[Arm]`` describes.

        Raises
        ------
        MistakesError
            If the table has mistakes; it names them all, each with its path.
        """
        return self._validated(self._union(cls), table, source)

    def read_arguments(
        self, function: Callable[..., object], table: object, *, extra: Mapping[str, Any], source: str
    ) -> dict[str, Any]:
        """Return the arguments of ``function`` that a table describes, without calling it.

        Parameters
        ----------
        extra
            Further names that the table may have -> their types.

        Raises
        ------
        MistakesError
            If the table has mistakes; it names them all, each with its path.
        """
        return cast("dict[str, Any]", self._validated(self._arguments(function, extra), table, source))

    def json_schema(self, function: Callable[..., object], *, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON schema of the tables that ``read_arguments`` takes."""
        schema = self._arguments(function, extra)
        return GenerateJsonSchema().generate(self._with_definitions(schema), mode="validation")

    def write(self, value: Any) -> Any:
        """Return the plain value that reads as ``value`` again; parameters with their default are left out.

        Raises
        ------
        InvalidConfigurationError
            If it holds what no plain value can give, such as a function.
        """
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, PathLike):
            return fspath(value)
        if isinstance(value, Preference):
            return value.as_dict()
        if isinstance(value, Mapping):
            return {str(name): self.write(each) for name, each in value.items()}
        if type(value) in self._typed or is_dataclass(value):
            return self._written(value)
        if isinstance(value, Collection):
            return [self.write(each) for each in value]
        raise InvalidConfigurationError(
            f"{shown(value)} ({type(value).__name__}) cannot be written in a file; make this part in Python"
        )

    # From a constructor to a schema.

    def _arguments(self, function: Callable[..., object], extra: Mapping[str, Any]) -> CoreSchema:
        known = self._fields(function)
        if known is None:
            raise TypeError(f"no plain values can give the parameters of {function.__name__}")
        for name, hint in extra.items():
            known[name] = core_schema.typed_dict_field(self._schema(hint), required=False)
        return core_schema.typed_dict_schema(known, extra_behavior="forbid")

    def _fields(self, function: Callable[..., object]) -> dict[str, core_schema.TypedDictField] | None:
        """Return the parameters that plain values can give; None if they cannot give one that is required."""
        known = {}
        for parameter in parameters(function):
            schema = self._schema(parameter.hint)
            if schema is None and parameter.required:
                return None
            if schema is None:
                continue
            if not parameter.required and parameter.default is not None and type(None) in get_args(parameter.hint):
                shown_schema = core_schema.union_schema([schema, core_schema.literal_schema([False])])
                schema = core_schema.no_info_before_validator_function(
                    _none_if_false, schema, json_schema_input_schema=shown_schema
                )
            known[parameter.name] = core_schema.typed_dict_field(schema, required=parameter.required)
        return known

    def _schema(self, hint: Any) -> Any:
        """Return the schema of a type; None if no plain value can give it."""
        if hint is str or get_origin(hint) is PathLike:
            return core_schema.no_info_before_validator_function(_revealed, core_schema.str_schema(strict=True))
        if hint is Any:
            return core_schema.any_schema()
        if hint is SecretStr:
            text = core_schema.no_info_before_validator_function(_revealed, core_schema.str_schema(strict=True))
            return core_schema.no_info_after_validator_function(SecretStr, text)
        if hint in _SCALARS:
            return _SCALARS[hint]()
        if hint is None or hint is type(None):
            return core_schema.none_schema()
        origin, arguments = get_origin(hint) or hint, get_args(hint)
        if origin is Literal:
            return core_schema.literal_schema(list(arguments))
        if origin in (Union, types.UnionType):
            return self._union(*arguments)
        if not isinstance(origin, type):
            return None
        if issubclass(origin, tuple) and arguments and arguments[-1] is not Ellipsis:
            each = [self._schema(one) for one in arguments]
            return core_schema.tuple_schema(each)
        if issubclass(origin, Mapping):
            key, value = arguments or (str, float)  # a preference: objective -> weight
            values = self._schema(value)
            keys = core_schema.int_schema() if key is int else core_schema.str_schema(strict=True)
            return None if values is None else core_schema.dict_schema(keys, values)
        if issubclass(origin, Collection) and arguments and origin.__module__ != "numpy":
            items = self._schema(arguments[0])
            return None if items is None else core_schema.list_schema(items)
        return self._union(hint) if self._is_part(hint) else None

    def _is_part(self, hint: Any) -> bool:
        """Return whether a type is a class of ours that a table can describe, or a role that such classes fill."""
        if not isinstance(hint, type) or hint in self.roles:
            return isinstance(hint, type)
        abstract = getattr(hint, "_is_protocol", False) or issubclass(hint, Mapping | Enum)
        return hint.__module__.startswith("banditroute.") and not abstract

    def _union(self, *hints: Any) -> Any:
        """Return the schema of what is one of these types: a value says by its kind or its ``type`` which one."""
        choices: dict[str, CoreSchema] = {}
        classes: list[type] = []
        for hint in _members(hints):
            if self._is_part(hint):
                classes += self.roles.get(hint, (hint,))
            elif (schema := self._schema(hint)) is not None:
                choices[f"<{_kind_of_schema(schema)}>"] = schema
        for cls in dict.fromkeys(classes):
            if (table := self._table(cls)) is not None:
                choices[f"<{cls.__name__}>" if cls in self._typed else "<a table>"] = table
        if not choices or (choices.keys() == {"<nothing>"} and len(list(_members(hints))) > 1):
            return None
        if len(choices) == 1:
            return next(iter(choices.values()))
        accepted = tuple(dict.fromkeys(classes))

        def branch(value: object) -> str | None:
            if isinstance(value, accepted):
                name = type(value).__name__
                return f"<{name}>" if f"<{name}>" in choices else next(iter(choices))
            if isinstance(value, Mapping) and ("type" in value or "<a table>" not in choices):
                return f"<{value.get('type', '')}>"
            return f"<{_kind(value)}>"

        return core_schema.tagged_union_schema(choices, branch)

    def _table(self, cls: type) -> CoreSchema | None:
        """Return a reference to the schema of a class's table; None if no table can describe it."""
        name = cls.__qualname__
        if name not in self._tables:
            self._tables[name] = core_schema.any_schema()  # so that a class may contain itself
            known = self._fields(cls)
            if known is None:
                del self._tables[name]
                return None
            if cls in self._typed:
                literal = core_schema.literal_schema([cls.__name__])
                known = {"type": core_schema.typed_dict_field(literal, required=True), **known}
            table = core_schema.typed_dict_schema(known, extra_behavior="forbid")
            made = core_schema.no_info_after_validator_function(lambda given: self._made(cls, given), table)
            passed = core_schema.no_info_wrap_validator_function(
                lambda given, made_of: given if isinstance(given, cls) else made_of(given), made
            )
            self._tables[name] = cast(CoreSchema, {**passed, "ref": name})
        return core_schema.definition_reference_schema(name)

    def _with_definitions(self, schema: CoreSchema) -> CoreSchema:
        return core_schema.definitions_schema(schema, list(self._tables.values()))

    # From a table to an object.

    def _made(self, cls: type, given: Mapping[str, Any]) -> object:
        """Return the object of ``cls``. Its error is one of input, and carries the path of its table."""
        arguments = {name: value for name, value in given.items() if name != "type"}
        try:
            made = cls(**arguments)
        except InvalidInputError as error:
            raise ValueError(str(error)) from error
        if not is_dataclass(made) and hasattr(made, "__weakref__"):
            self._made_of[made] = arguments
        return made

    def _validated(self, schema: CoreSchema, table: object, source: str) -> object:
        try:
            return SchemaValidator(self._with_definitions(schema)).validate_python(table)
        except ValidationError as error:
            found = [self._mistake(schema, dict(each)) for each in error.errors(include_url=False)]
        raise MistakesError(found, source=source) from None

    def _mistake(self, schema: CoreSchema, error: Mapping[str, Any]) -> Mistake:
        kind = error["type"]
        given = "..." if not SECRETS.isdisjoint(error["loc"]) else error["input"]
        path = _path(error["loc"])
        if kind == "extra_forbidden":
            *parents, name = error["loc"]
            return Mistake(path, f"unknown; {_near(name, self._names(schema, parents))}")
        if kind == "missing":
            return Mistake(path, "it must be given")
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            return _wrong_branch(path, given, error["ctx"].get("expected_tags", ""))
        if kind == "literal_error":
            known = [each.strip("'") for each in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            return Mistake(path, f"unknown {shown(given)}; {_near(given, known)}")
        if kind == "value_error":
            return Mistake(path, str(error["ctx"]["error"])[:_LONGEST_MISTAKE])
        wanted = _WANTED.get(kind.split("_")[0], error["msg"])
        return Mistake(path, f"it is {shown(given)} ({type(given).__name__}); give {wanted}")

    def _names(self, schema: Any, path: Sequence[str | int]) -> list[str]:
        """Return the names that a table at ``path`` may have."""
        left = list(path)
        while True:
            if "schema" in schema and schema["type"] != "typed-dict":
                schema = schema["schema"]
            elif schema["type"] == "definition-ref":
                schema = self._tables[schema["schema_ref"]]
            elif not left:
                return list(schema.get("fields", ()))
            elif schema["type"] == "typed-dict":
                schema = schema["fields"][left.pop(0)]["schema"]
            elif schema["type"] == "tagged-union":
                schema = schema["choices"][left.pop(0)]
            else:
                left.pop(0)
                schema = schema.get("items_schema") or schema["values_schema"]

    # From an object to a table.

    def _written(self, part: object) -> dict[str, Any]:
        cls = type(part)
        table: dict[str, Any] = {"type": cls.__name__} if cls in self._typed else {}
        made_of = None if is_dataclass(part) or not hasattr(part, "__weakref__") else self._made_of.get(part)
        for parameter in parameters(cls):
            schema = self._schema(parameter.hint)
            value = _held(part, parameter.name) if made_of is None else made_of.get(parameter.name, parameter.default)
            if schema is None or (not parameter.required and _same(value, parameter.default)):
                continue
            if value is not _ABSENT:
                written = False if value is None else self.write(_without_secret(parameter.name, value))
                if value is None or is_dataclass(part) or self._reads(schema, written):
                    table[parameter.name] = written
                    continue
            raise InvalidConfigurationError(
                f"{cls.__name__} does not hold its {parameter.name} as it was given, so this cannot be written in a "
                "file; read it from a file, or write its table by hand"
            )
        return table

    def _reads(self, schema: CoreSchema, value: object) -> bool:
        try:
            self._validated(schema, value, "")
        except MistakesError:
            return False
        return True


_SCALARS: dict[type, Callable[[], CoreSchema]] = {
    bool: lambda: core_schema.bool_schema(strict=True),
    int: lambda: core_schema.int_schema(strict=True),
    float: lambda: core_schema.float_schema(strict=True),
}


def parameters(function: Callable[..., object]) -> Iterator[Parameter]:
    """Yield the parameters of a constructor or function; those that start with ``_`` are private."""
    inside = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    names: dict[str, Any] = {}
    for cls in reversed(function.__mro__ if isinstance(function, type) else ()):
        names |= vars(inspect.getmodule(cls) or types)
    names |= getattr(inside, "__globals__", {})
    factories = {}
    if is_dataclass(function):
        factories = {
            each.name: each.default_factory for each in fields(function) if each.default_factory is not MISSING
        }
    for name, parameter in inspect.signature(inside).parameters.items():
        if (
            name == "self"
            or name.startswith("_")
            or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        ):
            continue
        default = factories[name]() if name in factories else parameter.default
        yield Parameter(name, _hint(parameter.annotation, names), default)


def _hint(annotation: Any, names: dict[str, Any]) -> Any:
    """Return a type; ``object`` where it is imported for type checkers alone."""
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), names, names)["it"]
    except NameError:
        return object


def _members(hints: Sequence[Any]) -> Iterator[Any]:
    for hint in hints:
        if get_origin(hint) in (Union, types.UnionType):
            yield from _members(get_args(hint))
        else:
            yield hint


def _revealed(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _none_if_false(value: object) -> object:
    """Return None for False: TOML has no word for None."""
    return None if value is False else value


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str | SecretStr | PathLike):
        return "a text"
    return "a table" if isinstance(value, Mapping) else "a list"


_WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "dict": "a table",
    "list": "a list",
    "tuple": "a list",
}
_KINDS = {
    "none": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "dict": "a table",
    "typed-dict": "a table",
    "list": "a list",
    "tuple": "a list",
}


def _kind_of_schema(schema: Any) -> str:
    return _KINDS.get(schema["type"], "a text")


def _wrong_branch(path: str, given: object, expected: str) -> Mistake:
    known = [each.strip("'<>") for each in expected.split(", ")]
    parts = [each for each in known if each[:1].isupper()]
    if isinstance(given, Mapping) and parts:
        if "type" not in given:
            return Mistake(path, f"type must be given; known: {', '.join(parts)}")
        return Mistake(f"{path}.type".lstrip("."), f"unknown {shown(given['type'])}; {_near(given['type'], parts)}")
    kinds = [each for each in known if each not in (*parts, "nothing")] + ["a table with a type"] * bool(parts)
    return Mistake(path, f"it is {shown(given)} ({type(given).__name__}); give {' or '.join(kinds)}")


def _near(name: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1) or [each for each in known if each.startswith(f"{name}_")]
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _path(where: Sequence[str | int]) -> str:
    """Return a path such as ``arms[0].name``, without the branches of unions."""
    parts = [each for each in where if not (isinstance(each, str) and each.startswith("<"))]
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in parts).lstrip(".")


def _held(part: object, name: str) -> Any:
    """Return what a part holds under the name of a parameter; a learner passes some to its policy."""
    for holder, attribute in ((part, f"_{name}"), (part, name), (getattr(part, "policy", None), name)):
        value = getattr(holder, attribute, _ABSENT)
        if value is not _ABSENT and not inspect.ismethod(value):
            return value
    return _ABSENT


def _without_secret(name: str, value: Any) -> Any:
    """Return a value with a variable such as ``${API_KEY}`` in the place of a key or of the password in an address."""
    if name in SECRETS:
        return f"${{{name.upper()}}}"
    return _PASSWORD.sub(r"\1${PASSWORD}\2", value) if name.endswith("url") and isinstance(value, str) else value


def _same(value: object, default: object) -> bool:
    """Return whether a value is a default; collections are compared by their items."""
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        return list(value) == list(default)
    return type(value) is type(default) and bool(value == default)
