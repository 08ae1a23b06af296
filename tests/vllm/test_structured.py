"""Answers under a schema on a real vLLM server: a small model that was never taught JSON cannot say anything else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from dragoman.agents.models import GatewayChat, Structured, structured
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message
from dragoman.evals.gateway.gateway import Gateway
from dragoman.store.ledger import Ledger
from tests.vllm.served import Served

pytestmark = pytest.mark.vllm


class Part(BaseModel):
    words: str = Field(max_length=20)
    side: Literal["input", "output"]


class Guess(BaseModel):
    parts: list[Part] = Field(max_length=2)
    sure: int = Field(ge=0, le=9)
    near: bool
    note: str | None = Field(max_length=10)


def test_what_it_says_satisfies_the_schema(served: Served, tmp_path: Path) -> None:
    async def ask() -> list[Structured[Guess]]:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget()) as gateway:
            chat = GatewayChat(gateway=gateway, model=served.named(), max_tokens=600, temperature=1.0)  # however much is escaped
            asked = [Message("system", "You study a feature."), Message("user", "What is it?")]
            return [await structured(chat.at(number, "propose"), asked, Guess) for number in range(5)]

    found = asyncio.run(ask())
    assert all(len(answer.calls) == 1 for answer in found), "none had to be asked again"
    assert len({answer.raw for answer in found}) > 1, "it is not one answer five times"
