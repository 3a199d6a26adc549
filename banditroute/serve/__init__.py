"""A router as an HTTP service that speaks OpenAI's interface; needs the extra ``serve``."""

from banditroute.serve.app import create_app
from banditroute.serve.running import run
from banditroute.serve.tokens import Tokens

__all__ = ["Tokens", "create_app", "run"]
