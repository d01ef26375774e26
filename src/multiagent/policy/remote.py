"""Rego on an OPA server, by HTTP: the bundle that is vetted here must be the one that decides there.

Fail closed: no answer in time, an error, an undefined or odd answer, or other rules on the server deny. What the
server runs is compared with the bundle, file by file, at opening, every ``check_s`` seconds and whenever its answers
name another revision; in between, and only until then, the same question is answered from the cache.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)

from multiagent.core.breaker import Breaker, BreakerPolicy
from multiagent.core.decision import Ask, Decision
from multiagent.core.errors import BreakerOpen, PolicyBroken, PolicyDenied
from multiagent.core.retry import Backoff
from multiagent.policy.answers import guarded, read_decision
from multiagent.policy.base import OpaServer
from multiagent.policy.bundle import TESTS, bundle_of, read_sources, vet
from multiagent.policy.cache import DecisionCache
from multiagent.policy.facts import ENTRIES, NOBODY, Document, decode, document, encode

_Kind = TypeVar("_Kind")
_TREE: Final = "multiagent"
"""The package under which all rules of a bundle stand, on a server that others may use as well."""
_CONNECTIONS: Final = 32
_MOST_BYTES: Final = 32 << 20
_BREAKER: Final = BreakerPolicy(max_requests=1, interval=0, timeout=1.0, max_failures=5)
_BACKOFF: Final = Backoff(base=0.05, most=0.5)
_ASK: Final = "?strict-builtin-errors=true&provenance=true"
"""A built-in that fails is an error, not undefined; each answer names the revision of what decided."""


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw()
    provenance: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct, frozen=True):
    value: str


class _Package(msgspec.Struct, frozen=True):
    path: tuple[_Part, ...]


class _Ast(msgspec.Struct, frozen=True):
    package: _Package


class _Module(msgspec.Struct, frozen=True):
    """One file as the server has it: its id there, its text, and the package that the server read out of it."""

    id: str
    raw: str
    ast: _Ast

    @property
    def ours(self) -> bool:
        """Whether its package is below ours."""
        return [part.value for part in self.ast.package.path[1:2]] == [_TREE]


class _Modules(msgspec.Struct, frozen=True):
    result: tuple[_Module, ...] = ()


class _Rules(msgspec.Struct, frozen=True):
    """A vetted bundle: its folder, its hash, and its files (name and text)."""

    directory: str
    hash: str
    rules: dict[str, str]
    tests: frozenset[str]


class _Proof(msgspec.Struct, frozen=True):
    """The server was seen to run the bundle ``hash`` at revision ``mark``; believed until ``until`` (loop's time)."""

    hash: str
    mark: bytes
    until: float


class Opa:
    """The server: each request has a deadline, until which one whose connection fails is sent again; and a breaker."""

    def __init__(self, server: OpaServer, session: ClientSession) -> None:
        self._server = server
        self._session = session
        self._url = server.url.rstrip("/")
        self._breaker = Breaker(f"the policy server at {self._url}", _BREAKER)

    async def ask(self, entry: str, question: Document) -> tuple[bytes, bytes]:
        """Return an entry point's answer, and the revision of what gave it; PolicyDenied where there is none."""
        body = msgspec.json.encode({"input": question})
        found = self._read(await self._request("POST", f"/v1/data/{entry}{_ASK}", body), _Answer)
        if not found.result:
            raise PolicyDenied(f"the policy is undefined at {entry} on the policy server at {self._url}")
        return bytes(found.result), bytes(found.provenance)

    async def modules(self) -> list[_Module]:
        """Return the files on the server whose package is below ours."""
        found = self._read(await self._request("GET", "/v1/policies"), _Modules)
        return [module for module in found.result if module.ours]

    async def put(self, module: str, source: str) -> None:
        """Write a file on the server; PolicyDenied where it does not compile there or may not be written."""
        await self._request("PUT", _place(module), source.encode())

    async def delete(self, module: str) -> None:
        """Delete a file on the server; PolicyDenied where it may not be."""
        await self._request("DELETE", _place(module))

    async def _request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the body of an answer with status 200; PolicyDenied for all else."""
        now = asyncio.get_running_loop().time
        try:
            admitted = self._breaker.before(now())
        except BreakerOpen as error:
            raise PolicyDenied(error.message) from error
        try:
            async with asyncio.timeout(self._server.timeout_s):
                status, answer = await self._persistently(method, path, body)
        except (ClientError, TimeoutError, OSError) as error:
            self._breaker.after(admitted, success=False, now=now())
            raise PolicyDenied(self._silent(error)) from error
        except BaseException:
            self._breaker.release(admitted)
            raise
        self._breaker.after(admitted, success=True, now=now())
        if status != 200:
            raise PolicyDenied(
                f"the policy server at {self._url} answered {status} to {method} {path.partition('?')[0]}: "
                f"{' '.join(answer[:300].decode('utf-8', 'replace').split())}"
            )
        return answer

    async def _persistently(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Send it, and where the connection fails again, as long as there is time: a server that restarts is soon back,
        and has closed the connections that were kept.
        """
        now, tries = asyncio.get_running_loop().time, 0
        end = now() + self._server.timeout_s
        while True:
            try:
                return await self._send(method, path, body)
            except ClientConnectionError:
                delay = _BACKOFF.delay(tries, 0.0)
                if now() + delay >= end:
                    raise
            tries += 1
            await asyncio.sleep(delay)

    async def _send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        async with self._session.request(method, self._url + path, data=body, allow_redirects=False) as response:
            return response.status, await _body(response)

    def _silent(self, error: BaseException) -> str:
        why = "gave no answer in time" if isinstance(error, TimeoutError) else f"cannot be reached ({error})"
        return f"the policy server at {self._url} {why}; start OPA there, or unset policy.url"

    def _read(self, body: bytes, kind: type[_Kind]) -> _Kind:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise PolicyDenied(f"the policy server at {self._url} gave an odd answer: {error}") from error


class RemotePolicy:
    """Policy by a vetted bundle that an OPA server runs; made by ``open_remote``."""

    def __init__(self, opa: Opa, rules: _Rules, verdicts: Path | None, check_s: float) -> None:
        self._opa = opa
        self._rules = rules
        self._verdicts = verdicts
        self._check_s = check_s
        self._cache = DecisionCache()
        self._proof: _Proof | None = None
        self._proving = asyncio.Lock()

    @property
    def bundle_hash(self) -> str:
        """The hash of the bundle that decides: the same as of a policy in this process."""
        return self._rules.hash

    async def check(self) -> None:
        """Raise PolicyDenied where the server gives no answer, or runs other rules."""
        await self.prove()
        await self._asked(next(iter(ENTRIES.values())), NOBODY[0])

    async def decide(self, ask: Ask) -> Decision:
        """Answer; whatever goes wrong on the way, the server's absence included, is a denial with its reason."""
        return await guarded(self._decide(ask))

    async def reload(self, directory: Path) -> str:
        """Put another bundle in place, here and on the server; PolicyBroken leaves the one that decides now.

        A server that takes its rules from elsewhere refuses to be written to: give it the bundle first, then reload.
        """
        rules = await _vetted(directory, self._verdicts)
        async with self._proving:
            self._proof = None
            try:
                await self._bring(rules)
                self._proof = await self._prove(rules)
                self._cache.clear()
            except PolicyDenied as error:
                with suppress(PolicyDenied):
                    await self._bring(self._rules)
                raise PolicyBroken(f"the bundle in {directory} cannot be put on the server: {error.message}") from error
            self._rules = rules
        return rules.hash

    async def prove(self) -> _Proof:
        """Return proof that the server runs our bundle, made anew where it is old; PolicyDenied where it does not."""
        async with self._proving:
            if self._proof is None or self._proof.until <= asyncio.get_running_loop().time():
                self._proof = None
                self._proof = await self._prove(self._rules)
                self._cache.clear()
            return self._proof

    async def _decide(self, ask: Ask) -> Decision:
        question = encode(ask)
        proof = self._proof
        if proof is not None and asyncio.get_running_loop().time() < proof.until:
            found = self._cache.get(proof.hash, question)
            if found is not None:
                return found
        checked = decode(question)
        for _ in range(2):
            proof = await self.prove()
            decision, mark = await self._asked(ENTRIES[type(checked)], document(checked))
            if self._proof is not None and (self._proof.hash, self._proof.mark) == (proof.hash, mark):
                self._cache.put(proof.hash, question, decision)
                return decision
            self._proof = None
        raise PolicyDenied("the rules on the policy server change at this moment; ask again")

    async def _asked(self, entry: str, question: Document) -> tuple[Decision, bytes]:
        try:
            answer, mark = await self._opa.ask(entry, question)
        except PolicyDenied:
            self._proof = None
            raise
        return read_decision(answer), mark

    async def _prove(self, rules: _Rules) -> _Proof:
        """Compare the files on the server with the bundle's and put empty questions to each entry point."""
        until = asyncio.get_running_loop().time() + self._check_s
        mark = b""
        for entry in ENTRIES.values():
            for question in NOBODY:
                answer, mark = await self._opa.ask(entry, question)
                if read_decision(answer).allow:
                    raise PolicyDenied(f"{entry} on the policy server allows an empty question")
        there = await self._opa.modules()
        wrong = _difference(rules, there)
        if wrong:
            raise PolicyDenied(
                f"the policy server runs other rules than the bundle {rules.hash[:12]} in {rules.directory}: {wrong}; "
                f"start it with `opa run --server {rules.directory}`, or name the folder it runs in policy_dir"
            )
        return _Proof(rules.hash, mark, until)

    async def _bring(self, rules: _Rules) -> None:
        """Make the server's files below our package the bundle's rules (its tests stay here)."""
        there = await self._opa.modules()
        wanted = dict(rules.rules)
        places: dict[str, str] = {}
        for module in there:
            name = next((one for one in wanted if module.id == one or module.id.endswith("/" + one)), "")
            if name and name not in places:
                places[name] = module.id
                if wanted[name] == module.raw:
                    del wanted[name]
            elif module.raw not in rules.tests:
                await self._opa.delete(module.id)
        for name, source in wanted.items():
            await self._opa.put(places.get(name, f"{_TREE}/{name}"), source)


@asynccontextmanager
async def open_remote(
    server: OpaServer, directory: Path, verdicts: Path | None = None, check_s: float = 5.0
) -> AsyncIterator[RemotePolicy]:
    """Open a policy on an OPA server that runs the bundle in ``directory``.

    Raises PolicyBroken where that bundle may not decide, and where the server is away or runs another.
    """
    rules = await _vetted(directory, verdicts)
    async with ClientSession(
        connector=TCPConnector(limit=_CONNECTIONS),
        timeout=ClientTimeout(total=None),
        cookie_jar=DummyCookieJar(),
        headers={"Authorization": f"Bearer {server.token}"} if server.token else None,
    ) as session:
        policy = RemotePolicy(Opa(server, session), rules, verdicts, check_s)
        try:
            await policy.prove()
        except PolicyDenied as error:
            raise PolicyBroken(error.message) from error
        yield policy


def _place(module: str) -> str:
    """Return where the server has a file; an id may begin with a slash."""
    return f"/v1/policies/{quote(module, safe='')}"


async def _vetted(directory: Path, verdicts: Path | None) -> _Rules:
    sources = read_sources(directory)
    bundle = bundle_of(sources)
    await asyncio.to_thread(vet, bundle, verdicts)
    return _Rules(
        str(directory),
        bundle.hash,
        {name: source for name, source in sources if not name.endswith(TESTS)},
        frozenset(source for name, source in sources if name.endswith(TESTS)),
    )


def _difference(rules: _Rules, there: Sequence[_Module]) -> str:
    """Return what of the rules is not on the server, and what is there besides; the tests may be there, or not."""
    known = {*rules.rules.values(), *rules.tests}
    texts = {module.raw for module in there}
    missing = [name for name, source in rules.rules.items() if source not in texts]
    besides = [module.id for module in there if module.raw not in known]
    parts = [("it lacks ", missing), ("it has besides ", besides)]
    return ", ".join(f"{said}{', '.join(names[:5])}" for said, names in parts if names)


async def _body(response: ClientResponse) -> bytes:
    """Return the whole answer, bounded."""
    found = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        found += piece
        if len(found) > _MOST_BYTES:
            raise PolicyDenied(f"the policy server's answer is longer than {_MOST_BYTES} bytes")
    return bytes(found)
