"""Restoring: estimate the damage, run the experts it leads to, look at what they made, explain what was done."""

from .blending import Blend, blended
from .passes import CENTRE
from .restorer import Restorer, Router, centre, check_batch
from .result import Restoration, Step, Tiling

__all__ = ["Blend", "CENTRE", "Restoration", "Restorer", "Router", "Step", "Tiling", "blended", "centre", "check_batch"]
