"""Tenants of one store: the records, locks and listings of each are under a prefix of its own.

A tenant's namespace is a tuple of labels, as LangGraph's stores take them. What LangGraph refuses in a label (a dot, a
NUL), and what no database holds, is written as its bytes in hexadecimal (`%2E`), so that any user's name can be a label
and no two are alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

from langgraph.store.base import BaseStore, Item, ListNamespacesOp, Op

from langgraph_maker.core.foreign import excerpt

__all__ = [
    "TenantStore",
    "check_namespace",
    "key_of",
    "namespace_of",
    "root_of",
    "scoped",
    "seen_by_tenant",
    "under",
    "under_tenant",
]


class TenantStore(BaseStore):
    """A tenant's part of a store: every operation is under the tenant's namespace, and can reach nothing outside it."""

    __slots__ = ("labels", "namespace", "store")

    supports_ttl = True
    """What the store makes of it is the store's."""

    def __init__(self, store: BaseStore, namespace: tuple[str, ...]) -> None:
        self.store, self.namespace = store, namespace
        self.labels = tuple(map(_label, namespace))

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        """Do the operations, each under the tenant's namespace."""
        return self.outward(self.store.batch(self.inward(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Any]:
        """Do what `batch` does, in asynchronous code."""
        return self.outward(await self.store.abatch(self.inward(ops)))

    def inward(self, ops: Iterable[Op]) -> list[Op]:
        """Return the operations, each under the tenant's namespace."""
        return [self._op(op) for op in ops]

    def _op(self, op: Any) -> Any:
        if isinstance(op, ListNamespacesOp):
            raise NotImplementedError("a tenant's namespaces are not listed: search for what is under one")
        name = "namespace_prefix" if hasattr(op, "namespace_prefix") else "namespace"
        return op._replace(**{name: self.labels + getattr(op, name)})

    def outward(self, results: list[Any]) -> list[Any]:
        """Return the results, as if there were no other tenants."""
        return [
            [self._item(item) for item in result] if isinstance(result, list) else self._item(result)
            for result in results
        ]

    def _item(self, item: Item | None) -> Item | None:
        """Return the item as the tenant sees it; a database that takes wildcards may find one of somebody else's."""
        count = len(self.labels)
        if item is None or item.namespace[:count] != self.labels:
            return item
        return Item(
            value=item.value,
            key=item.key,
            namespace=item.namespace[count:],
            created_at=item.created_at,
            updated_at=item.updated_at,
        )


def under(store: BaseStore, namespace: Sequence[str]) -> BaseStore:
    """Return the part of `store` that is a tenant's; the store itself for the empty namespace.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> store = InMemoryStore()
        >>> under(store, ("users", "ann@example.com")).put(("x",), "key", {"a": 1})
        >>> [(item.namespace, item.key) for item in store.search(("users",))]
        [(('users', 'ann@example%2Ecom', 'x'), 'key')]

    Raises:
        ValueError: As `check_namespace` does.
    """
    labels = check_namespace(namespace)
    if not labels:
        return store
    return TenantStore(root_of(store), (*namespace_of(store), *labels))


def root_of(store: BaseStore) -> BaseStore:
    """Return the store that `store` is a tenant's part of, or itself."""
    return store.store if isinstance(store, TenantStore) else store


def under_tenant(store: BaseStore, ops: Sequence[Op]) -> Sequence[Op]:
    """Return what operations on a tenant's part of a store are on the store itself."""
    return store.inward(ops) if isinstance(store, TenantStore) else ops


def seen_by_tenant(store: BaseStore, results: list[Any]) -> list[Any]:
    """Return results of the store itself as the tenant sees them."""
    return store.outward(results) if isinstance(store, TenantStore) else results


def scoped(store: BaseStore | None, run_id: str) -> str:
    """Return the name of a run among those of all tenants of its store."""
    return key_of(namespace_of(store), run_id)


def key_of(namespace: Sequence[str], run_id: str) -> str:
    """Return the name of a tenant's run among those of all tenants; no two are alike.

    Example:
        >>> key_of((), "order-1"), key_of(("ann",), "order-1")
        ('order-1', '["ann", "order-1"]')
    """
    return json.dumps([*namespace, run_id]) if namespace or run_id.startswith("[") else run_id


def namespace_of(store: BaseStore | None) -> tuple[str, ...]:
    """Return whose part of a store this is; the empty namespace for the store itself."""
    return store.namespace if isinstance(store, TenantStore) else ()


def check_namespace(namespace: object) -> tuple[str, ...]:
    """Return a tenant's namespace.

    Raises:
        ValueError: When it is no tuple of labels that a store could hold.
    """
    if not isinstance(namespace, (tuple, list)) or not all(isinstance(label, str) for label in namespace):
        raise ValueError(f'namespace must be a tuple of strings, such as ("users", "ann"), got {excerpt(namespace)}')
    for label in namespace:
        if not label or len(label) > _LONGEST:
            raise ValueError(
                f"a label of a namespace must have 1 to {_LONGEST} characters, got {len(label)} ({excerpt(label)})"
            )
        if PLACEHOLDER.fullmatch(label):
            raise ValueError(f"namespace has the placeholder {excerpt(label)}: give the value that it stands for")
    if namespace and namespace[0] == "langgraph":
        raise ValueError('the first label of a namespace must not be "langgraph", which LangGraph keeps for itself')
    return tuple(namespace)


PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
"""A label that is taken from the config of an invocation, as in LangGraph's own namespaces."""
_LONGEST: Final = 200  # characters; Postgres bounds the length of an indexed text


@lru_cache(maxsize=1024)
def _label(label: str) -> str:
    """Return a label as every store can hold it, another for each."""
    plain = "".join(char if char.isprintable() and char not in "%." else _escaped(char) for char in label)
    return plain if len(plain.encode()) <= 2 * _LONGEST else f"{plain[:20]}%~{_digest(label)}"


def _escaped(char: str) -> str:
    return "%2E" if char == "." else quote(char.encode("utf-8", "surrogatepass"), safe="")


def _digest(label: str) -> str:
    return blake2b(label.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
