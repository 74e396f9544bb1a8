"""Parts of a path."""

from typing import Annotated

from litestar.params import PathParameter

Id = Annotated[int, PathParameter(ge=1, le=2**53, description="An id that Slipway gave out.")]
AppName = Annotated[str, PathParameter(description="The app's name.")]
EnvironmentName = Annotated[str, PathParameter(description="The environment's name; `production` is always there.")]
"""Handlers take `app` and `environment`; these two stand in the signature of none, and document the path."""
