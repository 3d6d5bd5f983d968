"""Settings of a server fitted to its machine: proposed with reasons, proven, applied, taken back.

The formulas stand in :mod:`outreachdb.db.fitting`, because the embedded server starts with them too.
"""

from outreachdb.tuning.change import Applied, Reverted, apply, revert
from outreachdb.tuning.proof import Proof, prove
from outreachdb.tuning.propose import Given, Proposal, Row, propose

__all__ = ["Applied", "Given", "Proof", "Proposal", "Reverted", "Row", "apply", "propose", "prove", "revert"]
