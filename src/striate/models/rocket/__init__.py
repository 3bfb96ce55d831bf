"""Networks of fixed random convolutions, for series: MiniRocket, MultiRocket and Hydra."""

from striate.models.rocket.hydra import Hydra
from striate.models.rocket.minirocket import MiniRocket
from striate.models.rocket.multirocket import MultiRocket
from striate.models.rocket.multirocket_hydra import MultiRocketHydra

__all__ = ["Hydra", "MiniRocket", "MultiRocket", "MultiRocketHydra"]
