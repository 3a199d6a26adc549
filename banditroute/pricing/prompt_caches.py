"""How long providers keep a prompt in their cache, and from what length on."""

from __future__ import annotations

from typing import NamedTuple


class PromptCache(NamedTuple):
    """The rule of a provider's prompt cache.

    Attributes
    ----------
    seconds
        Time for which a prompt is kept after its last use, at the least.
    min_tokens
        Tokens of the shortest prefix that is kept.
    """

    seconds: float
    min_tokens: int


PROMPT_CACHES = {
    "anthropic": PromptCache(seconds=300.0, min_tokens=1024),
    "aws": PromptCache(seconds=300.0, min_tokens=1024),
    "azure": PromptCache(seconds=300.0, min_tokens=1024),
    "deepseek": PromptCache(seconds=3600.0, min_tokens=64),
    "google": PromptCache(seconds=300.0, min_tokens=1024),
    "openai": PromptCache(seconds=300.0, min_tokens=1024),
}
"""Provider, as ``genai-prices`` names it -> the rule in its documentation, by the lower bounds that it gives.

Anthropic and Amazon: 5 minutes, renewed by each use. OpenAI and Azure: 5 to 10 minutes without use. DeepSeek: hours, in
units of 64 tokens. Google gives a shortest prefix and no time; 5 minutes are assumed. A model may need a longer prefix:
set ``ModelPrice.cache_min_tokens``.
"""

_LITELLM_PROVIDERS = {"bedrock": "aws", "vertex_ai": "google", "gemini": "google"}


def prompt_cache_of(provider: object) -> PromptCache | None:
    """Return the rule of a provider, by the name that ``genai-prices`` or LiteLLM gives it; None if it is not known.

    Examples
    --------
    >>> prompt_cache_of("anthropic").seconds
    300.0
    >>> prompt_cache_of("vertex_ai-language-models").min_tokens
    1024
    """
    name = str(provider).partition("-")[0].partition("_converse")[0]
    return PROMPT_CACHES.get(_LITELLM_PROVIDERS.get(name, name))
