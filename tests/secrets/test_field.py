"""Secret as a type of pydantic's fields: what it takes and gives, and that no error of its own shows the value."""

import dataclasses
import traceback
from collections.abc import Callable
from typing import Annotated, Any, Optional

import pytest

pytest.importorskip(
    "pydantic", minversion="2.11", reason="needs pydantic >= 2.11 (its fallback=): pip install '.[test]'"
)

import pydantic.dataclasses
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError, model_validator

from children import succeed
from samples import made_of
from strongroom import Secret, SecretLength

CONTENT = "hunter2-£"
RAW = CONTENT.encode()
Token = Annotated[Secret, SecretLength(16, 32)]


class Settings(BaseModel):
    """As programs have one."""

    token: Secret


class Limited(BaseModel):
    """With limits."""

    token: Token


@dataclasses.dataclass
class Account:
    """An ordinary dataclass inside a model."""

    token: Token


@pydantic.dataclasses.dataclass
class Checked:
    """pydantic's own dataclass."""

    token: Token


class Nested(BaseModel):
    """Everywhere a type may stand."""

    inside: Limited | None = None
    optional: Optional[Token] = None  # noqa: UP045 - both ways of writing it
    either: Token | None = None
    several: list[Token] = []
    by_name: dict[str, Token] = {}
    pair: tuple[Token, int] | None = None
    account: Account | None = None
    checked: Checked | None = None


def told_by(error: ValidationError) -> str:
    """All that an error tells of itself, and it refers to no other."""
    assert error.__cause__ is None
    assert error.__context__ is None
    return "\n".join([str(error), repr(error), error.json(), repr(error.errors())])


def refusal_of(way: Callable[[], object]) -> tuple[list[str], str]:
    """Return the types of the errors that pydantic raises, and everything they tell."""
    with pytest.raises(ValidationError) as caught:
        way()
    return [line["type"] for line in caught.value.errors()], told_by(caught.value)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, bytes.decode, made_of])
def test_what_a_field_takes(make: Callable[[bytes], Any]) -> None:
    """Secrets as they are; a copy of bytes and of text as UTF-8, which stay as they were; strictly or not."""
    given = make(RAW)
    for strict in (False, True):
        token = Settings.model_validate({"token": given}, strict=strict).token
        assert type(token) is Secret
        assert token.reveal() == RAW
        assert (token is given) is isinstance(given, Secret)
    assert given == (CONTENT if isinstance(given, str) else RAW)


def test_json_is_taken() -> None:
    """Its strings are text."""
    assert Settings.model_validate_json(f'{{"token": "{CONTENT}"}}').token == RAW
    assert TypeAdapter(list[Token]).validate_json(f'["{"a" * 20}"]')[0] == b"a" * 20
    assert Settings.model_validate_strings({"token": CONTENT}).token == RAW


def test_subclasses_are_fields_too() -> None:
    """They are what is made; another class's secret is refused."""

    class Key(Secret):
        pass

    adapter = TypeAdapter(Key)
    assert type(adapter.validate_python(CONTENT)) is Key
    types, told = refusal_of(lambda: adapter.validate_python(made_of(RAW)))
    assert types == ["secret_type"]
    assert "Input should be a Key, str" in told


@pytest.mark.parametrize("wrong", [5, None, ["hunter2"], {"a": "hunter2"}, 1.5, Exception("hunter2")])
def test_wrong_types_are_named(wrong: object) -> None:
    """By their type alone."""
    types, told = refusal_of(lambda: Settings(token=wrong))  # type: ignore[arg-type]
    assert types == ["secret_type"]
    assert f"not {type(wrong).__name__}" in told
    assert f"<{type(wrong).__name__}, not shown>" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("way", ["python", "json"])
def test_wrong_types_in_strict_mode_and_json(way: str) -> None:
    """The same error."""
    adapter = TypeAdapter(Annotated[Secret, Strict()])
    validate: Callable[[], object] = lambda: (  # noqa: E731
        adapter.validate_json('["hunter2"]', strict=True) if way == "json" else adapter.validate_python(["hunter2"])
    )
    types, told = refusal_of(validate)
    assert types == ["secret_type"]
    assert "hunter2" not in told


def test_nothing_and_no_text_are_refused() -> None:
    """Empty values, text that is no UTF-8, memory that is not in one piece or gone; the value is not shown."""
    gone = memoryview(RAW)
    gone.release()
    for wrong, name in [
        ("", "secret_too_short"),
        (b"", "secret_too_short"),
        (memoryview(b""), "secret_too_short"),
        ("hunter2\ud800", "secret_text"),
        (memoryview(RAW * 2)[::2], "secret_buffer"),
        (gone, "secret_buffer"),
    ]:
        types, told = refusal_of(lambda wrong=wrong: Settings(token=wrong))  # type: ignore[misc]
        assert types == [name]
        assert "hunter2" not in told


def test_the_limits_are_bytes_and_inclusive() -> None:
    """Of UTF-8; of a Secret too."""
    accepted = TypeAdapter(Annotated[Secret, SecretLength(4, 6)])
    for fits in ("abcd", "££", "£££", b"abcdef", Secret.random(5)):
        assert 4 <= len(accepted.validate_python(fits)) <= 6
    for wrong in ("abc", "££££", b"abcdefg", Secret.random(3)):
        types, told = refusal_of(lambda wrong=wrong: accepted.validate_python(wrong))  # type: ignore[misc]
        assert types == ["secret_too_short" if len(wrong) == 3 else "secret_too_long"]
        assert "4 bytes, not 3" in told or f"6 bytes, not {8 if wrong == '££££' else 7}" in told


SHORT = "hunter2"
PLACES: dict[str, Callable[[], object]] = {
    "model": lambda: Limited(token=SHORT),  # type: ignore[arg-type]
    "json": lambda: Limited.model_validate_json(f'{{"token": "{SHORT}"}}'),
    "strict": lambda: Limited.model_validate({"token": SHORT}, strict=True),
    "nested": lambda: Nested.model_validate({"inside": {"token": SHORT}}),
    "optional": lambda: Nested.model_validate({"optional": SHORT}),
    "or None": lambda: Nested.model_validate({"either": SHORT}),
    "list": lambda: Nested.model_validate({"several": ["long enough for it", SHORT]}),
    "dict": lambda: Nested.model_validate_json(f'{{"by_name": {{"a": "{SHORT}"}}}}'),
    "tuple": lambda: Nested.model_validate({"pair": (SHORT, 1)}),
    "dataclass": lambda: Nested.model_validate({"account": {"token": SHORT}}),
    "its own dataclass": lambda: Checked(token=SHORT),  # type: ignore[arg-type]
    "its own dataclass inside": lambda: Nested.model_validate({"checked": {"token": SHORT}}),
    "adapter": lambda: TypeAdapter(Token).validate_python(SHORT),
    "adapter of a list": lambda: TypeAdapter(list[Token]).validate_json(f'["{SHORT}"]'),
    "too long": lambda: Limited(token=SHORT * 5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("place", PLACES)
def test_an_error_does_not_show_the_value(place: str) -> None:
    """Wherever the field stands: not as text, as list, as JSON, nor in a traceback."""
    types, told = refusal_of(PLACES[place])
    assert types == ["secret_too_long" if place == "too long" else "secret_too_short"]
    assert "<str, not shown>" in told or "Secret" in told
    assert "hunter2" not in told


def _refuse(_secret: object) -> None:
    raise ValueError("no")


_Strange = Annotated[Secret, AfterValidator(_refuse)]


class _Other(BaseModel):
    token: Secret
    port: int


class _Whole(BaseModel):
    token: Secret

    @model_validator(mode="before")
    @classmethod
    def refuse(cls, _data: object) -> None:
        raise ValueError("no")


SHOWING: dict[str, Callable[[Any], object]] = {
    "a missing field": lambda token: _Other.model_validate({"token": token}),
    "the whole model": lambda token: _Whole.model_validate({"token": token}),
    "a validator of one's own": lambda token: TypeAdapter(Annotated[Secret, AfterValidator(_refuse)]).validate_python(
        token
    ),
    "another type of a union": lambda token: TypeAdapter(Secret | int).validate_python([token]),
    "the limits of a list": lambda token: TypeAdapter(Annotated[list[Secret], Field(max_length=1)]).validate_python(
        [token, token]
    ),
}


@pytest.mark.parametrize("name", SHOWING)
def test_what_pydantic_adds_does_show_it(name: str) -> None:
    """The control, and what docs/pydantic.md warns of: each shows text, unless asked not to, and none a Secret."""
    with pytest.raises(ValidationError) as caught:
        SHOWING[name]("hunter2")
    error = caught.value
    assert all("hunter2" in told for told in (str(error), error.json(), repr(error.errors())))
    assert "hunter2" not in error.json(include_input=False) + repr(error.errors(include_input=False))
    _, told = refusal_of(lambda: SHOWING[name](made_of(b"hunter2")))
    assert "hunter2" not in told
    assert "<Secret 7 bytes, sealed>" in told


def test_json_that_is_none_is_shown() -> None:
    """As docs/pydantic.md says."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate_json('{"token": "hunter2"')
    assert "hunter2" in str(caught.value)


@pytest.mark.parametrize("is_text", [True, False])
def test_a_traceback_with_variables_shows_what_was_passed(is_text: bool) -> None:
    """Text as it is, in a frame of pydantic's; a Secret by its repr."""
    try:
        Limited(token=SHORT if is_text else made_of(SHORT.encode()))  # type: ignore[arg-type]
    except ValidationError as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
    told = "".join(report.format())
    assert ("'hunter2'" in told) is is_text
    assert ("<Secret 7 bytes, sealed>" in told) is not is_text


def test_no_locked_memory_is_no_fault_of_the_value() -> None:
    """It comes as it is, and can be tried again; a wrong value is a ValidationError (control)."""
    assert succeed("""
        import pydantic
        children.limit_locks(65536)
        adapter = pydantic.TypeAdapter(Secret)
        for value in ("x" * 1_000_000, "", "hunter2"):
            try:
                print(repr(adapter.validate_python(value)))
            except (LockLimitError, pydantic.ValidationError) as error:
                print(type(error).__name__)
    """).splitlines() == ["LockLimitError", "ValidationError", "<Secret 7 bytes, sealed>"]


def test_hiding_inputs_hides_them_in_text_only() -> None:
    """``hide_input_in_errors`` is about ``str(error)``; ``errors()`` and ``json()`` want ``include_input=False``."""

    class Hiding(BaseModel):
        model_config = ConfigDict(hide_input_in_errors=True)
        token: Secret
        port: int

    with pytest.raises(ValidationError) as caught:
        Hiding.model_validate({"token": "hunter2"})
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert "hunter2" in repr(caught.value.errors())
    assert "hunter2" in caught.value.json()
    assert "hunter2" not in repr(caught.value.errors(include_input=False)) + caught.value.json(include_input=False)
    with pytest.raises(ValidationError) as caught:  # what counts is the outermost model's setting
        TypeAdapter(list[Hiding]).validate_python([{"token": "hunter2"}])
    assert "hunter2" in str(caught.value)


@pytest.mark.parametrize("limit", [{"min_length": 8}, {"max_length": 8}, {"min_length": 1, "max_length": 8}])
@pytest.mark.parametrize("place", ["alone", "or None", "in a list", "with ours", "subclass"])
def test_the_limits_of_field_are_refused_with_the_class(limit: dict[str, int], place: str) -> None:
    """Their error would show the value; the refusal names what to write. Those of a list of secrets are the list's."""

    class Key(Secret):
        pass

    plain = Field(**limit)  # type: ignore[call-overload]
    types: dict[str, Any] = {
        "alone": Annotated[Secret, plain],
        "or None": Annotated[Secret | None, plain],
        "in a list": list[Annotated[Secret, plain]],
        "with ours": Annotated[Secret, SecretLength(2), plain],
        "subclass": Annotated[Key, plain],
    }
    with pytest.raises(TypeError, match="SecretLength"):
        pydantic.create_model("Made", token=(types[place], ...))
    with pytest.raises(TypeError, match="SecretLength"):
        TypeAdapter(types[place])
    assert len(TypeAdapter(Annotated[list[Secret], plain]).validate_python(["hunter2"] * 8)) == 8


def test_limits_that_make_no_sense() -> None:
    """Are refused when they are written, and limits of something else when the class is made."""
    for wrong in [(0,), (-1,), (8, 7), (1, 0)]:
        with pytest.raises(ValueError, match="must be"):
            SecretLength(*wrong)
    with pytest.raises(TypeError, match="integer"):
        SecretLength(1.5)  # type: ignore[arg-type]
    limit = SecretLength(8)
    wrong_types: list[Any] = [Annotated[str, limit], Annotated[list[Secret], limit], Annotated[Secret | None, limit]]
    for kind in wrong_types:
        with pytest.raises(TypeError, match="beside that type alone"):
            TypeAdapter(kind)
    twice = TypeAdapter(Annotated[Secret, SecretLength(4, 8), SecretLength(2, 6)])
    assert [refusal_of(lambda size=size: twice.validate_python("x" * size))[0] for size in (3, 7)] == [  # type: ignore[misc]
        ["secret_too_short"],
        ["secret_too_long"],
    ]
    assert repr(SecretLength(4)) == "SecretLength(4, None)"
