"""Other people's clients and frameworks behind a router; none is imported unless it is used."""

from banditroute.integrations.answer import Answer
from banditroute.integrations.clients import AnswerStream, AsyncAnswerStream, AsyncRoutedClient, RoutedClient

__all__ = ["Answer", "AnswerStream", "AsyncAnswerStream", "AsyncRoutedClient", "RoutedClient"]
