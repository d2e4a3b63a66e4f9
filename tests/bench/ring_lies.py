"""Look-ups of a ring in which some nodes lie together: how many end at a wrong node, with one path and with more."""

from netstack.lab.ring_lies import wrong_answers
from netstack.ring.engine import RingOptions

NODES, LOOKUPS = 256, 600
PATHS = (1, 2, 4, 8)


def main() -> None:
    """Wrong and failed parts of the look-ups, and questions for each."""
    print(f"{NODES} nodes, {LOOKUPS} look-ups: wrong / failed / questions")
    print("successors  liars  " + "  ".join(f"{paths} paths".ljust(20) for paths in PATHS))
    for successors in (2, 4, 8):
        for part in (0.0, 0.05, 0.1, 0.2, 0.3):
            row = []
            for paths in PATHS:
                options = RingOptions(successors, stabilize=1e9, fix=1e9, rejoin=0, paths=paths, lookups=LOOKUPS)
                wrong, failed, questions = wrong_answers(NODES, part, options, LOOKUPS, 3)
                row.append(f"{wrong:5.3f} / {failed:5.3f} / {questions:4.1f}")
            print(f"{successors:10}  {part:5}  " + "  ".join(row), flush=True)


if __name__ == "__main__":
    main()
