"""Traced arrays that share memory, as NumPy's slices, reshapes and transposes do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.indexing import ARRAY, getitem, update
from tapegrad.ops.registry import Op
from tapegrad.ops.shaping import reshape, transpose
from tapegrad.recording.tracer import Tracer


class View(Tracer):
    """A traced array in the memory of another, its owner, which can be read and not written to.

    It is read anew when its owner has been written to. `look` takes the same view of a plain array.
    """

    __slots__ = ("look", "origin", "owner", "read")
    is_view = True

    def __init__(
        self, made: Tracer, owner: Tracer, read: Callable[[], Tracer], look: Callable[[Any], Any]
    ) -> None:
        super().__init__(made.recorder, made.slot, made.held)
        self.owner = owner
        self.origin = owner.slot
        self.read = read
        self.look = look

    def refresh(self) -> None:
        """Read the owner again if it has been written to."""
        if isinstance(self.owner, View):
            self.owner.refresh()
        if self.owner.slot != self.origin:
            fresh = self.read()
            self.slot, self.held, self.origin = fresh.slot, fresh.held, self.owner.slot

    def _overwrite(self, result: Tracer) -> Tracer:
        raise ValueError("assignment destination is read-only")


class Picked(View):
    """A view of the elements at `places` of its owner: a write to the view changes the owner.

    With no `places` it cannot be written to.
    """

    __slots__ = ("places",)

    def __init__(
        self,
        made: Tracer,
        owner: Tracer,
        read: Callable[[], Tracer],
        look: Callable[[Any], Any],
        places: np.ndarray[Any, Any] | None,
    ) -> None:
        super().__init__(made, owner, read, look)
        self.places = places
        self._lay_out()

    def _lay_out(self) -> None:
        """Hold the same numbers in the layout that NumPy gives."""
        if self.ndim:
            self.held = self.look(self.owner.held)

    def refresh(self) -> None:
        """Read the owner again if it has been written to."""
        before = self.slot
        super().refresh()
        if self.slot != before:
            self._lay_out()

    def _overwrite(self, result: Tracer) -> Tracer:
        if self.places is None:
            return super()._overwrite(result)
        Tracer._overwrite(self, result)
        apply, owner = self.recorder.apply, self.owner
        new = apply(reshape, (Tracer(self.recorder, self.slot, self.held),), {"shape": (self.places.size,)})
        flat = apply(reshape, (owner,), {"shape": (owner.size,)})
        flat = apply(update, (flat, new, self.places.ravel()), {"index": (ARRAY,)})
        owner._overwrite(apply(reshape, (flat,), {"shape": owner.shape}))
        self.origin = owner.slot
        self._lay_out()
        return self


class Window(View):
    """A view that `op` took of its owner: what is written into it shows there."""

    __slots__ = ("attrs", "op")

    def __init__(self, made: Tracer, owner: Tracer, op: Op, attrs: dict[str, Any]) -> None:
        super().__init__(
            made, owner, lambda: made.recorder.apply(op, (owner,), attrs), lambda x: op.kernel(x, **attrs)
        )
        self.op = op
        self.attrs = attrs

    def is_current_slice(self, owner: Tracer, index: Any) -> bool:
        """Whether this is a view, and of just what ``owner[index]`` holds."""
        return self.owner is owner and self.origin == owner.slot and self.attrs.get("index") == index

    def _overwrite(self, result: Tracer) -> Tracer:
        Tracer._overwrite(self, result)
        apply, owner = self.recorder.apply, self.owner
        new = Tracer(self.recorder, self.slot, self.held)
        if self.op is getitem:
            whole = apply(update, (owner, new), self.attrs)
        elif self.op is reshape:
            whole = apply(reshape, (new,), {"shape": owner.shape})
        else:
            whole = apply(transpose, (new,), {"axes": tuple(int(i) for i in np.argsort(self.attrs["axes"]))})
        owner._overwrite(whole)
        self.origin = owner.slot
        if self.ndim:
            self.held = self.op.kernel(owner.held, **self.attrs)  # the same numbers, in the owner's layout
        return self
