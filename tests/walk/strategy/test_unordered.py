"""The budget for splits of a walk without order."""

from iottly_async.walk.strategy.unordered import SplitBudget


def test_splits_are_allowed_while_pages_pay_for_them() -> None:
    """Splits that bring nothing use the budget up; full pages refill it."""
    budget = SplitBudget()
    made = 0
    while budget.allows() and made < 100:
        budget.note_split()
        budget.note_end(0.0, missed=True)
        made += 1
    assert made == 7
    assert budget.estimates_fail
    for _ in range(100):
        budget.note_page(0.01)
    assert budget.allows()
