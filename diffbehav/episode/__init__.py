"""Episodes in a simulated world: a model's tool calls are answered by rules, and nothing real is ever executed."""

from diffbehav.episode.conversation import continued
from diffbehav.episode.simulation import Render, Result, Simulation
from diffbehav.episode.world import World, changed

__all__ = ["Render", "Result", "Simulation", "World", "changed", "continued"]
