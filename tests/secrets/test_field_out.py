"""A Secret in a pydantic model: what the model gives out, what stays of the text, what it is in a JSON schema."""

import copy
import pickle
import secrets
from collections.abc import Callable
from typing import Annotated, Any

import pytest

pytest.importorskip(
    "pydantic", minversion="2.11", reason="needs pydantic >= 2.11 (its fallback=): pip install '.[test]'"
)

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticSerializationError

import needs
from children import Live, succeed
from observed import Memory
from samples import made_of
from strongroom import Secret, SecretLength


class Settings(BaseModel):
    """As programs have one."""

    token: Secret
    others: list[Annotated[Secret, SecretLength(4, 64)]] = []
    user: str = "me"


class Ordinary(BaseModel):
    """The control."""

    token: bytes


def made() -> Settings:
    """Return one with the marked content in it."""
    return Settings(token=made_of(b"hunter2"), others=["hunter2"])  # type: ignore[list-item]


TEXTS: dict[str, Callable[[BaseModel], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda model: f"{model}",
    "vars": vars,
    "rich": lambda model: list(model.__rich_repr__()),  # type: ignore[misc]
}


@pytest.mark.parametrize("way", TEXTS)
def test_a_model_tells_only_the_length(way: str) -> None:
    """However it is printed; ordinary bytes show (control)."""
    told = f"{TEXTS[way](made())!r}"
    assert told.count("<Secret 7 bytes, sealed>") == 2
    assert "hunter2" not in told
    assert "hunter2" in f"{TEXTS[way](Ordinary(token=b'hunter2'))!r}"


def test_a_dump_holds_the_object() -> None:
    """The one of the model, not a copy."""
    model = made()
    dumped = model.model_dump()
    assert dumped["token"] is model.token
    assert dumped["others"][0] is model.others[0]
    assert dict(model)["token"] is model.token
    assert model.model_copy().token is model.token
    assert copy.copy(model).token is model.token
    assert model == made()


JSON: dict[str, Callable[[BaseModel], object]] = {
    "text": lambda model: model.model_dump_json(),
    "mode": lambda model: model.model_dump(mode="json"),
    "adapter": lambda model: TypeAdapter(type(model)).dump_json(model),
    "round trip": lambda model: model.model_dump_json(round_trip=True),
}


@pytest.mark.parametrize("way", JSON)
def test_json_refuses(way: str) -> None:
    """And names the way out that there is; what is left out is no obstacle. Ordinary bytes are written (control)."""
    for model in (made(), Settings(token=made_of(b"hunter2"))):
        with pytest.raises(PydanticSerializationError, match=r"reveal_text\(\)") as caught:
            JSON[way](model)
        assert "hunter2" not in str(caught.value)
    assert "hunter2" in str(JSON[way](Ordinary(token=b"hunter2")))
    assert made().model_dump_json(exclude={"token", "others"}) == '{"user":"me"}'


def test_json_by_what_the_object_is_refuses_too() -> None:
    """Without the field's type: in Any, as an extra, with ``serialize_as_any``; a ``fallback`` gets no text."""

    class Loose(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")
        any_one: Any

    ways: list[Callable[[], object]] = [
        lambda: Loose(any_one=made().token).model_dump_json(),
        lambda: Loose.model_validate({"any_one": 1, "more": made().token}).model_dump_json(),
        lambda: made().model_dump_json(serialize_as_any=True),
    ]
    for way in ways:
        with pytest.raises(PydanticSerializationError) as caught:
            way()
        assert "hunter2" not in str(caught.value)
    assert "hunter2" not in Loose(any_one=made().token).model_dump_json(fallback=repr)
    with pytest.raises(PydanticSerializationError, match="never becomes text"):
        Loose(any_one=made().token).model_dump_json(fallback=str)


@pytest.mark.parametrize("way", [copy.deepcopy, pickle.dumps, lambda model: model.model_copy(deep=True)])
def test_copies_of_a_model_refuse(way: Callable[[object], object]) -> None:
    """As copies of the secret do; ordinary bytes are copied (control)."""
    with pytest.raises(TypeError, match="Secret") as caught:
        way(made())
    assert "hunter2" not in str(caught.value)
    assert way(Ordinary(token=b"hunter2"))


def test_a_default_is_made_anew() -> None:
    """``default_factory`` makes one each time; a Secret as the default would be copied, and refuses."""

    class Factory(BaseModel):
        token: Secret = Field(default_factory=lambda: Secret.random(8))

    class Default(BaseModel):
        token: Secret = Secret.random(8)

    assert Factory().token != Factory().token
    with pytest.raises(TypeError, match="Secret"):
        Default()


def test_a_frozen_model_with_a_secret_has_no_hash() -> None:
    """A hash of content would tell it."""

    class Frozen(BaseModel):
        model_config = ConfigDict(frozen=True)
        token: Secret

    with pytest.raises(TypeError, match="unhashable"):
        hash(Frozen(token=made_of(b"hunter2")))


def test_the_json_schema() -> None:
    """Text that is only ever sent to us, with its limits, in both directions and inside of a union."""
    plain = {"type": "string", "format": "password", "writeOnly": True, "minLength": 1}
    limited = plain | {"minLength": 8, "maxLength": 64}
    token = Annotated[Secret, SecretLength(8, 64)]
    for mode in ("validation", "serialization"):
        assert TypeAdapter(Secret).json_schema(mode=mode) == plain
        assert TypeAdapter(token).json_schema(mode=mode) == limited
    assert TypeAdapter(token | None).json_schema() == {"anyOf": [limited, {"type": "null"}]}
    assert TypeAdapter(Annotated[Secret, SecretLength(8), SecretLength(4, 9)]).json_schema()["minLength"] == 8
    described = TypeAdapter(Annotated[token, Field(description="of the API")]).json_schema()
    assert described == limited | {"description": "of the API"}


def test_pydantic_is_loaded_by_those_who_use_it() -> None:
    """Neither by strongroom nor by a limit; by a model it is (control)."""
    assert succeed("""
        from strongroom import Secret, SecretLength
        SecretLength(8, 64); Secret.random(8).reveal()
        print([name for name in sys.modules if name.startswith("pydantic")])
        import pydantic
        pydantic.TypeAdapter(Secret)
        print("pydantic_core" in sys.modules)
    """).split() == ["[]", "True"]


PARENT = """
from pydantic import BaseModel
class Settings(BaseModel):
    token: Secret
Settings(token="another")
text = sys.stdin.readline().strip()
{code}
print("ready", flush=True)
os.read(0, 1)
"""


def copies_after(code: str) -> int:
    """Return how often a fresh marked text is in a process that has it as a ``str``, after it did something."""
    text = secrets.token_hex(1500)  # beyond pymalloc's blocks: a freed copy is not soon written over as a whole
    with Live(PARENT.format(code=code)) as live:
        live.send(text.encode() + b"\n")
        assert live.line() == "ready"
        with Memory(live.pid) as memory:
            return memory.count(text[1000:1100].encode())


@needs.linux
def test_a_field_leaves_no_copy_of_the_text_of_its_own() -> None:
    """What the text is encoded into is overwritten: one copy fewer than where it is not (control)."""
    encoded = copies_after("secret = Secret.from_buffer(text.encode(), wipe=False)")
    assert encoded > copies_after("settings = Settings(token=text)") >= 1
