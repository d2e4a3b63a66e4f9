"""Labs: one module for each question of the chapter, its model's number beside what real traffic measured."""

from netstack.lab.claims import Claim, Result

__all__ = ["Claim", "Result"]
