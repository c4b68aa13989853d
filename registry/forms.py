"""JSON forms: one serializer, pydantic's, over frozen dataclasses; nobody else turns a record into JSON or back.

The form of a record is its fields. Where JSON has another (a key that no field has, an array that is left out, names
instead of what they name), `Record.to_form` gives a second frozen dataclass that declares it, key by key, and reading
back goes through the same declaration. Enums, paths, tuples and nested records are pydantic's business. Arrays of
evidence lie beside a form, never inside.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from registry.errors import UnreadableForm

__all__ = ["Json", "Record", "from_json", "to_json"]

Form = TypeVar("Form")
Json = Mapping[str, Any]
"""The JSON form of a record, as `Record.to_dict` gives it or the registry kept it."""

_ADAPTERS: dict[type, Any] = {}
"""Each is made once: that takes longer than using it."""


class Record:
    """What has a JSON form."""

    def to_form(self) -> object:
        """The dataclass whose fields are the keys; the record itself where that is so."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        form: dict[str, Any] = to_json(self.to_form())
        return form


def to_json(record: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """A dataclass as plain data: dicts, lists, text, numbers, None."""
    return _adapter(type(record)).dump_python(record, mode="json")


def from_json(kind: type[Form], plain: object) -> Form:
    """The dataclass of that plain form; what has a default may be missing, keys that it does not know are passed over.

    Raises:
        UnreadableForm: it is none, and where.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - as below

    try:
        value: Form = _adapter(kind).validate_python(plain)
    except ValidationError as cause:
        first = cause.errors()[0]
        raise UnreadableForm(kind.__name__, ".".join(map(str, first["loc"])), first["msg"]) from cause
    return value


def _adapter(kind: type) -> Any:  # noqa: ANN401 - a TypeAdapter, which the shape checks cannot read
    if kind not in _ADAPTERS:
        from pydantic import TypeAdapter  # noqa: PLC0415 - a tenth of a second that who shows no JSON need not wait

        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
