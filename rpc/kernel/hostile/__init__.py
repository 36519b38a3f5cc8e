"""Hostile clients: each scenario is a client that hurt other servers, and what it does here."""

from pinfut.rpc.kernel.hostile.flooding import FLOODING
from pinfut.rpc.kernel.hostile.forging import FORGING
from pinfut.rpc.kernel.hostile.holding import HOLDING
from pinfut.rpc.kernel.hostile.midturn import MIDTURN
from pinfut.rpc.kernel.hostile.stage import Outcome, Scenario, alone, play

SCENARIOS = (*HOLDING, *FLOODING, *FORGING, *MIDTURN)

__all__ = ["SCENARIOS", "Outcome", "Scenario", "alone", "play"]
