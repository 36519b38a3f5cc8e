"""Hostile clients: each scenario is a client that hurt other servers, and what it does here."""

from pinfut.rpc.lab.hostile.failing import FAILING
from pinfut.rpc.lab.hostile.flooding import FLOODING
from pinfut.rpc.lab.hostile.forging import FORGING
from pinfut.rpc.lab.hostile.handing import HANDING
from pinfut.rpc.lab.hostile.holding import HOLDING
from pinfut.rpc.lab.hostile.midturn import MIDTURN
from pinfut.rpc.lab.hostile.spending import SPENDING
from pinfut.rpc.lab.hostile.stage import Scenario, ScenarioOutcome, alone, play

SCENARIOS = (*HOLDING, *HANDING, *FLOODING, *SPENDING, *FORGING, *FAILING, *MIDTURN)

__all__ = ["SCENARIOS", "Scenario", "ScenarioOutcome", "alone", "play"]
