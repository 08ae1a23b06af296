"""The first question about every feature, asked in batches before the work begins: half the price, answered within a day.

The questions stand at the places at which the labeler asks them, so that it finds the replies in the ledger. What a batch did
not get to, and every later question, is asked one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from dragoman.evals.gateway.batch_servers import batch_server
from dragoman.evals.gateway.batches import GRACE, POLL, ask_all
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model
from dragoman.store.errors import UserError

from .labeler import proposals_wanted
from .office import Office
from .researchers.language import LanguageResearcher

PATIENCE = {"poll": POLL, "grace": GRACE}
"""Seconds, as `ask_all` takes them."""


async def ask_ahead(
    office: Office, gateway: Gateway, model: Model | None, features: Sequence[int], say: Callable[[str], None] | None
) -> None:
    """Ask for the hypotheses of these features in batches. Batches that an earlier process left are picked up.

    model: the researcher's. Raises UserError where it has no batch endpoint, and as `ask_all` does.
    """
    researcher = office.researcher
    if model is None or not isinstance(researcher, LanguageResearcher):
        raise UserError("--batch asks a language model: name one as --explainer, or leave out --batch.")
    await batch_server(model).close()  # so that it is said at once where there is none
    asked = []
    for feature in features:
        case = await office.case(feature)
        asked.append(researcher.proposal_question(case, proposals_wanted(office.settings)))
        office.leave(feature)
        await asyncio.sleep(0)
    await ask_all(gateway, model, asked, say=say, **PATIENCE)
