"""Other people's clients and frameworks, each imported only where it is used."""

from banditroute.integrations.answer import Answer
from banditroute.integrations.call import AnswerStream, AsyncAnswerStream
from banditroute.integrations.clients import AsyncRouted, Routed, routed

__all__ = ["Answer", "AnswerStream", "AsyncAnswerStream", "AsyncRouted", "Routed", "routed"]
