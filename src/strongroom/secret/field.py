"""``Secret`` as a type of pydantic's fields, and ``SecretLength``, which limits how long it may be there.

What pydantic tells of a value it refuses is the value: ``input_value='hunter2'``. Neither a ``ValueError`` nor a
``PydanticCustomError`` from a validator changes that. A ``ValidationError`` does: pydantic takes over its lines with
the input they name, which here is never the value. Nothing imports pydantic until pydantic itself asks for a schema.
"""

from __future__ import annotations

import sys

from strongroom import _native
from strongroom.secret.making import Making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema, ValidationError

__all__ = ["SecretLength", "core_schema_of", "json_schema_of"]


class SecretLength:
    """Limit the length of a ``Secret`` that is a field of a pydantic model, with an error that does not show it.

        class Settings(BaseModel):
            token: Annotated[Secret, SecretLength(8, 64)]
            old_token: Annotated[Secret, SecretLength(8, 64)] | None = None

    pydantic's own ``Field(min_length=8)`` shows the refused value in its error.

    Args:
        minimum: Bytes there must be at least, 1 or more. A ``str`` counts as UTF-8.
        maximum: Bytes there may be at most; ``None`` sets no limit of its own.

    Raises:
        ValueError: A limit below 1, or a maximum below the minimum.
        TypeError: A limit is no whole number; or, when the model's class is made, the annotated type is not Secret.

    Platform notes: the same everywhere. Needs pydantic 2.

    Does not protect against: errors of other fields and other validators, which show the value: docs/secret.md.

    Version added: 0.1.
    """

    __slots__ = ("_limits",)

    def __init__(self, minimum: int = 1, maximum: int | None = None) -> None:
        low = _native.checked_number(minimum, "minimum")
        high = None if maximum is None else _native.checked_number(maximum, "maximum")
        if low < 1:
            raise ValueError(f"minimum must be 1 byte or more, not {low:,}: no secret is empty")
        if high is not None and high < low:
            raise ValueError(f"maximum must be {low:,} bytes (the minimum) or more, not {high:,}")
        self._limits = (low, high)

    @property
    def minimum(self) -> int:
        """Bytes there must be at least. Version added: 0.1."""
        return self._limits[0]

    @property
    def maximum(self) -> int | None:
        """Bytes there may be at most, or ``None``. Version added: 0.1."""
        return self._limits[1]

    def __repr__(self) -> str:
        return f"SecretLength({self.minimum}, {self.maximum})"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        if not (isinstance(source, type) and issubclass(source, Making)):
            raise TypeError(
                f"SecretLength limits a Secret, not {source!r}: put it beside that type alone, as in "
                "Annotated[Secret, SecretLength(8)] | None"
            )

        def secret_length(secret: Making) -> Making:
            size = len(secret)
            if size < self.minimum:
                raise _too_short(size, self.minimum, secret)
            if self.maximum is not None and size > self.maximum:
                message = "Secret should have at most {maximum} bytes, not {size}"
                raise _refused("secret_too_long", message, secret, maximum=self.maximum, size=size)
            return secret

        return core_schema.no_info_after_validator_function(secret_length, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        told = handler(schema)
        told["minLength"] = max(self.minimum, told.get("minLength", 1))
        if self.maximum is not None:
            told["maxLength"] = min(self.maximum, told.get("maxLength", self.maximum))
        return told


def core_schema_of(kind: type[Making]) -> CoreSchema:
    """Return what pydantic validates and serialises a field of this kind of secret by."""
    from pydantic_core import core_schema

    _refuse_plain_limits(kind)

    def secret(value: object) -> Making:
        return value if isinstance(value, kind) else _sealed(kind, value)

    taken = core_schema.no_info_plain_validator_function(secret)
    return core_schema.lax_or_strict_schema(  # the same twice: a schema that Field(strict=True) can be applied to
        taken,
        taken,
        serialization=core_schema.plain_serializer_function_ser_schema(_refuse_json, when_used="json"),
    )


def json_schema_of(_schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """Return what the field is in JSON, where it is only ever read from."""
    return {"type": "string", "format": "password", "writeOnly": True, "minLength": 1}


def _sealed(kind: type[Making], value: object) -> Making:
    """Seal a copy of what a field was given, and leave that as it is: it is the caller's."""
    if isinstance(value, str):
        held = {"text": _utf8(value)}
        try:
            return _sealed(kind, held["text"])
        finally:
            _native.wipe_only_bytes(held, "text")
    if not isinstance(value, bytes | bytearray | memoryview):
        message = "Input should be a {secret}, str, bytes, bytearray or memoryview, not {given}"
        raise _refused("secret_type", message, value, secret=kind.__name__, given=type(value).__name__)
    try:
        if memoryview(value).nbytes:
            return kind.from_buffer(value, wipe=False)
        refusal = _too_short(0, 1, value)
    except (BufferError, ValueError) as error:  # pydantic would put the value beside it
        refusal = _refused("secret_buffer", "Secret cannot be made: {reason}", value, reason=str(error))
    raise refusal


def _utf8(text: str) -> bytes:
    try:
        return str.encode(text)
    except UnicodeEncodeError:
        pass  # that error carries the text: it must not travel, nor be the context of another
    raise _refused("secret_text", "Secret should be text that can be written as UTF-8", text)


def _too_short(size: int, minimum: int, value: object) -> ValidationError:
    message = "Secret should have at least {minimum} bytes, not {size}"
    return _refused("secret_too_short", message, value, minimum=minimum, size=size)


def _refused(name: str, message: str, value: object, **context: object) -> ValidationError:
    """Return the error that names the type of a value and nothing else of it."""
    from pydantic_core import PydanticCustomError, ValidationError

    error = PydanticCustomError(name, message, context)
    shown = f"<{type(value).__name__}, not shown>"
    return ValidationError.from_exception_data("Secret", [{"type": error, "loc": (), "input": shown}])


def _refuse_json(_secret: object) -> None:
    raise TypeError(
        "a Secret does not go into JSON: leave the field out (exclude=), or, where the text itself is wanted, put what "
        "reveal_text() returns into what you send"
    )


def _refuse_plain_limits(kind: type) -> None:
    """Refuse ``Field(min_length=...)`` while the model's class is made: its error would show the value.

    pydantic puts such limits around the schema it gets and asks nobody, so this looks at the frame that is about to:
    ``_apply_annotations`` in 2.0 to 2.14. Where another version has none nothing is refused, and nothing else differs.
    """
    import types  # pydantic has loaded these two
    import typing

    frame: types.FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "_apply_annotations":
        frame = frame.f_back
    found = dict(_native.local_variables(frame)) if frame is not None else {}
    source, annotations = found.get("source_type"), found.get("annotations")
    either = typing.get_args(source) if typing.get_origin(source) in (typing.Union, types.UnionType) else (source,)
    if kind not in either or not isinstance(annotations, list):
        return  # the limits of a list of secrets are the list's
    for annotation in annotations:
        for limit in ("min_length", "max_length"):
            if getattr(annotation, limit, None) is not None:
                raise TypeError(
                    f"{limit} of pydantic's Field shows the refused value in its error: limit a secret with "
                    "Annotated[Secret, strongroom.SecretLength(8, 64)]"
                )
