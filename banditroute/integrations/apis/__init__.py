"""The chat interfaces that can be behind a router, and how each is called and read. Nothing is imported for them."""

from banditroute.integrations.apis.anthropic import AnthropicMessages
from banditroute.integrations.apis.base import Api
from banditroute.integrations.apis.openai import OpenAIChat, OpenAIEmbeddings, OpenAIResponses

__all__ = ["AnthropicMessages", "Api", "OpenAIChat", "OpenAIEmbeddings", "OpenAIResponses"]
