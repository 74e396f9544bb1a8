"""All the wrong fields of a request body, not only the first, and what each must be, in words."""

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
    return wrong_values(values, kind)


def wrong_values(values: dict[str, Any], kind: type[msgspec.Struct]) -> list[FieldError]:
    """Everything that keeps values by name from being a `kind`."""
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
            said = must_be(msgspec.inspect.type_info(field.type)) or str(error)
            errors.append(FieldError(field.encode_name, said))
        except SlipwayError as error:
            errors.append(FieldError(field.encode_name, error.message))
    if kind.__struct_config__.forbid_unknown_fields:
        errors += [FieldError(str(name)[:100], "There is no such field.") for name in unknown]
    return errors


def must_be(kind: msgspec.inspect.Type) -> str | None:
    """A sentence for people, who do not know types; a kind's own where it has one; None for those that take more."""
    match kind:
        case msgspec.inspect.Metadata(extra_json_schema={"description": str(said)}):
            return said
        case msgspec.inspect.UnionType(types=types):
            return must_be(next(one for one in types if not isinstance(one, msgspec.inspect.NoneType)))
        case msgspec.inspect.BoolType():
            return "Must be true or false."
        case msgspec.inspect.IntType(ge=int(least), le=int(most)):
            return f"Must be a whole number from {least} to {most}."
        case msgspec.inspect.StrType(pattern=None, max_length=int(most)):
            return f"Must be text of at most {most} characters."
    return None
