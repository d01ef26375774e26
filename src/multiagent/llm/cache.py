"""The exact cache: the same request of the same person, answered again at no cost."""

from typing import Final

import msgspec

from multiagent.core.canonical import digest_bytes
from multiagent.core.label import join
from multiagent.llm.base import Answer, CallContext, ModelRequest
from multiagent.storage.kv.base import KeyValue

TTL_S: Final = 3600.0
MOST_TEMPERATURE: Final = 0.3
"""Above it an answer is meant to differ from the last one."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


def cache_key(request: ModelRequest, asked: str, call: CallContext) -> str:
    """Return the key of a request (``asked`` is its hash): tenant, user and labels are its scope, beside all that is
    asked, the requested max output included.
    """
    labels = join(call.labels, *(message.labels for message in request.messages))
    scope = (call.principal.tenant, call.principal.user, labels, asked)
    return f"exact/{digest_bytes('multiagent.exact.v1', _encode(scope))}"


def may_look_up(request: ModelRequest, call: CallContext) -> bool:
    """Tell whether a request may be answered from the cache at all."""
    return call.cache and request.temperature <= MOST_TEMPERATURE


def may_keep(answer: Answer) -> bool:
    """Tell whether an answer may be served again: a whole text, made under the max output that was asked for."""
    return answer.finish == "stop" and not answer.lowered and not answer.cached and bool(answer.text)


class ExactCache:
    """Answers under their keys, in a key-value store; losing it costs money, never facts."""

    def __init__(self, store: KeyValue, ttl_s: float = TTL_S) -> None:
        self._store = store
        self._ttl_s = ttl_s

    async def find(self, key: str) -> Answer | None:
        """Return the kept answer as a hit: no usage, no cost, its former cost as saved."""
        data = await self._store.get(key)
        if data is None:
            return None
        try:
            kept = _decode(data)
        except msgspec.MsgspecError:
            await self._store.delete(key)
            return None
        return Answer(
            parts=kept.parts,
            finish=kept.finish,
            usage=type(kept.usage)(),
            vendor=kept.vendor,
            model=kept.model,
            saved_pico=kept.cost_pico,
            request_id=kept.request_id,
            cached="exact",
            estimated=kept.estimated,
        )

    async def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer that ``may_keep``."""
        await self._store.put(key, _encode(answer), self._ttl_s)
