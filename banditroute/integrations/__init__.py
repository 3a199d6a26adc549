"""Other people's clients and frameworks behind a router; none is imported unless it is used."""

from banditroute.integrations.answer import Answer
from banditroute.integrations.answer_stream import AnswerStream, AsyncAnswerStream
from banditroute.integrations.clients import AsyncRoutedClient, RoutedClient

__all__ = ["Answer", "AnswerStream", "AsyncAnswerStream", "AsyncRoutedClient", "RoutedClient"]
