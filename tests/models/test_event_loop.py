"""The event loop in the background outlives whatever ends one call."""

from __future__ import annotations

import pytest

from langgraph_maker.models.event_loop import in_background, run_sync


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt, ValueError])
def test_what_ends_one_call_is_raised_and_the_next_is_answered(ends: type[BaseException]) -> None:
    async def ending() -> None:
        raise ends

    async def there() -> bool:
        return in_background()

    with pytest.raises(ends):
        run_sync(ending())
    assert run_sync(there())
