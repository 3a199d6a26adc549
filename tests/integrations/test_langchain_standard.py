"""LangChain's own standard suite for chat models, run on ``ChatBandit``."""

import pytest

chat_models = pytest.importorskip("langchain_tests.unit_tests", reason="pip install langchain-tests")

from tests.integrations.test_langchain import Model

from banditroute import Router
from banditroute.integrations.langchain import ChatBandit


class TestChatBandit(chat_models.ChatModelUnitTests):
    chat_model_class = ChatBandit

    @property
    def chat_model_params(self):
        return {"router": Router(arms=["a"], seed=0), "models": {"a": Model()}}
