"""A Flask app: Slipway finds `app` and serves it with gunicorn."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return f"Hello from Flask, release {os.environ.get('SLIPWAY_RELEASE', 'not deployed')}\n"


@app.get("/health")
def health():
    return {"status": "ok"}
