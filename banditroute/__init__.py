"""banditroute learns, online, which LLM or LoRA adapter should serve each request."""

__version__ = "0.1.0.dev0"
