"""A route without a policy never serves."""

import pytest
from litestar import Litestar, get, post

from slipway.web.policies import Policy, UndeclaredPolicy, check_declared


@get("/fine", policy=Policy.PUBLIC)
async def fine() -> None: ...


@post("/forgotten", status_code=204)
async def forgotten() -> None: ...


@get("/misspelt", policy="everyone")
async def misspelt() -> None: ...


@get("/no-app-in-it", policy=Policy.OWNER)
async def no_app_in_it() -> None: ...


def _application(*handlers: object) -> Litestar:
    return Litestar(route_handlers=list(handlers), openapi_config=None)  # type: ignore[arg-type]


def test_an_application_whose_routes_all_say_who_may_use_them_starts() -> None:
    check_declared(_application(fine))


@pytest.mark.parametrize("handler", [forgotten, misspelt, no_app_in_it])
def test_a_route_that_does_not_say_who_may_use_it_is_named_and_nothing_starts(handler: object) -> None:
    with pytest.raises(UndeclaredPolicy) as refused:
        check_declared(_application(fine, handler))
    assert next(iter(handler.paths)) in refused.value.message  # type: ignore[attr-defined]
    assert "/fine" not in refused.value.message
