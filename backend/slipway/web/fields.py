"""All the wrong fields of a request body, not only the first."""

from typing import Any

import msgspec

from slipway.errors import SlipwayError


class FieldError(msgspec.Struct, frozen=True):
    """`field` is the name in the body, in the query, or of the part of the path."""

    field: str
    message: str


def wrong_fields(body: bytes, kind: Any) -> list[FieldError]:
    """Everything that keeps `body` (JSON) from being a `kind` (a Struct class); empty where it is not JSON at all."""
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if not isinstance(values, dict) or not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        return []
    errors = []
    unknown = dict(values)
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in values:
            if field.required:
                errors.append(FieldError(field.encode_name, "This field is required."))
            continue
        try:
            msgspec.convert(unknown.pop(field.encode_name), field.type)
        except msgspec.ValidationError as error:
            errors.append(FieldError(field.encode_name, str(error)))
        except SlipwayError as error:
            errors.append(FieldError(field.encode_name, error.message))
    if kind.__struct_config__.forbid_unknown_fields:
        errors += [FieldError(str(name)[:100], "There is no such field.") for name in unknown]
    return errors
