"""A FastAPI app: Slipway finds `app` and serves it with uvicorn."""

import os

from fastapi import FastAPI

app = FastAPI(title="Example")


@app.get("/")
async def index() -> dict[str, str]:
    return {"hello": "from FastAPI", "release": os.environ.get("SLIPWAY_RELEASE", "not deployed")}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
