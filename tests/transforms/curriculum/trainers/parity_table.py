"""Prints how far a schedule `from` each trainer is from the trainer's own scheduler, by shape.

python -m tests.transforms.curriculum.trainers.parity_table
"""

from __future__ import annotations

from tests.transforms.curriculum.trainers.test_trainer_schedules import deviation
from tests.transforms.curriculum.trainers.trainer_rates import CASES


def main() -> None:
    """One row a case: the largest difference of a rate at any of the 400 steps, as a share of the peak."""
    print("| trainer | shape | largest difference |\n|---|---|---|")
    for trainer, shapes in CASES.items():
        for shape, arguments in shapes.items():
            print(f"| {trainer} | {shape} | {deviation(trainer, arguments):.1e} |")


if __name__ == "__main__":
    main()
